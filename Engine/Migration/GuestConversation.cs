using System.Diagnostics;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>
/// What a migration says to a guest that knows it is virtual, and what it hears. Everything the guest does or fails to
/// do here costs time, within limits; it can make nothing wrong.
/// </summary>
internal sealed class GuestConversation : IDisposable
{
    // How long a guest may take to name its free pages before the first round begins without.
    private static readonly TimeSpan s_freePagesTime = TimeSpan.FromMilliseconds(100);

    // While Ready is awaited, what the guest goes on writing is sent about this often.
    private static readonly TimeSpan s_roundInterval = TimeSpan.FromMilliseconds(20);

    private readonly IMigratableMachine _machine;
    private readonly MigrationOptions _options;
    private readonly CancellationTokenSource _ended = new();
    private readonly TaskCompletionSource _freed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _ready = Task.CompletedTask;
    private long _readyAt;
    private bool _disposed;

    public GuestConversation(IMigratableMachine machine, MigrationOptions options)
    {
        _machine = machine;
        _options = options;
        Cooperates = options.Cooperate && machine.Guest.Cooperative;
        if (options.Cooperate)
            machine.Guest.PagesFreed += OnPagesFreed;
    }

    /// <summary>Whether the guest is asked to help.</summary>
    public bool Cooperates { get; }

    /// <summary>The guest has been told and must be told the end.</summary>
    public bool Announced { get; private set; }

    /// <summary>The timestamp at which the guest called Ready, its last instruction; null where it did not.</summary>
    public long? ReadyAt => Volatile.Read(ref _readyAt) is not 0 and var at ? at : null;

    /// <summary>Tells the guest and gives it a moment to name its free pages.</summary>
    public async Task AnnounceAsync(CancellationToken cancellation)
    {
        if (!Cooperates)
            return;
        Announced = true;
        _ready = NoteReadyAsync();
        _machine.Guest.Announce(MigrationEvent.Announced);
        TimeSpan limit = _options.ReadyTimeout < s_freePagesTime ? _options.ReadyTimeout : s_freePagesTime;
        await WithinAsync(Task.WhenAny(_freed.Task, _ready), limit, cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// Tells the guest that it will be stopped and waits for its Ready within the limit, sending meanwhile what it
    /// still writes.
    /// </summary>
    public async Task StopSoonAsync(Func<Func<bool>, Task> sendRound, CancellationToken cancellation)
    {
        if (!Cooperates)
            return;
        _machine.Guest.Announce(MigrationEvent.StopSoon);
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            TimeSpan left = _options.ReadyTimeout - Stopwatch.GetElapsedTime(began);
            if (left <= TimeSpan.Zero)
                return;
            if (await WithinAsync(_ready, left < s_roundInterval ? left : s_roundInterval, cancellation).ConfigureAwait(false))
                return;
            await sendRound(() => _ready.IsCompleted).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// The migration is over, on whichever side this is called: tells a guest that was told of it, and answers a Ready.
    /// In this order: once told, a new Ready is answered at once and cannot be left behind.
    /// </summary>
    public void End(bool moved) => End(_machine.Guest, Announced, moved);

    public static void End(IGuestHandshake guest, bool announced, bool moved)
    {
        if (announced)
            guest.Announce(MigrationEvent.Resumed);
        guest.CompleteReady(moved);
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _machine.Guest.PagesFreed -= OnPagesFreed;
        _ended.Cancel();
        _ended.Dispose();
    }

    private void OnPagesFreed(IReadOnlyList<PageRange> ranges)
    {
        _machine.Memory.Dirty.DeclareFree(ranges);
        _freed.TrySetResult();
    }

    private async Task NoteReadyAsync()
    {
        try
        {
            await _machine.Guest.WaitReadyAsync(_ended.Token).ConfigureAwait(false);
            Volatile.Write(ref _readyAt, Stopwatch.GetTimestamp());
        }
        catch (OperationCanceledException)
        {
            // It never came.
        }
    }

    private static async Task<bool> WithinAsync(Task task, TimeSpan limit, CancellationToken cancellation)
    {
        try
        {
            await task.WaitAsync(limit, cancellation).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }
}
