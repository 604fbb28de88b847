namespace Godwit.Guest.Benchmarks.Machines;

/// <summary>Starts machines, more than once where they do not come up, and keeps what is to be told of that.</summary>
internal sealed class Machinery(Workshop workshop)
{
    /// <summary>On a busy host QEMU's guest can hang in its calibration of timers; whoever else needs this long is as stuck.</summary>
    public static readonly TimeSpan BootPatience = TimeSpan.FromSeconds(25);

    public const int Attempts = 4;

    private readonly List<string> _notes = [];

    public Workshop Workshop => workshop;

    /// <summary>What readers of the figures must know, a line each.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Null, and a note, where every attempt fails.</summary>
    public async Task<AgentProcess?> StartAsync(MachineKind kind, CancellationToken cancellation)
    {
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return await AgentProcess.StartAsync(kind, workshop, BootPatience, cancellation).ConfigureAwait(false);
            }
            catch (BenchmarkException problem) when (attempt < Attempts && kind != MachineKind.Native)
            {
                Note($"attempt {attempt} to start a machine failed: {problem.Message}");
            }
            catch (BenchmarkException problem) when (kind != MachineKind.Native)
            {
                Note($"given up: {problem.Message}");
                return null;
            }
        }
    }

    public void Note(string line) => _notes.Add(line);
}
