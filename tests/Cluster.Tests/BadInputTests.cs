using Godwit.Client;
using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>Each refusal is one line that names what was wrong, and changes nothing.</summary>
[Collection(TwoSilosCollection.Name)]
public sealed class BadInputTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private static readonly VmDefinition _small = new() { MemoryBytes = 16 << 20 };

    public static TheoryData<string, VmDefinition, ClusterError, string> WrongDefinitions => new()
    {
        { "none", _small with { MemoryBytes = 0 }, ClusterError.Invalid, "is none" },
        { "negative", _small with { MemoryBytes = -4096 }, ClusterError.Invalid, "is none" },
        { "too little", _small with { MemoryBytes = 4096 }, ClusterError.Invalid, "too little" },
        { "odd", _small with { MemoryBytes = (4 << 20) + 1 }, ClusterError.Invalid, "multiple of 4096" },
        { "too much", _small with { MemoryBytes = 1L << 40 }, ClusterError.NoRoom, "more than any silo has" },
        { "too many vCPUs", _small with { VcpuCount = 17 }, ClusterError.Invalid, "17 vCPUs" },
        { "a kernel that is not there", _small with { Boot = VmBoot.Linux, Kernel = new string('0', 64) }, ClusterError.NotFound, "upload it first" },
        { "a kernel that is no hash", _small with { Boot = VmBoot.Linux, Kernel = "../../etc/passwd" }, ClusterError.Invalid, "64 lower-case hex digits" },
        { "no kernel", _small with { Boot = VmBoot.Linux }, ClusterError.Invalid, "kernel image is needed" },
        { "control characters", _small with { CommandLine = "a\nb" }, ClusterError.Invalid, "control characters" },
        { "a long command line", _small with { CommandLine = new string('x', 3000) }, ClusterError.Invalid, "longer than" },
    };

    [Theory]
    [MemberData(nameof(WrongDefinitions))]
    public async Task AWrongDefinitionIsRefusedAndCreatesNothing(string what, VmDefinition definition, ClusterError error, string says)
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());

        await RefusedAsync(error, says, () => vm.CreateAsync(definition));

        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.ShowAsync());
        Assert.NotEmpty(what);
    }

    [Theory]
    [InlineData("")]
    [InlineData("-a")]
    [InlineData("Web")]
    [InlineData("a b")]
    [InlineData("a\n")]
    public void AWrongNameIsRefusedByTheClient(string name)
    {
        var refused = Assert.Throws<GodwitException>(() => Cluster.Client.Vm(name));
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Fact]
    public async Task AnUnknownVmIsNamedInTheRefusal()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());

        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.ShowAsync());
        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.StartAsync());
        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.StopAsync());
        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.DeleteAsync());
        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.MigrateAsync(new MigrationRequest()));
        await RefusedAsync(ClusterError.NotFound, vm.Name, () => vm.WriteConsoleAsync("x"u8.ToArray()));
    }

    [Fact]
    public async Task ASecondCreateOfANameIsRefusedAndTheFirstStays()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);

        await RefusedAsync(ClusterError.AlreadyExists, "already", () => vm.CreateAsync(_small with { MemoryBytes = 32 << 20 }));

        Assert.Equal(16 << 20, (await vm.ShowAsync()).Definition.MemoryBytes);
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task AnUnknownSiloIsRefusedWithTheNamesOfThoseThatLive()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);
        await RefusedAsync(ClusterError.NotFound, "no live silo \"nowhere\"", () => vm.StartAsync("nowhere"));
        await vm.StartAsync("a");

        await RefusedAsync(ClusterError.NotFound, "no live silo \"nowhere\"", () => vm.MigrateAsync(new MigrationRequest { Target = "nowhere" }));

        await GoneAsync(vm);
    }

    [Fact]
    public async Task AMigrationToTheSameSiloIsRefused()
    {
        var vm = await RunningAsync("a");

        await RefusedAsync(ClusterError.Invalid, "on silo a already", () => vm.MigrateAsync(new MigrationRequest { Target = "a" }));

        Assert.Equal(VmState.Running, (await vm.ShowAsync()).State);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AMigrationToASiloWithoutRoomIsRefusedAndTheVmRunsOn()
    {
        var big = await RunningAsync("b", 900L << 20);
        var vm = await RunningAsync("a", 200L << 20);

        await RefusedAsync(ClusterError.NoRoom, "(200 MiB, 1 vCPU): it lacks memory (124 MiB of 1 GiB free).", () => vm.MigrateAsync(new MigrationRequest { Target = "b" }));
        await RefusedAsync(ClusterError.NoRoom, "No silo has room", () => vm.MigrateAsync(new MigrationRequest()));

        Assert.Equal((VmState.Running, "a"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Silo));
        await GoneAsync(vm);
        await GoneAsync(big);
    }

    [Fact]
    public async Task AVmThatDoesNotFitIsNotStarted()
    {
        var big = await RunningAsync("b", 900L << 20);
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small with { MemoryBytes = 200 << 20 });

        await RefusedAsync(ClusterError.NoRoom, "it lacks memory (124 MiB of 1 GiB free).", () => vm.StartAsync("b"));

        Assert.Equal(VmState.Stopped, (await vm.ShowAsync()).State);
        await vm.DeleteAsync();
        await GoneAsync(big);
    }

    [Fact]
    public async Task AStoppedVmCannotMigratePauseOrBeTypedAt()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);

        await RefusedAsync(ClusterError.WrongState, "is stopped", () => vm.MigrateAsync(new MigrationRequest { Target = "b" }));
        await RefusedAsync(ClusterError.WrongState, "is stopped", () => vm.PauseAsync());
        await RefusedAsync(ClusterError.WrongState, "not running", () => vm.StopAsync());
        await RefusedAsync(ClusterError.WrongState, "not running", () => vm.WriteConsoleAsync("x"u8.ToArray()));

        await vm.DeleteAsync();
    }

    [Fact]
    public async Task ARunningVmCannotBeStartedOrDeleted()
    {
        var vm = await RunningAsync("a");

        await RefusedAsync(ClusterError.WrongState, "running already, on silo a", () => vm.StartAsync("b"));
        await RefusedAsync(ClusterError.WrongState, "stop it first", () => vm.DeleteAsync());

        await GoneAsync(vm);
    }

    [Fact]
    public async Task ASecondMigrationOfAMovingVmIsRefusedAndTheFirstGoesOn()
    {
        using var barrier = new HoldPoint("copy");
        var vm = await RunningAsync("a", commandLine: barrier.CommandLine);
        var first = await vm.MigrateAsync(new MigrationRequest { Target = "b" });
        await barrier.WaitAsync();

        await RefusedAsync(ClusterError.WrongState, "moving already", () => vm.MigrateAsync(new MigrationRequest { Target = "b" }));
        await RefusedAsync(ClusterError.WrongState, "migrating to b", () => vm.StopAsync());
        await RefusedAsync(ClusterError.WrongState, "migrating to b", () => vm.PauseAsync());
        Assert.Equal(VmState.Migrating, (await vm.ShowAsync()).State);

        barrier.Open();
        await first.ResultAsync();
        Assert.Equal((VmState.Running, "b"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Silo));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AGuestThatCannotBootIsRefusedAndItsVmStaysStopped()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small with { CommandLine = "unbootable" });

        await RefusedAsync(ClusterError.Failed, "the kernel cannot be booted", () => vm.StartAsync("a"));

        Assert.Equal(VmState.Stopped, (await vm.ShowAsync()).State);
        Assert.DoesNotContain((await Cluster.Client.SilosAsync()).SelectMany(s => s.Host!.Vms), v => v.Name == vm.Name);
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task AFileThatIsNotASnapshotIsRefusedAndTheVmStaysStopped()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);

        await RefusedAsync(ClusterError.Failed, "not a snapshot", () => vm.RestoreAsync(new MemoryStream([1, 2, 3])));

        Assert.Equal(VmState.Stopped, (await vm.ShowAsync()).State);
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task AnAddressWithoutAStoreIsNamedInTheRefusal()
    {
        var port = Godwit.Silo.Hosting.FreePort.Find();
        await RefusedAsync(ClusterError.Unavailable, $"No store answers at 127.0.0.1:{port}", () => GodwitClient.ConnectAsync(Godwit.Access.ClusterAccess.Open(Cluster.Folder, $"127.0.0.1:{port}")));
    }

    internal static async Task RefusedAsync(ClusterError error, string says, Func<Task> call)
    {
        var refused = await Assert.ThrowsAsync<GodwitException>(call);
        Assert.Contains(says, refused.Message, StringComparison.Ordinal);
        Assert.Equal(error, refused.Error);
        Assert.DoesNotContain('\n', refused.Message);
    }

    private static async Task GoneAsync(Vm vm)
    {
        await vm.StopAsync();
        await vm.DeleteAsync();
    }

    private async Task<Vm> RunningAsync(string silo, long memory = 16 << 20, string commandLine = "")
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = memory, CommandLine = commandLine });
        await vm.StartAsync(silo);
        return vm;
    }
}
