using System.Diagnostics;

namespace Godwit.Cli.Drill.Failover;

/// <summary>Looks again and again, within a bound.</summary>
internal static class Watch
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(100);

    /// <summary>False where it did not come true in time.</summary>
    public static async Task<bool> UntilAsync(Func<Task<bool>> condition, TimeSpan limit, CancellationToken cancellation)
    {
        long began = Stopwatch.GetTimestamp();
        using PeriodicTimer look = new(s_look);
        while (!await condition().ConfigureAwait(false))
        {
            if (Stopwatch.GetElapsedTime(began) > limit)
                return false;
            await look.WaitForNextTickAsync(cancellation).ConfigureAwait(false);
        }
        return true;
    }
}
