using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace Godwit.Guest.Benchmarks.Machines;

/// <summary>One run of a job.</summary>
/// <param name="Checksum">What the job computed; null where the machine's processor lacks what it needs.</param>
/// <param name="Cpu">Processor time of the process that is the machine (native: of the program and its children).</param>
/// <param name="Elapsed">By the machine's own monotonic clock.</param>
internal sealed record JobRun(ulong? Checksum, TimeSpan Cpu, TimeSpan Elapsed);

/// <summary>
/// A machine in which the benchmark program waits for jobs. It is idle before a request and after its answer, so its
/// processor time between the two is the job's, however late this process looks.
/// </summary>
internal sealed class AgentProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly MachineKind _kind;
    private readonly Queue<string> _lastLines = new();
    private readonly Task _errors;

    private AgentProcess(MachineKind kind, Process process)
    {
        _kind = kind;
        _process = process;
        _errors = process.StandardError.BaseStream.CopyToAsync(Stream.Null);
    }

    /// <summary>Starts a machine and waits until its program is ready; throws <see cref="BenchmarkException"/> when it is not in time.</summary>
    public static async Task<AgentProcess> StartAsync(MachineKind kind, Workshop workshop, TimeSpan patience, CancellationToken cancellation)
    {
        AgentProcess agent = new(kind, Start(MachineCommands.Create(kind, workshop, workshop.InitrdWithPrograms, "godwit.workload=/bin/busybox,/root godwit.poweroff")));
        try
        {
            await agent.ReadLineAsync("@ready", patience, cancellation).ConfigureAwait(false);
            return agent;
        }
        catch
        {
            await agent.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception) when (start.FileName == MachineCommands.Qemu)
        {
            throw new BenchmarkException($"{MachineCommands.Qemu} is not installed: install Debian's package qemu-system-x86, or leave it out with --no-qemu");
        }
    }

    public async Task<JobRun> RunAsync(string job, long count, TimeSpan patience, CancellationToken cancellation)
    {
        Dictionary<int, long> before = ProcessorTime.OfThreads(_process.Id);
        await _process.StandardInput.WriteAsync(string.Create(CultureInfo.InvariantCulture, $"{count} {job}\n").AsMemory(), cancellation).ConfigureAwait(false);
        await _process.StandardInput.FlushAsync(cancellation).ConfigureAwait(false);
        string answer = await ReadLineAsync("@", patience, cancellation).ConfigureAwait(false);
        TimeSpan cpu = ProcessorTime.Between(before, ProcessorTime.OfThreads(_process.Id));
        string[] words = answer.Split(' ', 5);
        if (words[0] == "@unsupported")
            return new JobRun(null, cpu, TimeSpan.Zero);
        if (words.Length < 5 || words[0] != "@done" || words[4] != job)
            throw new BenchmarkException($"{_kind} answered \"{answer}\" to {job}");
        TimeSpan elapsed = Nanoseconds(words[2]);
        return new JobRun(ulong.Parse(words[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture), _kind == MachineKind.Native ? Nanoseconds(words[3]) : cpu, elapsed);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync().ConfigureAwait(false);
        await _errors.ConfigureAwait(false);
        _process.Dispose();
    }

    private static TimeSpan Nanoseconds(string digits) => TimeSpan.FromMicroseconds(long.Parse(digits, CultureInfo.InvariantCulture) / 1000.0);

    private async Task<string> ReadLineAsync(string prefix, TimeSpan patience, CancellationToken cancellation)
    {
        using CancellationTokenSource late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        late.CancelAfter(patience);
        try
        {
            while (await _process.StandardOutput.ReadLineAsync(late.Token).ConfigureAwait(false) is { } line)
            {
                line = line.Trim();
                int at = line.IndexOf(prefix, StringComparison.Ordinal);
                if (at >= 0)
                    return line[at..];
                _lastLines.Enqueue(line);
                if (_lastLines.Count > 3)
                    _lastLines.Dequeue();
            }
            throw new BenchmarkException($"{_kind} ended; its last lines: {string.Join(" | ", _lastLines)}");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new BenchmarkException($"{_kind} did not answer in {patience.TotalSeconds:0} s; its last lines: {string.Join(" | ", _lastLines)}");
        }
    }
}
