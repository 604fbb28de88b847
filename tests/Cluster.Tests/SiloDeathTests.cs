using Godwit.Client;
using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>Silos that are killed or frozen at each point of a migration; the victims are extra silos of the shared Cluster.</summary>
[Collection(DyingSilosCollection.Name)]
public sealed class SiloDeathTests(DyingSilos cluster) : OnTwoSilos(cluster)
{
    [Fact]
    public async Task ATargetKilledInMidCopyLeavesTheVmRunningAtTheSource()
    {
        using var hold = new HoldPoint("copy");
        var (vm, migration, victim) = await MovingToVictimAsync(hold);
        await hold.WaitAsync();

        victim.Kill();
        hold.Open();

        await RunsOnAtTheSourceAsync(vm, migration, epoch: 1);
    }

    [Fact]
    public async Task ATargetKilledBeforeItsCommitLeavesTheVmRunningAtTheSource()
    {
        using var hold = new HoldPoint("verify");
        var (vm, migration, victim) = await MovingToVictimAsync(hold);
        Assert.Equal(victim.Id, await hold.WaitAsync());

        victim.Kill();

        await RunsOnAtTheSourceAsync(vm, migration, epoch: 1);
    }

    [Fact]
    public async Task ATargetKilledBetweenItsCommitAndItsFirstInstructionGivesTheVmBackAtEpochThree()
    {
        using var hold = new HoldPoint("committed");
        var (vm, migration, victim) = await MovingToVictimAsync(hold);
        Assert.Equal(victim.Id, await hold.WaitAsync());

        victim.Kill();

        await RunsOnAtTheSourceAsync(vm, migration, epoch: 3);
    }

    [Fact]
    public async Task ASourceKilledInMidCopyLosesItsGuestButNotTheVm()
    {
        using var hold = new HoldPoint("copy");
        var (vm, migration, victim) = await MovingFromVictimAsync(hold);
        await hold.WaitAsync();

        victim.Kill();

        await LostAndStartedAgainAsync(vm, migration);
    }

    [Fact]
    public async Task ASourceKilledBeforeItSentTheStateLosesItsGuestButNotTheVm()
    {
        using var hold = new HoldPoint("moving");
        var (vm, migration, victim) = await MovingFromVictimAsync(hold);
        Assert.Equal(victim.Id, await hold.WaitAsync());

        victim.Kill();

        await LostAndStartedAgainAsync(vm, migration);
    }

    [Fact]
    public async Task ASourceKilledAfterItSentTheStateLeavesTheVmRunningAtTheTarget()
    {
        using var hold = new HoldPoint("verify");
        var (vm, migration, victim) = await MovingFromVictimAsync(hold);
        await hold.WaitAsync();

        victim.Kill();
        hold.Open();

        var told = await Assert.ThrowsAsync<GodwitException>(() => migration.ResultAsync());
        Assert.Contains("it runs on silo a", told.Message, StringComparison.Ordinal);
        Assert.Equal((VmState.Running, "a", 2L), await WhereAsync(vm));
        Assert.Equal(Enumerable.Range(1, 200).Select(i => i.ToString()), await VmCommandTests.ReadLinesAsync(vm, 200));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AFrozenSiloStopsByItselfAndDropsAVmThatWasTakenOver()
    {
        var victim = await Cluster.StartSiloAsync(NewSilo());
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await StartedOnAsync(vm, NameOf(victim));
        await VmCommandTests.ReadLinesAsync(vm, 10);

        victim.Signal("-STOP");
        await Eventually.HoldsAsync("its silo is held to be dead", async () => (await vm.ShowAsync()).State == VmState.Lost);
        await vm.StartAsync("a");
        await VmCommandTests.ReadLinesAsync(vm, 10);
        victim.Signal("-CONT");

        // A silo that finds itself declared dead ends; and its copy never ran beside the new one.
        await victim.WaitForExitAsync();
        Assert.Equal((VmState.Running, "a", 2L), await WhereAsync(vm));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task ASiloThatIsToldToStopWithoutDrainingStopsItsGuestsInOrder()
    {
        var victim = await Cluster.StartSiloAsync(NewSilo(), more: ["--drain-timeout", "0"]);
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await StartedOnAsync(vm, NameOf(victim));

        victim.Signal("-TERM");
        await victim.WaitForExitAsync();

        Assert.Equal(0, victim.ExitCode);
        var info = await vm.ShowAsync();
        Assert.Equal((VmState.Stopped, $"silo {NameOf(victim)} was shut down"), (info.State, info.Reason));

        // No lease to wait for: it may start elsewhere at once.
        await vm.StartAsync("b");
        await GoneAsync(vm);
    }

    [Fact]
    public async Task ALostVmSaysSoAndCanBeStoppedAndDeleted()
    {
        var victim = await Cluster.StartSiloAsync(NewSilo());
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await StartedOnAsync(vm, NameOf(victim));
        victim.Kill();
        await Eventually.HoldsAsync("it is lost", async () => (await vm.ShowAsync()).State == VmState.Lost);

        await BadInputTests.RefusedAsync(ClusterError.WrongState, "start it again", () => vm.PauseAsync());
        await BadInputTests.RefusedAsync(ClusterError.WrongState, "start it again", () => VmCommandTests.ReadLinesAsync(vm, 1));
        await vm.StopAsync();

        Assert.Equal((VmState.Stopped, $"its silo {NameOf(victim)} died"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Reason));
        await vm.DeleteAsync();
    }

    private static string NewSilo() => $"v{Guid.NewGuid():N}"[..8];

    private static string NameOf(TestProcess silo) => silo.Ready.GetProperty("name").GetString()!;

    private static async Task GoneAsync(Vm vm)
    {
        await vm.StopAsync();
        await vm.DeleteAsync();
    }

    private static async Task<(VmState State, string? Silo, long Epoch)> WhereAsync(Vm vm)
    {
        var info = await vm.ShowAsync();
        return (info.State, info.Silo, info.Epoch);
    }

    /// <summary>A silo that has just come is known to the others within a moment.</summary>
    private async Task StartedOnAsync(Vm vm, string silo)
    {
        await KnownAsync(silo);
        await vm.StartAsync(silo);
    }

    private Task KnownAsync(string silo) =>
        Eventually.HoldsAsync($"silo {silo} is active", async () =>
        {
            var silos = await Cluster.Client.SilosAsync();
            return silos.Any(s => s.Name == silo && s.Host is not null);
        });

    private async Task<(Vm Vm, MigrationHandle Migration, TestProcess Victim)> MovingToVictimAsync(HoldPoint hold)
    {
        var victim = await Cluster.StartSiloAsync(NewSilo());
        await KnownAsync(NameOf(victim));
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20, CommandLine = hold.CommandLine });
        await vm.StartAsync("a");
        await VmCommandTests.ReadLinesAsync(vm, 10);
        return (vm, await vm.MigrateAsync(new MigrationRequest { Target = NameOf(victim) }), victim);
    }

    private async Task<(Vm Vm, MigrationHandle Migration, TestProcess Victim)> MovingFromVictimAsync(HoldPoint hold)
    {
        var victim = await Cluster.StartSiloAsync(NewSilo());
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20, CommandLine = hold.CommandLine });
        await StartedOnAsync(vm, NameOf(victim));
        await VmCommandTests.ReadLinesAsync(vm, 10);
        return (vm, await vm.MigrateAsync(new MigrationRequest { Target = "a" }), victim);
    }

    private static async Task RunsOnAtTheSourceAsync(Vm vm, MigrationHandle migration, long epoch)
    {
        var failed = await Assert.ThrowsAsync<GodwitException>(() => migration.ResultAsync());
        Assert.Contains("runs on, on silo a", failed.Message, StringComparison.Ordinal);
        Assert.Equal((VmState.Running, "a", epoch), await WhereAsync(vm));
        Assert.Equal(Enumerable.Range(1, 300).Select(i => i.ToString()), await VmCommandTests.ReadLinesAsync(vm, 300));
        VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
        await GoneAsync(vm);
    }

    private async Task LostAndStartedAgainAsync(Vm vm, MigrationHandle migration)
    {
        var failed = await Assert.ThrowsAsync<GodwitException>(() => migration.ResultAsync());
        Assert.Contains("start it again", failed.Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Lost, (await vm.ShowAsync()).State);
        await Eventually.HoldsAsync("a has nothing reserved", async () => (await Cluster.Client.SilosAsync()).Single(s => s.Name == "a").Host!.MemoryReserved == 0);
        await BadInputTests.RefusedAsync(ClusterError.WrongState, "start it again", () => vm.MigrateAsync(new MigrationRequest { Target = "b" }));

        var info = await vm.StartAsync("b");

        Assert.Equal((VmState.Running, "b"), (info.State, info.Silo));
        Assert.Equal(["1", "2", "3"], await VmCommandTests.ReadLinesAsync(vm, 3));
        await GoneAsync(vm);
    }
}
