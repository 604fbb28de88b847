using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Protocol;

/// <summary>Silos of unlike versions in one cluster; the shared ones are of this build's version.</summary>
[Collection(TwoSilosCollection.Name)]
public sealed class MixedVersionTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    [Fact]
    public async Task TheNextVersionJoinsTakesVmsFromThisOneAndGivesThemBack()
    {
        var name = $"n{Guid.NewGuid():N}"[..8];
        var next = await Cluster.StartSiloAsync(name, "1G", "--protocol", (ProtocolRange.OfThisBuild.Current + 1).ToString());
        await Eventually.HoldsAsync("it is active", async () => (await Cluster.Client.SilosAsync()).Any(s => s.Name == name && s.Host is not null));
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync("a");
        var lines = VmCommandTests.ReadLinesAsync(vm, 300);

        await (await vm.MigrateAsync(new MigrationRequest { Target = name })).ResultAsync();
        Assert.Equal(name, (await vm.ShowAsync()).Silo);
        await (await vm.MigrateAsync(new MigrationRequest { Target = "b" })).ResultAsync();

        Assert.Equal(Enumerable.Range(1, 300).Select(i => i.ToString()), await lines);
        var protocols = (await Cluster.Client.StatusAsync()).Silos.ToDictionary(s => s.Name, s => s.Host!.Protocol);
        Assert.Equal((ProtocolRange.OfThisBuild.Current, ProtocolRange.OfThisBuild.Current + 1), (protocols["a"].Current, protocols[name].Current));
        await vm.StopAsync();
        await vm.DeleteAsync();
        next.Signal("-TERM");
        await next.WaitForExitAsync();
    }

    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public async Task AVersionTooFarAwayIsRefusedInOneLineBeforeItJoins(int ahead)
    {
        var version = ProtocolRange.OfThisBuild.Current + ahead;

        var (exitCode, _, errors) = await TestProcess.RunAsync(TestProcess.Executable, "silo", "--cluster", Cluster.Folder, "--name", "far", "--protocol", version.ToString());

        Assert.Equal(1, exitCode);
        Assert.Equal(
            $"godwit: Silo a of the cluster understands protocol {ProtocolRange.OfThisBuild} and this one {version - 1} to {version}: silos are replaced by those of the next version, one after the other.",
            Assert.Single(errors.Trim().Split('\n')).Replace("Silo b", "Silo a", StringComparison.Ordinal));
        Assert.DoesNotContain(await Cluster.Client.SilosAsync(all: true), s => s.Name == "far");
    }
}
