using System.Threading.Channels;

namespace Godwit.Engine.Machine;

/// <summary>
/// A machine's events in order, for one reader. What the machine does is never dropped; what the guest says through Log
/// is, once too much of it waits, so that a guest cannot fill the host's memory.
/// </summary>
internal sealed class EventLog
{
    /// <summary>Guest log entries that may wait for the reader.</summary>
    public const int MaxWaitingGuestLogs = 65536;

    private readonly Channel<MachineEvent> _events = Channel.CreateUnbounded<MachineEvent>(new UnboundedChannelOptions { SingleReader = true });
    private int _waitingLogs;

    public void Add(MachineEvent what)
    {
        if (what is GuestLogged && Interlocked.Increment(ref _waitingLogs) > MaxWaitingGuestLogs)
        {
            Interlocked.Decrement(ref _waitingLogs);
            return;
        }
        _ = _events.Writer.TryWrite(what);
    }

    public void Complete() => _events.Writer.TryComplete();

    public async IAsyncEnumerable<MachineEvent> ReadAllAsync()
    {
        await foreach (MachineEvent what in _events.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            if (what is GuestLogged)
                Interlocked.Decrement(ref _waitingLogs);
            yield return what;
        }
    }
}
