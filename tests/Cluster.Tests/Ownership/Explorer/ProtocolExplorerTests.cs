using System.Globalization;
using Godwit.Grains.Ownership;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Cluster.Tests.Ownership.Explorer;

/// <summary>
/// Seeded runs of the ownership protocol: never two runners, and never none for good. GODWIT_EXPLORE sets how many
/// (10,000; by hand 100,000), GODWIT_EXPLORE_FROM the first seed.
/// </summary>
public sealed class ProtocolExplorerTests(ITestOutputHelper output)
{
    private const int StepsARun = 200;

    [Fact]
    public void NoInterleavingHasTwoRunnersOrNoneForGood()
    {
        var runs = Setting("GODWIT_EXPLORE", 10_000);
        var first = Setting("GODWIT_EXPLORE_FROM", 0);
        long steps = 0, claims = 0, takenBack = 0, moved = 0;
        for (var seed = first; seed < first + runs; seed++)
        {
            var explorer = new ProtocolExplorer(seed, new OwnershipOptions());
            var violation = explorer.Run(StepsARun);
            Assert.True(violation is null, $"seed {seed}: {violation}\n{string.Join("\n", explorer.History)}");
            steps += explorer.Steps;
            claims += explorer.Takeovers;
            takenBack += explorer.TakenBack;
            moved += explorer.MovedIn;
        }

        output.WriteLine($"seeds {first} to {first + runs - 1}: {steps} steps, {claims} claims, {moved} commits of a move, {takenBack} taken back after a commit");
        Assert.True(moved > runs / 2 && claims > runs && takenBack > runs / 500, $"too little happened: {claims} claims, {moved} commits, {takenBack} taken back");
    }

    [Fact]
    public void ATakerThatDoesNotWaitForTheLeaseIsFoundOut()
    {
        var hasty = new OwnershipOptions { Margin = -new OwnershipOptions().Lease };

        Assert.Contains(Enumerable.Range(0, 500), seed => new ProtocolExplorer(seed, hasty).Run(StepsARun)?.Contains("may run at once", StringComparison.Ordinal) == true);
    }

    private static int Setting(string name, int usual) =>
        Environment.GetEnvironmentVariable(name) is { } set ? int.Parse(set, CultureInfo.InvariantCulture) : usual;
}
