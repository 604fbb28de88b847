using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>Constraints in a cluster: held at start, migration, drain and restart, whoever asks; the other silos have no labels.</summary>
[Collection(LeavingSilosCollection.Name)]
public sealed class ConstraintTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private static string Cli => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Cli"));

    [Fact]
    public async Task ARequiredLabelHoldsAtStartMigrationAndDrain()
    {
        var labelled = await LabelledAsync("--label", "disk=ssd", "--label", "zone=z");
        var name = NameOf(labelled);
        var vm = await CreatedAsync(new PlacementConstraints { Labels = Label("disk", "ssd") });

        await BadInputTests.RefusedAsync(ClusterError.NoRoom, $"Silo a cannot take VM \"{vm.Name}\" (16 MiB, 1 vCPU): it lacks label disk=ssd.", () => vm.StartAsync("a"));
        Assert.Equal(name, (await vm.StartAsync()).Silo);
        await BadInputTests.RefusedAsync(ClusterError.NoRoom, "it lacks label disk=ssd.", () => vm.MigrateAsync(new MigrationRequest { Target = "b" }));
        await BadInputTests.RefusedAsync(ClusterError.NoRoom, "a lacks label disk=ssd; b lacks label disk=ssd.", () => vm.MigrateAsync(new MigrationRequest()));

        // Nowhere else may it go: a drain keeps it, and says why.
        var kept = Assert.Single((await (await Cluster.Client.DrainSiloAsync(name)).EndAsync()).Result!.Kept);
        Assert.Contains("a lacks label disk=ssd", kept.Reason, StringComparison.Ordinal);

        // A second such silo is used at once.
        var second = await LabelledAsync("--label", "disk=ssd");
        Assert.Equal(NameOf(second), Assert.Single((await (await Cluster.Client.DrainSiloAsync(name)).EndAsync()).Result!.Moved).Target);
        await vm.StopAsync();
        Assert.Equal(NameOf(second), (await vm.StartAsync()).Silo);
        await GoneAsync(vm);
        await LeaveAsync(labelled, second);
    }

    [Fact]
    public async Task VmsOfOneAntiAffinityGroupNeverMeet()
    {
        var apart = new PlacementConstraints { AntiAffinity = [$"group-{Guid.NewGuid():N}"] };
        var first = await CreatedAsync(apart);
        var second = await CreatedAsync(apart);
        var third = await CreatedAsync(apart);

        // Chosen at once, by two controllers that know nothing of one another: the silos see to it.
        var silos = new HashSet<string?>();
        foreach (var vm in new[] { first, second })
        {
            silos.Add((await vm.StartAsync()).Silo);
        }

        Assert.Equal(["a", "b"], silos.Order(StringComparer.Ordinal));
        var refused = await Assert.ThrowsAsync<GodwitException>(() => third.StartAsync());
        Assert.Matches("^No silo has room for .*: a has VM .* of anti-affinity group .*; b has VM .* of anti-affinity group .*\\.$", refused.Message);
        var other = (await second.ShowAsync()).Silo!;
        await BadInputTests.RefusedAsync(ClusterError.NoRoom, $"it has VM {second.Name} of anti-affinity group", () => first.MigrateAsync(new MigrationRequest { Target = other }));

        // The place of one that stops is free again.
        await second.StopAsync();
        Assert.Equal(other, (await third.StartAsync()).Silo);
        await GoneAsync(first, second, third);
    }

    [Fact]
    public async Task VmsThatAreStartedAtOnceAreSpreadOverTheSilos()
    {
        // Each choice knows of those before it, though none of the VMs has been seen to run yet.
        var vms = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => CreatedAsync(PlacementConstraints.None)));

        var silos = (await Task.WhenAll(vms.Select(vm => vm.StartAsync()))).Select(i => i.Silo).ToList();

        Assert.Equal((4, 4), (silos.Count(s => s == "a"), silos.Count(s => s == "b")));
        await GoneAsync(vms);
    }

    [Fact]
    public async Task AVmThatIsBoundToASiloRunsThereOrNowhere()
    {
        var vm = await CreatedAsync(new PlacementConstraints { Silo = "b" });
        await BadInputTests.RefusedAsync(ClusterError.NoRoom, "it is not silo b.", () => vm.StartAsync("a"));
        Assert.Equal("b", (await vm.StartAsync()).Silo);
        await BadInputTests.RefusedAsync(ClusterError.NoRoom, $"VM \"{vm.Name}\" may run on silo b only", () => vm.MigrateAsync(new MigrationRequest()));
        await BadInputTests.RefusedAsync(ClusterError.NoRoom, "No silo can ever take", () => CreatedAsync(new PlacementConstraints { Silo = "nowhere" }));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task VcpusAreAResourceThatCanRunOut()
    {
        var silo = await LabelledAsync("--label", "zone=small", "--vcpus", "1");
        var constraints = new PlacementConstraints { Labels = Label("zone", "small") };
        var first = await CreatedAsync(constraints);
        var second = await CreatedAsync(constraints);
        await first.StartAsync();

        await BadInputTests.RefusedAsync(ClusterError.NoRoom, $"{NameOf(silo)} lacks vCPUs (0 of 1 free)", () => second.StartAsync());

        await first.StopAsync();
        Assert.Equal(NameOf(silo), (await second.StartAsync()).Silo);
        await GoneAsync(first, second);
        await LeaveAsync(silo);
    }

    [Fact]
    public async Task SilosTellWhatTheyHave()
    {
        var silo = await LabelledAsync("--label", "zone=z", "--vcpus", "7", "--backend", "translator");

        var offer = (await Cluster.Client.SilosAsync()).Single(s => s.Name == NameOf(silo)).Host!.Offer!;

        Assert.Equal((7, 0, 0.0, "translator", Environment.ProcessorCount), (offer.Vcpus, offer.VcpusReserved, offer.Load, offer.Backend, offer.Cores));
        Assert.Equal(Label("zone", "z"), offer.Labels);
        Assert.Contains(1, offer.CpuLevels);
        await LeaveAsync(silo);
    }

    [Theory]
    [InlineData("\"zone\" is not a label: write KEY=VALUE", "--label", "zone")]
    [InlineData("Label zone is given twice.", "--label", "zone=a", "--label", "zone=b")]
    [InlineData("--vcpus takes 1 to", "--vcpus", "0")]
    public async Task ASiloRefusesWrongLabelsAndCountsInOneLine(string says, params string[] options)
    {
        var (exitCode, _, errors) = await TestProcess.RunAsync(TestProcess.Executable, ["silo", "--cluster", Cluster.Folder, .. options]);
        Assert.Equal(2, exitCode);
        Assert.StartsWith($"godwit: {says}", Assert.Single(errors.Trim().Split('\n')), StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheCommandLineTakesConstraintsAndShowsThem()
    {
        var silo = await LabelledAsync("--label", "disk=ssd");
        var name = TwoSilos.NewName();

        var create = await TestProcess.RunAsync(Cli, "vm", "create", name, "--memory", "16M", "--require", "disk=ssd", "--anti-affinity", "db", "--on", NameOf(silo), "--cluster", Cluster.Folder);
        Assert.True(create.ExitCode == 0, create.Errors);
        var show = await TestProcess.RunAsync(Cli, "vm", "show", name, "--cluster", Cluster.Folder);

        Assert.Contains($"label disk=ssd, apart from others of group db, on silo {NameOf(silo)} only", show.Output, StringComparison.Ordinal);
        var wrong = await TestProcess.RunAsync(Cli, "vm", "create", name + "2", "--require", "ssd", "--cluster", Cluster.Folder);
        Assert.Equal((2, "godwit: --require: \"ssd\" is not a label: write KEY=VALUE, each of 1 to 63 letters, digits, '-', '_', '.' and '/'."), (wrong.ExitCode, wrong.Errors.Trim()));
        await Cluster.Client.Vm(name).DeleteAsync();
        await LeaveAsync(silo);
    }

    private static Dictionary<string, string> Label(string key, string value) => new() { [key] = value };

    private static string NameOf(TestProcess silo) => silo.Ready.GetProperty("name").GetString()!;

    private static async Task LeaveAsync(params TestProcess[] silos)
    {
        foreach (var silo in silos)
        {
            silo.Signal("-TERM");
            await silo.WaitForExitAsync();
        }
    }

    private static async Task GoneAsync(params Vm[] vms)
    {
        foreach (var vm in vms)
        {
            if ((await vm.ShowAsync()).State != VmState.Stopped)
            {
                await vm.StopAsync();
            }

            await vm.DeleteAsync();
        }
    }

    private async Task<Vm> CreatedAsync(PlacementConstraints constraints)
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20, Constraints = constraints });
        return vm;
    }

    /// <summary>A silo more, known to the others.</summary>
    private async Task<TestProcess> LabelledAsync(params string[] options)
    {
        var silo = await Cluster.StartSiloAsync($"p{Guid.NewGuid():N}"[..8], "1G", options);
        await Eventually.HoldsAsync("it is active", async () => (await Cluster.Client.SilosAsync()).Any(s => s.Name == NameOf(silo) && s.Host is not null));
        return silo;
    }
}
