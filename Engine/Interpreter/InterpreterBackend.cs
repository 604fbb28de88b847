using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// The portable back end, and the reference for the others: decoded blocks run through function pointers; between
/// blocks stands this dispatcher, which delivers events and looks up what blocks do not know. docs/interpreter.md.
/// </summary>
public sealed unsafe class InterpreterBackend : IVcpuBackend, IPageWriteObserver
{
    /// <summary>Room for decoded code: half a million instructions.</summary>
    public const long DefaultCodeBytes = 32 << 20;

    /// <summary>A stale block counts as more instructions than this.</summary>
    private const long LongestRun = 1 << 30;

    /// <summary>How often one string instruction is taken up again before the run ends.</summary>
    private const int PartialsInARow = 1024;

    private readonly Vcpu _vcpu;
    private readonly VcpuContext* _c;
    private readonly BlockCache _blocks;
    private readonly BlockDecoder _decoder;
    private readonly JumpCache _jumps;
    private readonly CodeTranslations _code;
    private readonly WorkLog _work;
    private readonly SoftwareTlb _tlb;
    private readonly ConcurrentDictionary<ulong, byte> _written = new();
    private byte _mode;
    private ulong _codeBase;
    private bool _user;

    /// <summary>A run ends in front of the block that the budget is too short for, not in it.</summary>
    private bool _wholeBlocks;
    private ulong _deliveredAt = ulong.MaxValue, _partialAt = ulong.MaxValue;
    private int _partials;

    /// <param name="vcpu">The vCPU to run; it is given this back end's hooks.</param>
    /// <param name="codeBytes">Bytes of memory for decoded code.</param>
    public InterpreterBackend(Vcpu vcpu, long codeBytes = DefaultCodeBytes)
        : this(vcpu, null, codeBytes)
    {
    }

    /// <param name="vcpu">The vCPU to run.</param>
    /// <param name="translator">Who translates the blocks that run often; null: nobody.</param>
    /// <param name="codeBytes">Bytes of memory for decoded code.</param>
    internal InterpreterBackend(Vcpu vcpu, IBlockTranslator? translator, long codeBytes)
    {
        _vcpu = vcpu;
        _c = vcpu.Context;
        _work = new WorkLog(_c);
        AddressSpaces spaces = new();
        _jumps = new JumpCache(spaces, translator);
        if (translator != null)
        {
            translator.Jumps = _jumps;
            translator.Blocks = FindDecoded;
            translator.Switched = SelectMode;
            translator.Neighbour = FindNeighbour;
            translator.Work = _work;
        }
        _blocks = new BlockCache(vcpu.Memory, (nuint)codeBytes, this) { Translator = translator, Jumps = _jumps, Work = _work };
        _code = new CodeTranslations(vcpu, spaces);
        _decoder = new BlockDecoder(vcpu, _blocks, _code);
        _tlb = new SoftwareTlb(vcpu, spaces, _jumps, _code, _blocks);
        _blocks.PageBecameCode = _tlb.RevokeWritePermission;
        _blocks.PageWatched = page => vcpu.Seat?.Elsewhere(other => other.Translations.RevokeWritePermission(page));
        vcpu.Translations = _tlb;
        vcpu.Code = _blocks;
    }

    /// <summary>Decoded blocks that had to go for want of room.</summary>
    public long EvictedBlocks => _blocks.Evicted.Blocks;

    /// <summary>The longest that one piece of this work took, since the start.</summary>
    public TimeSpan Longest(CodeWork work) => _work.Longest(work);

    /// <summary>How long all pieces of this work took, since the start.</summary>
    public TimeSpan Total(CodeWork work) => _work.Total(work);

    /// <summary>Whether work is measured in the thread's processor time: a system call each time.</summary>
    public bool CountsProcessorTime
    {
        get => _work.CountsProcessorTime;
        set => _work.CountsProcessorTime = value;
    }

    public VcpuExit Run(long budget) => Run(budget, wholeBlocks: false);

    public VcpuExit RunSlice(long budget) => Run(budget, wholeBlocks: budget >= BlockDecoder.Longest);

    private VcpuExit Run(long budget, bool wholeBlocks)
    {
        _wholeBlocks = wholeBlocks;
        _work.Begin(limited: wholeBlocks);
        _vcpu.Seat?.Enter();
        try
        {
            return RunInside(budget);
        }
        finally
        {
            _vcpu.Seat?.Leave();
        }
    }

    private VcpuExit RunInside(long budget)
    {
        ref CpuState state = ref _c->State;
        _c->SetArithmetic(state.Rflags);
        // An NMI comes with a kick, so that it is looked for here only.
        lock (_vcpu.Bus.Gate)
            state.NmiPending |= _vcpu.Interrupts.TakeNmi();
        VcpuExit exit;
        do
        {
            long part = Math.Min(budget, LongestRun);
            _c->Budget = part;
            exit = Loop();
            budget -= part - _c->Budget;
        }
        while (exit == VcpuExit.Interrupted && _c->Budget <= 0 && budget > 0);
        state.Rflags = _c->GetRflags();
        return exit;
    }

    public void Reset()
    {
        _tlb.FlushAll();
        _blocks.Clear();
    }

    /// <summary>A device or another vCPU wrote to a page with code. Any thread; the vCPU looks before its next block.</summary>
    public void PageWritten(PageNumber page)
    {
        _written[page.Value] = 0;
        _vcpu.Kick();
    }

    public void Dispose()
    {
        _vcpu.Translations = NoCaches.Instance;
        _vcpu.Code = NoCaches.Instance;
        _tlb.Dispose();
        _jumps.Dispose();
        _blocks.Dispose();
    }

    private VcpuExit Loop()
    {
        VcpuContext* c = _c;
        Op* last = null;
        while (true)
        {
            if (Volatile.Read(ref c->ExitRequest) != 0)
            {
                last = null;
                // Cleared before anything is looked at, so that what comes later is seen by the next look.
                Interlocked.Exchange(ref c->ExitRequest, 0);
                DropWrittenCode();
                if (c->PendingExit >= 0)
                {
                    VcpuExit exit = (VcpuExit)c->PendingExit;
                    c->PendingExit = -1;
                    return exit;
                }
                return VcpuExit.Interrupted;
            }
            if (c->Budget <= 0)
                return VcpuExit.Interrupted;
            if (EventWaits() && !DeliverWaiting(ref last))
                return VcpuExit.Shutdown;
            if (c->State.Halted)
                return VcpuExit.Halted;
            SelectMode();
            bool debugged = (c->State.Rflags & Rflags.TF) != 0 || Breakpoints.AreOn(c->State);
            if (debugged && MeetsBreakpoint())
            {
                if (!Complete(ref last))
                    return VcpuExit.Shutdown;
                continue;
            }
            // It holds for one instruction (SDM 3A, 2.3).
            c->State.Rflags &= ~Rflags.RF;
            // With nothing to hold back, whatever runs next ends the shadow.
            bool alone = debugged || (c->State.InterruptShadow && EventIsThere());
            Block* block = Find(last);
            if (block != null)
                last = alone ? RunAlone(block) : Execute(block);
            else
                last = null;
            if (c->Fault.Vector != Fault.None && !Complete(ref last))
                return VcpuExit.Shutdown;
        }
    }

    /// <summary>Runs blocks until an op leaves the loop; returns that op.</summary>
    private Op* Execute(Block* block)
    {
        VcpuContext* c = _c;
        if (c->Budget < block->Instructions)
        {
            if (!_wholeBlocks)
                return RunShort(block);
            c->Budget = 0;
            return null;
        }
        Op* op = Block.Enter(c, block);
        if (op == null)
            return null;
        c->State.InterruptShadow = false;
        Op* last;
        do
        {
            last = op;
            op = op->Execute(c, op);
        }
        while (op != null);
        if (c->Fault.Vector != Fault.None)
        {
            c->State.Rip = last->Rip;
            c->Budget += last->Remaining + 1;
            c->State.RetiredInstructions -= (ulong)(last->Remaining + 1);
        }
        return last;
    }

    /// <summary>Runs the first instructions of a block, as many as the budget has left.</summary>
    private Op* RunShort(Block* block)
    {
        Op* op = Block.First(block);
        Op* last = null;
        _c->State.InterruptShadow = false;
        while (_c->Budget > 0 && op != null && (op->Flags & (byte)OpFlags.Internal) == 0 && !BlockCache.IsStale(op))
            op = Step(op, out last);
        return last;
    }

    /// <summary>Runs the first instruction of a block, with what follows from running alone: devices may be reached, and debug traps taken.</summary>
    private Op* RunAlone(Block* block)
    {
        VcpuContext* c = _c;
        bool trap = (c->State.Rflags & Rflags.TF) != 0;
        bool shadow = c->State.InterruptShadow;
        c->State.InterruptShadow = false;
        Op* first = Block.First(block);
        Op* op = first;
        while (op->Length == 0)
            op++;
        trap &= (op->Flags & (byte)OpFlags.NoTrap) == 0;
        _tlb.BreakpointHits = 0;
        _tlb.Alone = true;
        _ = Step(first, out Op* last);
        _tlb.Alone = false;
        if (c->Fault.Vector == Completion.Partial)
            c->State.InterruptShadow = shadow;
        else if (c->Fault.Vector != Fault.None || c->State.InterruptShadow)
            return last;
        ulong hits = _tlb.BreakpointHits | (trap ? DebugSingleStep : 0);
        if (hits != 0)
            EventDelivery.RaiseDebug(c, hits);
        return last;
    }

    /// <summary>Records a debug exception where an instruction breakpoint stands at RIP and RF does not hide it.</summary>
    private bool MeetsBreakpoint()
    {
        ref CpuState state = ref _c->State;
        if ((state.Rflags & Rflags.RF) != 0)
            return false;
        ulong linear = state.Mode64 ? state.Rip : (uint)(state.Rip + state.Cs.Base);
        ulong hits = Breakpoints.AtInstruction(state, linear);
        return hits != 0 && !EventDelivery.RaiseDebug(_c, hits);
    }

    /// <summary>DR6.BS (SDM 3B, 17.2.3).</summary>
    private const ulong DebugSingleStep = 1 << 14;

    /// <summary>
    /// Executes one instruction alone, counted before it runs as in a block. Returns the next op of the block; null after
    /// a branch, a fault or the end. RIP is right in every case.
    /// </summary>
    private Op* Step(Op* op, out Op* last)
    {
        VcpuContext* c = _c;
        c->Budget--;
        c->State.RetiredInstructions++;
        Op* next = op;
        do
        {
            last = next;
            next = _blocks.Translator is { } translator ? translator.Plain(last)(c, last) : last->Execute(c, last);
        }
        while (next == last + 1 && last->Length == 0);
        if (next == null)
        {
            if (c->Fault.Vector == Fault.None)
                return null;
            c->State.Rip = last->Rip;
            c->Budget++;
            c->State.RetiredInstructions--;
            return null;
        }
        if (next == last + 1)
        {
            c->State.Rip = next->Rip;
            return next;
        }
        // A branch has entered its target's block and charged it: undo that.
        Block* target = (Block*)next - 1;
        c->Budget += target->Instructions;
        c->State.RetiredInstructions -= target->Instructions;
        c->State.Rip = target->Rip;
        return null;
    }

    /// <summary>The block at RIP, linked to the branch that asked for it. Null: a fault is recorded, or the oldest blocks have just gone.</summary>
    private Block* Find(Op* last)
    {
        VcpuContext* c = _c;
        ulong rip = c->State.Rip;
        Block* block = JumpCache.Find(c, rip);
        if (block == null || block->Instructions == Block.Stale)
        {
            block = LookUp(rip);
            if (block == null)
                return null;
        }
        if (last != null && (last->Flags & (byte)OpFlags.Branch) != 0)
            Link(last, block);
        return block;
    }

    private Block* LookUp(ulong rip)
    {
        ulong linear = rip;
        if ((_mode & CodeMode.SizeMask) != CodeMode.Code64)
        {
            if (rip > _c->State.Cs.Limit)
            {
                _c->Raise(Vector.GP, 0);
                return null;
            }
            linear = (uint)(rip + _c->State.Cs.Base);
        }
        else if (!Paging.IsCanonical(rip))
        {
            _c->Raise(Vector.GP, 0);
            return null;
        }
        if (!_code.Translate(linear, _user, out ulong physical, out bool global))
            return null;
        Block* block = _blocks.Find(rip, physical, _mode);
        if (block != null && block->SecondPage != Block.OnePage && !SecondPageHolds(block, linear, ref global))
            block = null;
        if (_c->Fault.Vector != Fault.None)
            return null;
        if (block == null)
        {
            long began = _work.Now;
            block = _decoder.Decode(rip, linear, physical, _mode, _user, ref global);
            _work.Done(CodeWork.Decoding, began);
            if (block == null)
            {
                if (_c->Fault.Vector == Fault.None)
                    _blocks.Evict();
                return null;
            }
            _blocks.Add(block);
        }
        _jumps.Add(_c, block, _user, global);
        return block;
    }

    /// <summary>A block of 64-bit code that only the jump cache has lost; null: the dispatcher has to look.</summary>
    private Block* FindDecoded(ulong rip)
    {
        if (_mode != CodeMode.Code64 || !Paging.IsCanonical(rip))
            return null;
        if (!_code.Translate(rip, _user, out ulong physical, out bool global))
        {
            // The dispatcher meets it again, at the right instruction.
            _c->Fault = new Fault { Vector = Fault.None };
            return null;
        }
        Block* block = _blocks.Find(rip, physical, CodeMode.Code64);
        if (block == null || block->SecondPage != Block.OnePage)
            return null;
        _jumps.Add(_c, block, _user, global);
        return block;
    }

    private Block* FindNeighbour(Block* block, ulong rip)
    {
        ulong physical = (block->Physical & ~(ulong)(PageNumber.Size - 1)) | (rip & (PageNumber.Size - 1));
        Block* neighbour = _blocks.Find(rip, physical, block->Mode);
        if (neighbour != null)
            return neighbour;
        neighbour = _decoder.Decode(rip, physical, block->Mode);
        if (neighbour != null)
            _blocks.Add(neighbour);
        return neighbour;
    }

    /// <summary>Whether the second page of a block that crosses pages is still the one that it was decoded from.</summary>
    private bool SecondPageHolds(Block* block, ulong linear, ref bool global)
    {
        ulong next = (linear | (PageNumber.Size - 1)) + 1;
        if ((_mode & CodeMode.SizeMask) != CodeMode.Code64)
            next = (uint)next;
        if (!_code.Translate(next, _user, out ulong physical, out bool secondGlobal))
            return false;
        global &= secondGlobal;
        return physical == block->SecondPage;
    }

    /// <summary>Within a page a branch may go to its target without a look: they share the translation.</summary>
    private void Link(Op* branch, Block* target)
    {
        // Pages of RIP are pages of linear addresses only under an aligned base.
        if (_mode != CodeMode.Code64 && (_codeBase & (PageNumber.Size - 1)) != 0)
            return;
        if ((branch->Rip ^ target->Rip) >> PageNumber.Shift != 0 || target->SecondPage != Block.OnePage)
            return;
        // Nor does a branch count that crosses pages: its block was entered by two translations.
        if (branch->Length != 0 && ((branch->NextRip - 1 ^ target->Rip) >> PageNumber.Shift) != 0)
            return;
        if (target->Rip != branch->Immediate)
            return;
        _blocks.Link(&branch->Link, target);
        // The end of a block that follows a conditional branch: the branch's own way on.
        if ((branch->Flags & (byte)OpFlags.Internal) != 0 && (branch[-1].Flags & (byte)OpFlags.Branch) != 0)
            _blocks.Link((Op**)&branch[-1].Displacement, target);
    }

    private void SelectMode()
    {
        ref CpuState state = ref _c->State;
        ushort cs = state.Cs.Attributes;
        byte mode;
        if (state.LongMode && (cs & Segment.L) != 0)
            mode = CodeMode.Code64;
        else
        {
            mode = (cs & Segment.DB) != 0 ? CodeMode.Code32 : CodeMode.Code16;
            if ((state.Ss.Attributes & Segment.DB) != 0)
                mode |= CodeMode.Stack32;
            // Translated code takes pages of RIP for pages: that needs an aligned base.
            if (!SegmentChecks.AreFlat(ref state) || (state.Cs.Base & (PageNumber.Size - 1)) != 0)
                mode |= CodeMode.Checked;
        }
        if (mode != CodeMode.Code64 && state.Cs.Base != _codeBase)
        {
            _codeBase = state.Cs.Base;
            _jumps.FlushAll();
        }
        _mode = mode;
        _user = state.Cpl == 3;
        _tlb.SelectBank();
        _c->JumpCache = _jumps.Select(_user, mode);
        // What translated 64-bit code switches to by itself.
        _c->JumpsSupervisor = _jumps.Select(user: false, CodeMode.Code64);
        _c->JumpsUser = _jumps.Known(user: true, CodeMode.Code64);
        _c->EventHeld = _vcpu.Interrupts.HasInterrupt ? (byte)1 : (byte)0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool EventWaits() => !_c->State.InterruptShadow && EventIsThere();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool EventIsThere()
    {
        ref CpuState state = ref _c->State;
        return (state.NmiPending && !state.NmiBlocked) || ((state.Rflags & Rflags.IF) != 0 && _vcpu.Interrupts.HasInterrupt);
    }

    /// <summary>Delivers a waiting NMI or interrupt; false: triple fault.</summary>
    private bool DeliverWaiting(ref Op* last)
    {
        DeliveryOutcome outcome;
        lock (_vcpu.Bus.Gate)
            outcome = EventDelivery.DeliverPending(_c);
        if (outcome != DeliveryOutcome.None)
            last = null;
        return outcome != DeliveryOutcome.Shutdown;
    }

    /// <summary>Handles what an instruction left in the context's fault; false: triple fault.</summary>
    private bool Complete(ref Op* last)
    {
        VcpuContext* c = _c;
        Fault fault = c->Fault;
        c->Fault = new Fault { Vector = Fault.None };
        Op* at = last;
        last = null;
        if (fault.Vector == Completion.Partial)
        {
            // A string instruction counts as one, however long it takes: timers must not wait for the end of a very long one.
            _partials = c->State.RetiredInstructions == _partialAt ? _partials + 1 : 1;
            _partialAt = c->State.RetiredInstructions;
            if (_partials % PartialsInARow == 0)
                Volatile.Write(ref c->ExitRequest, 1);
            return true;
        }
        if (fault.Vector == Completion.Alone)
            return RunDevice();
        if (fault.Vector == (byte)Vector.GP && fault.Address == SoftwareTlb.NonCanonical)
        {
            fault.Address = 0;
            if (at != null && (at->Flags & (byte)OpFlags.StackSegment) != 0)
                fault.Vector = (byte)Vector.SS;
        }
        // A handler that faults at its first instruction, for ever: no budget is used up, and still others must have a turn.
        if (c->State.RetiredInstructions == _deliveredAt)
            Volatile.Write(ref c->ExitRequest, 1);
        _deliveredAt = c->State.RetiredInstructions;
        return EventDelivery.Deliver(c, fault) != DeliveryOutcome.Shutdown;
    }

    /// <summary>Runs the instruction at RIP again, alone: it reaches a device.</summary>
    private bool RunDevice()
    {
        Block* block = Find(null);
        Op* last = block != null ? RunAlone(block) : null;
        return _c->Fault.Vector == Fault.None || Complete(ref last);
    }

    private void DropWrittenCode()
    {
        if (_written.IsEmpty)
            return;
        foreach (ulong page in _written.Keys)
            if (_written.TryRemove(page, out _))
                _blocks.PageWritten(new PageNumber(page));
    }
}
