namespace Godwit.Cli.Guest;

/// <summary>The Linux guest cannot be had; the message is one line: what failed and what to do.</summary>
public sealed class GuestFetchException(string problem, string remedy, Exception? inner = null)
    : Exception($"cannot fetch the Linux guest: {OneLine(problem)}; {remedy}, or use --guest builtin, which needs no download", inner)
{
    /// <summary>What another program printed may hold anything; an error stays one line.</summary>
    private static string OneLine(string text) => string.Concat(text.Trim().Select(c => char.IsControl(c) ? ' ' : c));
}
