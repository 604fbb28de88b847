using System.Diagnostics;
using Godwit.Engine.Machine;
using Xunit;

namespace Godwit.Engine.Tests.Machine;

public sealed class RunPermitTests
{
    [Fact]
    public void WithoutAGrantNothingRuns() => Assert.False(new RunPermit().IsValid);

    [Fact]
    public void AGrantLastsUntilItsTime()
    {
        RunPermit permit = new();
        permit.Grant(1, long.MaxValue);
        Assert.True(permit.IsValid);
        permit.Grant(2, Stopwatch.GetTimestamp() - 1);
        Assert.False(permit.IsValid);
    }

    [Fact]
    public void AnEarlierEpochChangesNothing()
    {
        RunPermit permit = new();
        permit.Grant(2, 100);
        permit.Grant(1, 200);
        Assert.Equal((2, 100), (permit.Epoch, permit.Expires));
    }

    [Fact]
    public void TheSameEpochIsOnlyExtended()
    {
        RunPermit permit = new();
        permit.Grant(2, 100);
        permit.Grant(2, 50);
        permit.Grant(2, 150);
        Assert.Equal((2, 150), (permit.Epoch, permit.Expires));
    }
}
