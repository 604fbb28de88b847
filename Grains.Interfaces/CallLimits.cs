namespace Godwit.Grains.Interfaces;

/// <summary>
/// How long callers wait for an answer. What only looks is asked again after <see cref="Look"/>, since a silo that died
/// with a question answers nothing; what acts is not, and waits longer.
/// </summary>
public static class CallLimits
{
    /// <summary>Calls that change nothing, and may be repeated.</summary>
    public static readonly TimeSpan Look = TimeSpan.FromSeconds(5);

    /// <summary>How long a watcher may let its host wait for news.</summary>
    public static readonly TimeSpan WatchWait = TimeSpan.FromSeconds(4);

    /// <summary>Calls that wait for news, at most <see cref="WatchWait"/>.</summary>
    public const string Watch = "00:00:08";

    /// <summary>Commands; starting waits for a lease.</summary>
    public const string Command = "00:00:45";

    /// <summary>Commands that write or read a whole VM.</summary>
    public const string Bulk = "00:10:00";
}
