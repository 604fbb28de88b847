using System.Diagnostics;
using Xunit;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>Waits for a condition of another process by looking at it, within a bound that a host with other work to do keeps too.</summary>
internal static class Eventually
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(90);

    /// <param name="what">What is to come true.</param>
    /// <param name="condition">Whether it has.</param>
    /// <param name="seen">What there is to see when it has not.</param>
    public static async Task HoldsAsync(string what, Func<Task<bool>> condition, Func<string>? seen = null)
    {
        var since = Stopwatch.GetTimestamp();
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (!await condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < _limit, $"It did not come true: {what}{(seen is null ? "" : $"; seen: {seen()}")}");
            await look.WaitForNextTickAsync();
        }
    }
}
