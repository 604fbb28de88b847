using System.Net.Sockets;
using System.Text;

namespace Godwit.Cluster.Tests.Machines;

/// <summary>
/// Points at which a machine in another process waits for the test. The command line holds
/// "barrier=POINT:SOCKET": on reaching the point the machine connects there, says who it is, and goes on when the test
/// answers or hangs up.
/// </summary>
internal sealed class Barriers(string commandLine)
{
    public async Task ReachAsync(string point, CancellationToken cancellation)
    {
        var word = commandLine.Split(' ').FirstOrDefault(w => w.StartsWith($"barrier={point}:", StringComparison.Ordinal));
        if (word is null || !File.Exists(word[(word.IndexOf(':') + 1)..]))
        {
            return;
        }

        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(word[(word.IndexOf(':') + 1)..]), cancellation);
        await socket.SendAsync(Encoding.ASCII.GetBytes($"{Environment.ProcessId}\n"), cancellation);
        await socket.ReceiveAsync(new byte[1], cancellation);
    }
}

/// <summary>The test's end of a barrier: waits until a machine is there, and lets it go on when told or disposed.</summary>
internal sealed class HoldPoint : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"gb-{Guid.NewGuid():N}");
    private Socket? _held;

    public HoldPoint(string point)
    {
        _listener.Bind(new UnixDomainSocketEndPoint(_path));
        _listener.Listen();
        CommandLine = $"barrier={point}:{_path}";
    }

    public string CommandLine { get; }

    /// <summary>The process id of the machine that has reached the barrier.</summary>
    public async Task<int> WaitAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        _held = await _listener.AcceptAsync(limit.Token);
        var buffer = new byte[32];
        var length = await _held.ReceiveAsync(buffer, limit.Token);
        return int.Parse(Encoding.ASCII.GetString(buffer, 0, length).Trim());
    }

    /// <summary>Lets the waiting machine go on; later ones pass without waiting.</summary>
    public void Open()
    {
        _held?.Dispose();
        _listener.Dispose();
        File.Delete(_path);
    }

    public void Dispose() => Open();
}
