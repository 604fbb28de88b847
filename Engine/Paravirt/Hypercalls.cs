using System.Buffers.Binary;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;

namespace Godwit.Engine.Paravirt;

/// <summary>
/// Godwit's hypercalls and the guest's side of the migration handshake (docs/paravirt.md). Calls come on vCPU threads
/// with the machine lock held; the handshake's members come from the migration's thread and take the lock themselves.
/// </summary>
public sealed class Hypercalls : IGuestHandshake, ISavedState<HypercallsState>
{
    /// <summary>Ranges that one FreePages call may name.</summary>
    public const int MaxFreeRanges = 4096;

    /// <summary>Bytes that one ConsoleWrite call may carry.</summary>
    public const int MaxConsoleBytes = 65536;

    /// <summary>Subscribe with this address ends the subscription.</summary>
    public const ulong Unsubscribe = ulong.MaxValue;

    private const int FreeRangeBytes = 16;
    private const int LowestVector = 32;

    private readonly Lock _machineLock;
    private readonly GuestMemory _memory;
    private readonly Action<byte> _raiseInterrupt;
    private readonly IHypercallSink _sink;
    private readonly Action<Action> _afterInstruction;
    private readonly List<IHypercallContext> _vcpus = [];
    private readonly SortedSet<int> _parked = [];
    private TaskCompletionSource? _readyWaiter;
    private GuestSubscription? _subscription;
    private MigrationEvent _event;
    private uint _changes;
    private bool _cooperative;
    private bool _lastMoved;

    /// <param name="machineLock">The machine's one device lock.</param>
    /// <param name="raiseInterrupt">Raises an edge-triggered vector at vCPU 0's local APIC and wakes it; called under the lock.</param>
    /// <param name="sink">Where the guest's console bytes and marks go.</param>
    /// <param name="afterInstruction">Does something once the calling vCPU's instruction is over, without the lock; null: at once.</param>
    public Hypercalls(Lock machineLock, GuestMemory memory, Action<byte> raiseInterrupt, IHypercallSink sink, Action<Action>? afterInstruction = null)
    {
        _afterInstruction = afterInstruction ?? (action => action());
        _machineLock = machineLock;
        _memory = memory;
        _raiseInterrupt = raiseInterrupt;
        _sink = sink;
    }

    /// <inheritdoc/>
    public event Action<IReadOnlyList<PageRange>>? PagesFreed;

    /// <summary>Raised under the machine lock when a parked vCPU may enter guest code again, with its index.</summary>
    public event Action<int>? Unparked;

    /// <inheritdoc/>
    public bool Cooperative
    {
        get
        {
            lock (_machineLock)
                return _cooperative;
        }
    }

    /// <summary>Adds a vCPU; its index is the number of those added before. All are added before the machine runs or loads state.</summary>
    public void AttachVcpu(IHypercallContext vcpu) => _vcpus.Add(vcpu);

    /// <summary>Whether a vCPU waits in Ready and must not enter guest code.</summary>
    public bool IsParked(int vcpu)
    {
        lock (_machineLock)
            return _parked.Contains(vcpu);
    }

    /// <summary>A hypercall through the doorbell. Writes the result to RAX, except where the vCPU parks.</summary>
    public HypercallOutcome Call(IHypercallContext vcpu)
    {
        lock (_machineLock)
        {
            long result;
            switch ((HypercallNumber)(uint)vcpu.Rax)
            {
                case HypercallNumber.Features: result = GodwitInterface.Features; break;
                case HypercallNumber.Subscribe: result = Subscribe(vcpu); break;
                case HypercallNumber.FreePages: result = FreePages(vcpu); break;
                case HypercallNumber.ConsoleWrite: result = ConsoleWrite(vcpu); break;
                case HypercallNumber.Log: result = Log(vcpu); break;
                case HypercallNumber.Poll: result = Poll(); break;
                case HypercallNumber.Ready when _event is MigrationEvent.Announced or MigrationEvent.StopSoon:
                    Park(vcpu);
                    return HypercallOutcome.Parked;
                // Late or out of the blue: nobody would ever complete it, so it tells what became of the last move.
                case HypercallNumber.Ready: result = _lastMoved ? 1 : 0; break;
                default: result = HypercallError.Unknown; break;
            }
            vcpu.Rax = (ulong)result;
            return HypercallOutcome.Completed;
        }
    }

    /// <summary>A VMCALL or VMMCALL: KVM's call numbers, of which none that is advertised needs one. Writes the result to RAX.</summary>
    public static void VmCall(IHypercallContext vcpu) =>
        vcpu.Rax = (ulong)(vcpu.Cpl != 0 ? HypercallError.NotPermitted : HypercallError.Unknown);

    /// <inheritdoc/>
    public void Announce(MigrationEvent what)
    {
        lock (_machineLock)
        {
            if (what == _event)
                return;
            _event = what;
            _changes++;
            // With no migration under way nobody is left to complete a call.
            if (what == MigrationEvent.None)
                Unpark(moved: false);
            if (_subscription is not { } subscription)
                return;
            Publish(subscription);
            if (subscription.Vector != 0)
                _raiseInterrupt(subscription.Vector);
        }
    }

    /// <inheritdoc/>
    public Task WaitReadyAsync(CancellationToken cancellation)
    {
        lock (_machineLock)
        {
            if (_parked.Count != 0)
                return Task.CompletedTask;
            _readyWaiter ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _readyWaiter.Task.WaitAsync(cancellation);
        }
    }

    /// <inheritdoc/>
    public void CompleteReady(bool moved)
    {
        lock (_machineLock)
        {
            _lastMoved = moved;
            Unpark(moved);
        }
    }

    /// <inheritdoc/>
    public HypercallsState SaveState()
    {
        lock (_machineLock)
            return new HypercallsState
            {
                SubscribedAddress = _subscription?.Address.Value,
                Vector = _subscription?.Vector ?? 0,
                Event = (int)_event,
                Changes = _changes,
                Cooperative = _cooperative,
                LastMoved = _lastMoved,
                PendingReady = [.. _parked],
            };
    }

    /// <inheritdoc/>
    public void LoadState(HypercallsState state)
    {
        lock (_machineLock)
        {
            if (!Enum.IsDefined((MigrationEvent)state.Event))
                throw new InvalidStateException($"hypercalls: migration event {state.Event} does not exist");
            if (state.PendingReady is null || state.PendingReady.Length > _vcpus.Count)
                throw new InvalidStateException("hypercalls: the list of pending Ready calls does not fit the machine");
            foreach (int vcpu in state.PendingReady)
                if (vcpu < 0 || vcpu >= _vcpus.Count)
                    throw new InvalidStateException($"hypercalls: vCPU {vcpu} waits in Ready but the machine has {_vcpus.Count}");
            GuestSubscription? subscription = null;
            if (state.SubscribedAddress is { } address
                && !TryMakeSubscription(address, state.Vector, out subscription))
                throw new InvalidStateException($"hypercalls: subscription to 0x{address:x} with vector {state.Vector} is not valid");
            _subscription = subscription;
            _event = (MigrationEvent)state.Event;
            _changes = state.Changes;
            _cooperative = state.Cooperative;
            _lastMoved = state.LastMoved;
            _parked.Clear();
            _parked.UnionWith(state.PendingReady);
        }
    }

    private void Park(IHypercallContext vcpu)
    {
        int index = _vcpus.IndexOf(vcpu);
        if (index < 0)
            throw new InvalidOperationException("a hypercall came from a vCPU that was never attached");
        _parked.Add(index);
        _readyWaiter?.TrySetResult();
        _readyWaiter = null;
    }

    private void Unpark(bool moved)
    {
        foreach (int vcpu in _parked)
            _vcpus[vcpu].Rax = moved ? 1u : 0u;
        int[] released = [.. _parked];
        _parked.Clear();
        foreach (int vcpu in released)
            Unparked?.Invoke(vcpu);
    }

    private long Subscribe(IHypercallContext vcpu)
    {
        if (vcpu.Cpl != 0)
            return HypercallError.NotPermitted;
        if (vcpu.Rbx == Unsubscribe)
        {
            _subscription = null;
            _cooperative = false;
            return 0;
        }
        if (!_memory.Contains(new GuestPhysicalAddress(vcpu.Rbx), SubscriptionPage.Bytes))
            return HypercallError.BadAddress;
        if (!TryMakeSubscription(vcpu.Rbx, vcpu.Rcx, out GuestSubscription? subscription))
            return HypercallError.Invalid;
        _subscription = subscription;
        _cooperative = true;
        Publish(subscription!);
        return 0;
    }

    private bool TryMakeSubscription(ulong address, ulong vector, out GuestSubscription? subscription)
    {
        subscription = null;
        GuestPhysicalAddress page = new(address);
        if (page.Offset != 0 || !_memory.Contains(page, SubscriptionPage.Bytes))
            return false;
        if (vector != 0 && vector is < LowestVector or > byte.MaxValue)
            return false;
        subscription = new GuestSubscription(page, (byte)vector);
        return true;
    }

    private void Publish(GuestSubscription subscription)
    {
        Span<byte> words = stackalloc byte[SubscriptionPage.Bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(words[SubscriptionPage.Event..], (uint)_event);
        BinaryPrimitives.WriteUInt32LittleEndian(words[SubscriptionPage.Changes..], _changes);
        _memory.TryWrite(subscription.Address, words);
    }

    private long FreePages(IHypercallContext vcpu)
    {
        if (vcpu.Cpl != 0)
            return HypercallError.NotPermitted;
        if (vcpu.Rcx > MaxFreeRanges)
            return HypercallError.TooBig;
        byte[] list = new byte[(int)vcpu.Rcx * FreeRangeBytes];
        if (!_memory.TryRead(new GuestPhysicalAddress(vcpu.Rbx), list))
            return HypercallError.BadAddress;
        List<PageRange> ranges = new((int)vcpu.Rcx);
        for (int at = 0; at < list.Length; at += FreeRangeBytes)
        {
            ulong first = BinaryPrimitives.ReadUInt64LittleEndian(list.AsSpan(at));
            ulong count = BinaryPrimitives.ReadUInt64LittleEndian(list.AsSpan(at + 8));
            ulong pages = (ulong)_memory.PageCount;
            if (first > pages || count > pages - first)
                return HypercallError.BadAddress;
            if (count != 0)
                ranges.Add(new PageRange(new PageNumber(first), (int)count));
        }
        // All or nothing: the ranges are named only once the whole list has been checked.
        if (ranges.Count != 0)
            _afterInstruction(() => PagesFreed?.Invoke(ranges));
        return 0;
    }

    private long ConsoleWrite(IHypercallContext vcpu)
    {
        if (vcpu.Cpl != 0)
            return HypercallError.NotPermitted;
        if (vcpu.Rcx > MaxConsoleBytes)
            return HypercallError.TooBig;
        byte[] bytes = new byte[(int)vcpu.Rcx];
        if (!_memory.TryRead(new GuestPhysicalAddress(vcpu.Rbx), bytes))
            return HypercallError.BadAddress;
        _sink.ConsoleBytes(bytes);
        return bytes.Length;
    }

    private long Log(IHypercallContext vcpu)
    {
        _sink.Logged(vcpu.Rbx, vcpu.Rcx);
        return 0;
    }

    private long Poll()
    {
        _cooperative = true;
        return (long)_event;
    }

    private sealed record GuestSubscription(GuestPhysicalAddress Address, byte Vector);
}
