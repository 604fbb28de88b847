using Godwit.Engine.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Migration;

public sealed class ConvergencePolicyTests
{
    [Theory]
    [InlineData(1, new[] { 49 })]
    [InlineData(3, new[] { 300, 100, 40 })]
    // A plateau: two rounds that do not improve, and the second is as good as the best.
    [InlineData(4, new[] { 300, 100, 95, 97, 96 })]
    // Worse for a while, then a minimum again.
    [InlineData(5, new[] { 300, 100, 150, 140, 105, 90 })]
    // Never near the best again: given up after five.
    [InlineData(7, new[] { 300, 100, 200, 200, 200, 200, 200, 200 })]
    // Slow but steady: shrinking goes on to the limit of rounds.
    [InlineData(10, new[] { 1000, 800, 640, 512, 410, 328, 262, 210, 168, 134, 107 })]
    public void TheGuestIsStoppedAfterTheRightRound(int expected, int[] predictions)
    {
        ConvergencePolicy policy = new(TimeSpan.FromMilliseconds(50), maxRounds: 10);
        int round = 1;
        while (policy.ReasonToStop(round, TimeSpan.FromMilliseconds(predictions[round - 1])) is null)
            round++;
        Assert.Equal(expected, round);
    }

    [Fact]
    public void ThePredictionIsTheRestAtTheRateAndTheState()
    {
        Assert.Equal(TimeSpan.FromMilliseconds(105), ConvergencePolicy.Predict(1_000_000, 10_000_000, TimeSpan.FromMilliseconds(5)));
        Assert.True(ConvergencePolicy.Predict(long.MaxValue, 0, TimeSpan.Zero) > TimeSpan.FromDays(1));
    }
}
