namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>
/// Evens out the silos; key 0. It holds the one rebalance that is under way, or the latest. Where the silo that it lives on
/// dies, migrations that have begun go on and no further ones begin: the command can be given again.
/// </summary>
[Alias("Godwit.IRebalanceGrain")]
public interface IRebalanceGrain : IGrainWithIntegerKey
{
    /// <summary>What a rebalance would do now.</summary>
    [Alias("Plan"), ResponseTimeout(CallLimits.Command)]
    Task<RebalancePlan> Plan();

    /// <summary>Plans, and begins to carry the plan out; where that is under way already, its ticket.</summary>
    [Alias("Start"), ResponseTimeout(CallLimits.Command)]
    Task<RebalanceTicket> Start(RebalanceRequest request);

    /// <summary>Steps after a sequence; waits up to <paramref name="wait"/> for one.</summary>
    [Alias("Watch"), ResponseTimeout(CallLimits.Watch)]
    Task<RebalanceUpdate> Watch(string job, long afterSequence, TimeSpan wait);

    /// <summary>No further moves; those that have begun go on.</summary>
    [Alias("Cancel"), ResponseTimeout(CallLimits.Command)]
    Task Cancel();
}
