using Godwit.Cluster.Tests.Ownership;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Failover;
using Xunit;

namespace Godwit.Cluster.Tests.Failover;

/// <summary>Finding out that a lease has run out, and taking a VM over, under a clock of the test's.</summary>
public sealed class LapseWatchTests
{
    private const string Vm = "vm";
    private static readonly TimeSpan _look = TimeSpan.FromMilliseconds(500);

    private readonly ManualTime _time = new();
    private readonly OwnershipOptions _options = new() { Lease = TimeSpan.FromSeconds(5), Margin = TimeSpan.FromSeconds(1) };
    private readonly MemoryOwnershipStore _store = new();
    private readonly LapseWatch _watch;

    public LapseWatchTests() => _watch = new LapseWatch(_time, _options);

    [Fact]
    public async Task AnOwnerThatRenewsNeverLapses()
    {
        var tenure = await OwnedAsync();
        for (var i = 0; i < 200; i++)
        {
            if (i % 5 == 0)
            {
                Assert.True(await tenure.RenewAsync(default));
            }

            Assert.Empty(await LookAsync());
        }
    }

    [Fact]
    public async Task AnOwnerThatFallsSilentLapsesAfterLeaseAndMarginAndNeverWhileItMayRun()
    {
        var tenure = await OwnedAsync();
        Assert.Empty(await LookAsync());
        await tenure.RenewAsync(default);
        var looks = 0;
        IReadOnlyList<(string Vm, OwnershipRecord Record, TimeSpan Overdue)> lapsed;
        while ((lapsed = await LookAsync()).Count == 0)
        {
            looks++;
        }

        Assert.True(_time.GetTimestamp() > tenure.LeaseEnds + _options.Margin.Ticks, "the owner may still run it");
        Assert.InRange(looks, 12, 14);
        Assert.Equal(tenure.Record, lapsed[0].Record);
    }

    [Fact]
    public async Task AfterASilenceOfTheStoreOwnersHaveAWholeLeaseToComeBack()
    {
        var tenure = await OwnedAsync();
        Assert.Empty(await LookAsync());
        Assert.Empty(await LookAsync());

        // The question is asked, and its answer comes ten seconds later.
        var asked = _time.GetTimestamp();
        _time.Advance(TimeSpan.FromSeconds(10));
        Assert.Empty(_watch.Look(asked, [(Vm, tenure.Record)]));
        for (var i = 0; i < 11; i++)
        {
            Assert.Empty(await LookAsync());
        }

        Assert.True(await tenure.RenewAsync(default));
        Assert.Empty(await LookAsync());
    }

    [Fact]
    public async Task AnObserverThatWasFrozenBeginsAnew()
    {
        await OwnedAsync();
        Assert.Empty(await LookAsync());
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Empty(await LookAsync());
    }

    [Fact]
    public async Task OfManyTakersAndAnOwnerThatComesBackOneHasTheVm()
    {
        var tenure = await OwnedAsync();
        var version = tenure.Record.Version;
        var claims = Enumerable.Range(0, 8).Select(i => Record.ExceptionAsync(() => Takeover.ClaimAsync(_store, _time, _options, Vm, version, $"S{i}", $"s{i}", 100, default))).ToList();
        var back = tenure.RenewAsync(default);
        var errors = await Task.WhenAll(claims);

        Assert.Equal(7, errors.Count(e => e is ClusterException { Error: ClusterError.WrongState }));
        Assert.False(await back);
        var record = (await _store.ReadAsync(Vm, default))!;
        Assert.Equal((OwnershipState.Running, 2L, 1L), (record.State, record.Epoch, record.BootEpoch));
        Assert.Equal([new ConsoleRollback { Epoch = 2, Offset = 100 }], record.Rollbacks!);
    }

    [Fact]
    public async Task ARecordThatChangedSinceItLapsedIsNotTaken()
    {
        var tenure = await OwnedAsync();
        var version = tenure.Record.Version;
        await tenure.RenewAsync(default);
        await Assert.ThrowsAsync<ClusterException>(() => Takeover.ClaimAsync(_store, _time, _options, Vm, version, "B", "b", null, default));
        Assert.Equal("A", (await _store.ReadAsync(Vm, default))!.Owner);
    }

    [Fact]
    public void AReaderOfAnyEarlierEpochFindsHowFarItHasToGoBack()
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        IReadOnlyList<ConsoleRollback> kept = [];
        List<ConsoleRollback> all = [];
        var merged = false;
        for (var epoch = 2; epoch < 300; epoch++)
        {
            var rollback = new ConsoleRollback { Epoch = epoch, Offset = (epoch * 50) + random.Next(2000) };
            all.Add(rollback);
            kept = Takeover.Add(kept, rollback);
            Assert.InRange(kept.Count, 1, 64);
            merged |= kept.Count == 64;
            for (var seen = 1; seen < epoch; seen++)
            {
                var must = all.Where(r => r.Epoch > seen).Min(r => r.Offset);
                var told = kept.Where(r => r.Epoch > seen).Min(r => r.Offset);

                // Never less far than it must; and exactly so far as long as the list has not been full.
                Assert.True(told <= must && (merged || told == must), $"seed {seed}, epoch {epoch}, reader of {seen}: {told} instead of {must}");
            }
        }
    }

    [Fact]
    public void EveryVmHasItsWatchersWhicheverSilosLive()
    {
        string[] silos = ["10.0.0.1:1@1", "10.0.0.1:2@1", "10.0.0.2:1@7", "10.0.0.3:9@4"];
        List<int> first = [];
        foreach (var vm in Enumerable.Range(0, 400).Select(i => $"vm-{i}"))
        {
            var ranks = silos.Select(s => LeaseReaper.RankOf(s, vm, silos)).ToList();
            Assert.Equal(Enumerable.Range(0, silos.Length), ranks.Order());
            first.Add(ranks.IndexOf(0));

            // Whoever goes, the others keep their order: the second becomes the first.
            var left = silos.Where((_, i) => ranks[i] != 0).ToList();
            Assert.Equal(0, LeaseReaper.RankOf(silos[ranks.IndexOf(1)], vm, left));
        }

        Assert.All(Enumerable.Range(0, silos.Length), i => Assert.InRange(first.Count(f => f == i), 50, 150));
    }

    private async Task<Tenure> OwnedAsync()
    {
        await _store.CreateAsync(Vm, new VmDefinition { MemoryBytes = 1 << 20 }, default);
        return await Tenure.ClaimAsync(_store, _time, _options, Vm, "A", "a", default);
    }

    private async Task<IReadOnlyList<(string Vm, OwnershipRecord Record, TimeSpan Overdue)>> LookAsync()
    {
        _time.Advance(_look);
        var asked = _time.GetTimestamp();
        return _watch.Look(asked, [(Vm, (await _store.ReadAsync(Vm, default))!)]);
    }
}
