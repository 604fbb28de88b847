using System.Diagnostics;
using Godwit.Client;

namespace Godwit.Cli.Drill.Failover;

/// <summary>What a guest's console holds at the end: its own history, whatever was rolled back on the way.</summary>
internal static class ConsoleTail
{
    /// <summary>Reads all that is kept; where the beginning has been overwritten, from the first whole line on.</summary>
    public static async Task<GuestConsole> ReadAsync(Vm vm, CancellationToken cancellation)
    {
        GuestConsole console = new();
        bool aligned = true, first = true;
        await foreach (var segment in vm.Console(follow: false, cancellation: cancellation).ConfigureAwait(false))
        {
            aligned &= !first || segment.Offset == 0;
            first = false;
            ReadOnlyMemory<byte> bytes = segment.Bytes;
            if (!aligned)
            {
                int end = bytes.Span.IndexOf((byte)'\n');
                if (end < 0)
                    continue;
                (bytes, aligned) = (bytes[(end + 1)..], true);
            }
            console.Add(bytes.Span, Stopwatch.GetTimestamp());
        }
        return console;
    }
}
