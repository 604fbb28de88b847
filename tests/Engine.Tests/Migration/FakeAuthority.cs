using Godwit.Engine.Migration;

namespace Godwit.Engine.Tests.Migration;

/// <summary>The ownership record in memory, with its compare-and-swaps.</summary>
internal sealed class FakeAuthority : IMigrationSourceAuthority, IMigrationTargetAuthority
{
    private readonly Lock _gate = new();

    /// <summary>"A", "B" or "moving".</summary>
    public string Owner { get; private set; } = "A";

    public long Epoch { get; private set; } = 1;

    /// <summary>The record is somebody else's.</summary>
    public bool Taken { get; set; }

    /// <summary>Does the compare-and-swap, then fails: the caller cannot know.</summary>
    public bool BeginIsUnknown { get; set; }

    /// <summary>Awaited before the first compare-and-swap, which does not take place where the caller has cancelled by then.</summary>
    public Func<Task>? BeforeBegin { get; set; }

    /// <summary>Takes back only what is moving, and says false to anything else.</summary>
    public bool AbandonsOnlyMoves { get; set; }

    public bool ResolveIsUnknown { get; set; }

    public async Task<bool> BeginMoveAsync(CancellationToken cancellation)
    {
        await (BeforeBegin?.Invoke() ?? Task.CompletedTask);
        cancellation.ThrowIfCancellationRequested();
        lock (_gate)
        {
            if (Taken || Owner != "A")
                return false;
            Owner = "moving";
        }
        return BeginIsUnknown ? throw new IOException("the store did not answer") : true;
    }

    public Task<bool> AbandonMoveAsync(CancellationToken cancellation)
    {
        lock (_gate)
        {
            if (Owner == "B" || (AbandonsOnlyMoves && Owner != "moving"))
                return Task.FromResult(false);
            Owner = "A";
            return Task.FromResult(true);
        }
    }

    public Task<bool> ResolveMoveAsync(CancellationToken cancellation)
    {
        lock (_gate)
            return ResolveIsUnknown ? throw new IOException("the store is gone") : Task.FromResult(Owner == "B");
    }

    /// <summary>The target is found dead: the source's side takes the record over.</summary>
    public void TakeBack()
    {
        lock (_gate)
        {
            Owner = "A";
            Epoch++;
        }
    }

    public Task<long?> CommitMoveAsync(CancellationToken cancellation)
    {
        lock (_gate)
        {
            if (Owner != "moving")
                return Task.FromResult<long?>(null);
            Owner = "B";
            return Task.FromResult<long?>(++Epoch);
        }
    }
}
