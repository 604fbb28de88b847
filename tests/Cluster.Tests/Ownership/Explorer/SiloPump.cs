namespace Godwit.Cluster.Tests.Ownership.Explorer;

/// <summary>
/// Everything that one silo does, continuation by continuation, when the explorer says so: a frozen silo is a pump that is
/// not turned, a dead one a pump that is emptied. One thread turns all pumps, so that a seed repeats exactly.
/// </summary>
internal sealed class SiloPump : SynchronizationContext
{
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _waiting = new();
    private bool _dead;

    public bool HasWork => _waiting.Count > 0;

    public override void Post(SendOrPostCallback d, object? state)
    {
        if (!_dead)
        {
            _waiting.Enqueue((d, state));
        }
    }

    public override void Send(SendOrPostCallback d, object? state) => throw new NotSupportedException("nothing here waits for a silo");

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>What the silo's work ended with that nobody expected.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Starts work whose continuations all belong to this silo.</summary>
    public void Start(Func<Task> work) => Post(_ => _ = WatchedAsync(work), null);

    /// <summary>Runs one continuation to its next await.</summary>
    public void Turn()
    {
        var (callback, state) = _waiting.Dequeue();
        var before = Current;
        SetSynchronizationContext(this);
        try
        {
            callback(state);
        }
        finally
        {
            SetSynchronizationContext(before);
        }
    }

    private async Task WatchedAsync(Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e) when (!_dead)
        {
            Failure = e;
        }
    }

    public void Kill()
    {
        _dead = true;
        _waiting.Clear();
    }
}
