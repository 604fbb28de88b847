using System.Runtime.CompilerServices;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Client;

/// <summary>A rebalance, to be watched, waited for or cancelled; letting go of the handle changes nothing.</summary>
public sealed class RebalanceHandle
{
    private readonly GodwitClient _client;

    internal RebalanceHandle(GodwitClient client, RebalanceTicket ticket)
    {
        _client = client;
        Ticket = ticket;
    }

    public RebalanceTicket Ticket { get; }

    /// <summary>Steps after a sequence, as they come, until it has ended.</summary>
    public async IAsyncEnumerable<RebalanceStep> WatchAsync(long afterSequence = 0, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var after = afterSequence;
        RebalanceUpdate update;
        do
        {
            update = await AskAsync(after, cancellation);
            foreach (var step in update.Steps)
            {
                yield return step;
                after = step.Sequence;
            }
        }
        while (update.Outcome == RebalanceOutcome.UnderWay);
    }

    /// <summary>Waits for the end: <see cref="RebalanceUpdate.Result"/> is there then.</summary>
    public async Task<RebalanceUpdate> EndAsync(CancellationToken cancellation = default)
    {
        RebalanceUpdate update;
        do
        {
            update = await AskAsync(long.MaxValue - 1, cancellation);
        }
        while (update.Outcome == RebalanceOutcome.UnderWay);
        return update;
    }

    /// <summary>No further moves; those that have begun go on.</summary>
    public Task CancelAsync(CancellationToken cancellation = default) =>
        _client.Calls.OnceAsync(g => g.GetGrain<IRebalanceGrain>(0).Cancel(), cancellation);

    private Task<RebalanceUpdate> AskAsync(long after, CancellationToken cancellation) =>
        _client.Calls.RetryAsync(g => g.GetGrain<IRebalanceGrain>(0).Watch(Ticket.Job, after, Grains.Interfaces.CallLimits.WatchWait), cancellation);
}
