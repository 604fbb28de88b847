using System.Globalization;
using System.Net;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>Where a process listens, as the kernel tells it (proc(5), /proc/PID/net/tcp).</summary>
internal static class ListeningSockets
{
    private const string Listening = "0A";

    public static IReadOnlyList<IPEndPoint> Of(int process)
    {
        var inodes = Directory.EnumerateFiles($"/proc/{process}/fd").Select(f => new FileInfo(f).LinkTarget ?? "").Where(l => l.StartsWith("socket:[", StringComparison.Ordinal)).Select(l => l[8..^1]).ToHashSet();
        return [.. new[] { "tcp", "tcp6" }.SelectMany(table => File.ReadLines($"/proc/{process}/net/{table}").Skip(1))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => fields[3] == Listening && inodes.Contains(fields[9]))
            .Select(fields => Parse(fields[1]))];
    }

    /// <summary>Address in words of the host's byte order, port in hexadecimal.</summary>
    private static IPEndPoint Parse(string text)
    {
        var colon = text.IndexOf(':');
        var bytes = Convert.FromHexString(text.AsSpan(0, colon));
        for (var word = 0; word < bytes.Length; word += 4)
        {
            Array.Reverse(bytes, word, 4);
        }

        return new IPEndPoint(new IPAddress(bytes), int.Parse(text.AsSpan(colon + 1), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
    }
}
