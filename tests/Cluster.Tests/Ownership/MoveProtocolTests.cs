using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Xunit;

namespace Godwit.Cluster.Tests.Ownership;

/// <summary>The compare-and-swaps of docs/migration.md, under a clock of the test's.</summary>
public sealed class MoveProtocolTests
{
    private const string Vm = "vm";
    private static readonly TimeSpan _step = TimeSpan.FromMilliseconds(100);
    private static readonly LastMove _move = new("job", "A", "a", "B", "b");

    private readonly ManualTime _time = new();
    private readonly MemoryOwnershipStore _store = new();
    private readonly OwnershipOptions _options = new();

    [Fact]
    public async Task ATargetThatCommittedKeepsTheVmAndTheSourceMustGo()
    {
        var (source, target) = await BegunMoveAsync();

        Assert.Equal(2, await target.CommitMoveAsync(default));
        Assert.True(await target.ConfirmAsync(default));

        Assert.False(await source.AbandonMoveAsync(default));
        Assert.True(await source.ResolveMoveAsync(default));
        Assert.Equal(("B", 2L, OwnershipState.Running), await OwnerAsync());
    }

    [Fact]
    public async Task ASourceThatTookTheVmBackLeavesTheTargetNothingToCommit()
    {
        var (source, target) = await BegunMoveAsync();

        Assert.True(await source.AbandonMoveAsync(default));

        Assert.Null(await target.CommitMoveAsync(default));
        Assert.Equal(("A", 1L, OwnershipState.Running), await OwnerAsync());
    }

    [Fact]
    public async Task ATargetThatDiedBeforeItReportedRunningGivesTheVmBackAtEpochPlusTwo()
    {
        var (source, target) = await BegunMoveAsync();
        await target.CommitMoveAsync(default);
        var committed = _time.GetTimestamp();

        Assert.False(await _time.UntilAsync(source.ResolveMoveAsync(default), _step));

        Assert.Equal(("A", 3L, OwnershipState.Running), await OwnerAsync());
        Assert.True(_time.GetElapsedTime(committed) >= _options.Lease + _options.Margin, "the source did not wait for the target's lease");
        Assert.False(await target.ConfirmAsync(default));
    }

    [Fact]
    public async Task ATargetThatRenewsItsLeaseIsWaitedForUntilItReports()
    {
        var (source, target) = await BegunMoveAsync();
        await target.CommitMoveAsync(default);
        var resolving = source.ResolveMoveAsync(default);
        for (var i = 0; i < 20; i++)
        {
            _time.Advance(_options.Lease / 3);
            await Task.Yield();
            Assert.True(await target.Tenure!.RenewAsync(default));
            Assert.False(resolving.IsCompleted);
        }

        Assert.True(await target.ConfirmAsync(default));

        Assert.True(await _time.UntilAsync(resolving, _step));
        Assert.Equal(("B", 2L, OwnershipState.Running), await OwnerAsync());
    }

    [Fact]
    public async Task ARenewalDuringTheMoveDoesNotKeepTheTargetFromCommitting()
    {
        var tenure = await ClaimedAsync();
        var source = Source(tenure);
        Assert.True(await source.BeginMoveAsync(default));
        Assert.True(await tenure.RenewAsync(default));

        Assert.Equal(2, await Target("job", "B").CommitMoveAsync(default));

        Assert.False(await tenure.RenewAsync(default));
        Assert.True(tenure.Lost);
    }

    [Theory]
    [InlineData("other", "B")]
    [InlineData("job", "C")]
    public async Task OnlyTheNamedTargetOfTheNamedAttemptMayCommit(string attempt, string silo)
    {
        await BegunMoveAsync();

        Assert.Null(await Target(attempt, silo).CommitMoveAsync(default));

        Assert.Equal(OwnershipState.Moving, (await OwnerAsync()).State);
    }

    [Fact]
    public async Task AVmWhoseOwnerRenewsCannotBeClaimed()
    {
        var owner = await ClaimedAsync();
        var claim = Tenure.ClaimAsync(_store, _time, _options, Vm, "C", "c", default);
        _time.Advance(_options.Lease / 3);
        await owner.RenewAsync(default);

        var refused = await Assert.ThrowsAsync<ClusterException>(() => _time.UntilAsync(claim, _step));

        Assert.Equal(ClusterError.WrongState, refused.Error);
        Assert.Equal(("A", 1L, OwnershipState.Running), await OwnerAsync());
    }

    [Fact]
    public async Task AVmWhoseOwnerIsSilentIsClaimedOnlyAfterLeaseAndMargin()
    {
        var owner = await ClaimedAsync();
        var ends = owner.LeaseEnds;

        using var taker = await _time.UntilAsync(Tenure.ClaimAsync(_store, _time, _options, Vm, "C", "c", default), _step);

        Assert.True(taker.LeaseStarted >= ends + _options.Margin.Ticks, "the VM was taken while its owner could still run it");
        Assert.Equal((2L, 2L), (taker.Epoch, taker.Record.BootEpoch));
        Assert.False(await owner.RenewAsync(default));
    }

    private async Task<Tenure> ClaimedAsync()
    {
        await _store.CreateAsync(Vm, new VmDefinition { MemoryBytes = 1 << 20 }, default);
        return await Tenure.ClaimAsync(_store, _time, _options, Vm, "A", "a", default);
    }

    private async Task<(MoveSource Source, MoveTarget Target)> BegunMoveAsync()
    {
        var source = Source(await ClaimedAsync());
        Assert.True(await source.BeginMoveAsync(default));
        return (source, Target("job", "B"));
    }

    private MoveSource Source(Tenure tenure) => new(_store, _time, _options, tenure, _move, _ => { });

    private MoveTarget Target(string attempt, string silo) => new(_store, _time, _options, Vm, attempt, silo, silo, _ => { });

    private async Task<(string? Owner, long Epoch, OwnershipState State)> OwnerAsync()
    {
        var record = await _store.ReadAsync(Vm, default);
        return (record!.Owner, record.Epoch, record.State);
    }
}
