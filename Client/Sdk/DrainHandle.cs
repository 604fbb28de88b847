using System.Runtime.CompilerServices;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Client;

/// <summary>A silo's drain, to be watched or waited for; letting go of the handle changes nothing.</summary>
public sealed class DrainHandle
{
    private readonly GodwitClient _client;

    internal DrainHandle(GodwitClient client, DrainTicket ticket)
    {
        _client = client;
        Ticket = ticket;
    }

    public DrainTicket Ticket { get; }

    /// <summary>Steps after a sequence, as they come, until the drain has ended.</summary>
    public async IAsyncEnumerable<DrainStep> WatchAsync(long afterSequence = 0, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var after = afterSequence;
        DrainUpdate update;
        do
        {
            update = await AskAsync(after, cancellation);
            foreach (var step in update.Steps)
            {
                yield return step;
                after = step.Sequence;
            }
        }
        while (update.Outcome == DrainOutcome.UnderWay);
    }

    /// <summary>Waits for the end: <see cref="DrainUpdate.Result"/> is there then, and the outcome says whether the silo is empty.</summary>
    public async Task<DrainUpdate> EndAsync(CancellationToken cancellation = default)
    {
        DrainUpdate update;
        do
        {
            update = await AskAsync(long.MaxValue - 1, cancellation);
        }
        while (update.Outcome == DrainOutcome.UnderWay);
        return update;
    }

    private async Task<DrainUpdate> AskAsync(long after, CancellationToken cancellation)
    {
        try
        {
            return await _client.Calls.RetryAsync(g => g.GetGrain<IHostGrain>(Ticket.SiloAddress).WatchDrain(Ticket.Job, after, CallLimits.WatchWait), cancellation);
        }
        catch (GodwitException e) when (e.Error == ClusterError.Unavailable)
        {
            throw new GodwitException(ClusterError.Unavailable, $"Silo {Ticket.SiloName} does not answer any more; \"godwit vm list\" says where its VMs are.", e);
        }
    }
}
