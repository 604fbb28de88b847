using System.Diagnostics;
using Orleans.Runtime;

namespace Godwit.Silo.Hosting;

/// <summary>
/// The end of a silo that cannot go on, most often since the others hold it to be dead: it was frozen or cut off for
/// longer than the failure detection. At once and with one line; Orleans' own handler leaves pages of stacks and a core
/// file with the guests' memory in it.
/// </summary>
internal sealed class FatalEnd(string name) : IFatalErrorHandler
{
    public bool IsUnexpected(Exception exception) => exception is not ThreadAbortException;

    public void OnFatalException(object? sender, string? context, Exception? exception)
    {
        Console.Error.WriteLine(context?.Contains("I have been told I am dead", StringComparison.Ordinal) == true
            ? $"godwit: silo {name} ends: the others hold it to be dead, since they could not reach it for a while; what it ran is theirs to bring up. Start it again."
            : $"godwit: silo {name} ends: {string.Join(' ', $"{context} {exception?.GetBaseException().Message}".Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))}");
        Console.Error.Flush();
        Process.GetCurrentProcess().Kill();
    }
}
