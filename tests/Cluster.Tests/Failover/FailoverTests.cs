using System.Text;
using Godwit.Access;
using Godwit.Access.Roles;
using Godwit.Client;
using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Orleans.Runtime;
using Xunit;

namespace Godwit.Cluster.Tests.Failover;

/// <summary>Silos that are killed or frozen with VMs that have a restart policy; the victims are extra silos of the shared Cluster.</summary>
[Collection(DyingSilosCollection.Name)]
public sealed class FailoverTests(DyingSilos cluster) : OnTwoSilos(cluster)
{
    private static readonly RestartPolicy _everySecond = new() { Mode = RestartMode.Checkpoint, CheckpointEvery = TimeSpan.FromSeconds(1) };

    [Fact]
    public async Task AfterItsSiloIsKilledAVmGoesOnFromItsLastCheckpointAndItsReadersAreTold()
    {
        var (vm, victim) = await OnVictimAsync(_everySecond);
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var reading = ReadAsync(vm, stop.Token);
        var checkpoint = await CheckpointedAsync(vm, 2);

        victim.Kill();

        var info = await RecoveredAsync(vm, 2);
        Assert.Equal((2L, 1L), (info.Epoch, info.BootEpoch));
        Assert.Equal((2L, NameOf(victim)), (info.Recovery!.Epoch, info.Recovery.LostSilo));
        Assert.True(info.Recovery.Checkpoint >= checkpoint, $"it went on from checkpoint {info.Recovery.Checkpoint}, {checkpoint} was there");

        // It takes checkpoints there too; their numbers go on.
        await Eventually.HoldsAsync("the next checkpoint is there", async () => (await vm.ShowAsync()).Checkpoint is { Epoch: 2 } next && next.Number > info.Recovery.Checkpoint);
        await Eventually.HoldsAsync("the reader was told", () => Task.FromResult(Volatile.Read(ref _voids) > 0));
        await stop.CancelAsync();
        var lines = (await reading).Split('\n')[..^1];
        Assert.Equal(Enumerable.Range(1, lines.Length).Select(i => i.ToString()), lines);
        VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
        await GoneAsync(vm);
        Assert.False(Directory.Exists(Files(vm)), "checkpoint files were left");
    }

    [Fact]
    public async Task WithTheRestartPolicyAVmBootsAgainElsewhere()
    {
        var (vm, victim) = await OnVictimAsync(new RestartPolicy { Mode = RestartMode.Restart });

        victim.Kill();

        var info = await RecoveredAsync(vm, 2);
        Assert.Equal((2L, null), (info.BootEpoch, info.Recovery!.Checkpoint));
        Assert.Equal(["1", "2", "3"], await VmCommandTests.ReadLinesAsync(vm, 3));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AFrozenSilosVmRunsElsewhereAndItsCopyIsGoneOnceTheSiloIsThawed()
    {
        var (vm, victim) = await OnVictimAsync(_everySecond);
        await CheckpointedAsync(vm, 1);

        victim.Signal("-STOP");
        var info = await RecoveredAsync(vm, 2);
        var before = info.Figures!.RetiredInstructions;
        victim.Signal("-CONT");

        // It finds itself declared dead, or its record taken: either way nothing of the old copy is left.
        await Eventually.HoldsAsync("the old copy is gone", async () => victim.HasExited
            || (await Cluster.Client.SilosAsync()).Where(s => s.Name == NameOf(victim)).All(s => s.Host is { Vms.Count: 0 }));
        await Eventually.HoldsAsync("it counts on", async () => (await vm.ShowAsync()).Figures?.RetiredInstructions > before + 100);
        Assert.Equal(2, (await vm.ShowAsync()).Epoch);

        // Where the thawed silo still lives to say so: it stopped since its lease had run out, and never started again.
        var frozen = (await vm.RunsAsync()).Intervals.Where(i => i.Epoch == 1).ToList();
        Assert.All(frozen, i => Assert.Contains("lease", i.Reason!, StringComparison.Ordinal));
        Assert.True(frozen.Count <= 1, $"{frozen.Count} runs of the old copy");
        await GoneAsync(vm);
    }

    [Fact]
    public async Task ACheckpointThatWasBeingWrittenWhenItsSiloDiedIsNotUsed()
    {
        using var hold = new HoldPoint("checkpoint");
        var (vm, victim) = await OnVictimAsync(_everySecond, hold.CommandLine);
        Assert.Equal(victim.Id, await hold.WaitAsync());
        Assert.Single(Directory.EnumerateFiles(Files(vm)));

        victim.Kill();
        hold.Open();

        var info = await RecoveredAsync(vm, 2);
        Assert.Equal((2L, null), (info.BootEpoch, info.Recovery!.Checkpoint));

        // The half file goes when there is a whole one.
        await CheckpointedAsync(vm, 1);
        await Eventually.HoldsAsync("only what the record names is left", async () =>
            (await vm.ShowAsync()).Checkpoint!.Files is var files && Directory.EnumerateFiles(Files(vm)).Count() is var there && there <= files + 1 && Directory.EnumerateFiles(Files(vm)).All(f => Path.GetFileName(f).StartsWith("2-", StringComparison.Ordinal)));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task CommandsDoNotWaitForACheckpoint()
    {
        using var hold = new HoldPoint("checkpoint");
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20, Restart = _everySecond, CommandLine = hold.CommandLine });
        await vm.StartAsync("a");
        await hold.WaitAsync();

        await (await vm.MigrateAsync(new MigrationRequest { Target = "b" })).ResultAsync();

        hold.Open();
        Assert.Equal("b", (await vm.ShowAsync()).Silo);
        await CheckpointedAsync(vm, 1);
        await GoneAsync(vm);
    }

    [Theory]
    [InlineData(false, "digest")]
    [InlineData(true, "Could not find file")]
    public async Task ACheckpointThatIsDamagedOrMissingIsNotRunAndTheVmSaysWhy(bool missing, string reason)
    {
        var (vm, victim) = await OnVictimAsync(_everySecond with { CheckpointEvery = TimeSpan.FromHours(1) });
        await Eventually.HoldsAsync("its first checkpoint", async () => (await vm.ShowAsync()).Checkpoint is not null);
        foreach (var file in Directory.EnumerateFiles(Files(vm)))
        {
            var bytes = await File.ReadAllBytesAsync(file);
            bytes[bytes.Length / 2] ^= 1;
            await File.WriteAllBytesAsync(file, bytes);
            if (missing)
            {
                File.Delete(file);
            }
        }

        victim.Kill();

        await Eventually.HoldsAsync("a taker says why not", () => Task.FromResult(
            new[] { "a", "b" }.Any(s => Cluster.Silo(s).Errors.Contains($"VM {vm.Name}, whose silo {NameOf(victim)} did not renew its lease, cannot be brought up yet", StringComparison.Ordinal))));
        await Eventually.HoldsAsync("the VM says why not", async () => await vm.ShowAsync() is { State: VmState.Recovering, Reason: { } why } && why.Contains(reason, StringComparison.Ordinal));
        await BadInputTests.RefusedAsync(ClusterError.WrongState, "stop it first to boot it anew", () => vm.StartAsync("a"));
        await vm.StopAsync();
        await vm.StartAsync("a");
        Assert.Equal(["1", "2"], await VmCommandTests.ReadLinesAsync(vm, 2));
        await GoneAsync(vm);
        Assert.False(Directory.Exists(Files(vm)), "checkpoint files were left");
    }

    [Fact]
    public async Task APolicyIsChangedWhileTheVmRuns()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync("a");
        Assert.Null((await vm.ShowAsync()).Checkpoint);

        await vm.SetRestartAsync(_everySecond);
        await CheckpointedAsync(vm, 2);
        Assert.Equal(_everySecond, (await vm.ShowAsync()).Definition.Restart);
        var figures = (await vm.ShowAsync()).Checkpoints!;
        Assert.True(figures.Taken >= 2 && figures.Error is null && figures.LastBytes > 0, figures.ToString());

        await vm.SetRestartAsync(RestartPolicy.None);
        await Eventually.HoldsAsync("its checkpoints are gone", async () => (await vm.ShowAsync()).Checkpoint is null && !Directory.Exists(Files(vm)));

        await vm.SetRestartAsync(_everySecond);
        await CheckpointedAsync(vm, 2);
        await BadInputTests.RefusedAsync(ClusterError.Invalid, "cannot be had", () => vm.SetRestartAsync(_everySecond with { CheckpointEvery = TimeSpan.FromMilliseconds(10) }));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task WhereNoCheckpointCanBeWrittenTheGuestRunsOnAndTheVmSaysWhy()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        Directory.CreateDirectory(Path.GetDirectoryName(Files(vm))!);
        await File.WriteAllTextAsync(Files(vm), "in the way of a folder");
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20, Restart = _everySecond });
        await vm.StartAsync("a");

        await Eventually.HoldsAsync("the failure is shown", async () => (await vm.ShowAsync()).Checkpoints?.Error is not null);
        var before = (await vm.ShowAsync()).Figures!.RetiredInstructions;
        await Eventually.HoldsAsync("it counts on", async () => (await vm.ShowAsync()).Figures!.RetiredInstructions > before + 100);
        File.Delete(Files(vm));
        await CheckpointedAsync(vm, 1);
        Assert.Null((await vm.ShowAsync()).Checkpoints!.Error);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task LosingItsActivationsChangesNothingForAGuest()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync("a");

        // Orleans' own grains are for silos: this one client shows what silos show.
        await using var silo = await GodwitClient.ConnectAsync(Cluster.Access with { Credential = CallCredential.SiloPrefix + ClusterSecret.TryRead(Cluster.Folder)!.SiloCredential });
        for (var i = 0; i < 5; i++)
        {
            var before = (await vm.ShowAsync()).Figures!.RetiredInstructions;
            await silo.Calls.OnceAsync(g => g.GetGrain<IManagementGrain>(0).ForceActivationCollection(TimeSpan.Zero), default);
            await Eventually.HoldsAsync("it counts on", async () => (await vm.ShowAsync()).Figures!.RetiredInstructions > before + 20);
        }

        Assert.Equal((VmState.Running, 1L), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Epoch));
        Assert.Single((await vm.RunsAsync()).Intervals);
        Assert.Equal(Enumerable.Range(1, 100).Select(i => i.ToString()), await VmCommandTests.ReadLinesAsync(vm, 100));
        await GoneAsync(vm);
    }

    private int _voids;

    private static string NameOf(TestProcess silo) => silo.Ready.GetProperty("name").GetString()!;

    private static async Task GoneAsync(Vm vm)
    {
        await vm.StopAsync();
        await vm.DeleteAsync();
    }

    private static async Task<VmInfo> RecoveredAsync(Vm vm, long epoch)
    {
        VmInfo info = null!;
        await Eventually.HoldsAsync($"VM {vm.Name} runs again", async () => (info = await vm.ShowAsync()) is { State: VmState.Running, Recovery: not null, Figures: not null } && info.Epoch == epoch);
        return info;
    }

    /// <summary>Waits for so many checkpoints in a row; returns the number of the latest.</summary>
    private static async Task<long> CheckpointedAsync(Vm vm, int more)
    {
        var first = (await vm.ShowAsync()).Checkpoint?.Number ?? 0;
        long now = 0;
        await Eventually.HoldsAsync($"{more} checkpoints of VM {vm.Name}", async () => (now = (await vm.ShowAsync()).Checkpoint?.Number ?? 0) >= first + more);
        return now;
    }

    private string Files(Vm vm) => Path.Combine(Cluster.Folder, "checkpoints", vm.Name);

    private async Task<(Vm Vm, TestProcess Victim)> OnVictimAsync(RestartPolicy policy, string commandLine = "")
    {
        var victim = await Cluster.StartSiloAsync($"v{Guid.NewGuid():N}"[..8]);
        await Eventually.HoldsAsync("the silo is active", async () => (await Cluster.Client.SilosAsync()).Any(s => s.Name == NameOf(victim) && s.Host is not null));
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20, Restart = policy, CommandLine = commandLine });
        await vm.StartAsync(NameOf(victim));
        return (vm, victim);
    }

    /// <summary>What a careful reader has in the end: whatever is declared void is taken off again.</summary>
    private async Task<string> ReadAsync(Vm vm, CancellationToken cancellation)
    {
        var text = new StringBuilder();
        try
        {
            await foreach (var segment in vm.Console(cancellation: cancellation))
            {
                if (segment.VoidUpTo is { } end)
                {
                    Assert.Equal(text.Length, end);
                    text.Length = (int)segment.Offset;
                    Interlocked.Increment(ref _voids);
                }

                Assert.Equal(text.Length, segment.Offset);
                text.Append(Encoding.Latin1.GetString(segment.Bytes));
            }
        }
        catch (OperationCanceledException)
        {
            // The test has seen enough.
        }

        return text.ToString();
    }
}
