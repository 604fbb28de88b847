using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// The host code of one vCPU's blocks, and the way in and out of it. The op in front of a block counts how often the
/// block runs; then it enters the block's translation, which goes on from block to block by itself and comes back with
/// the op that the interpreter is to go on with.
/// </summary>
internal sealed unsafe class NativeCode : IBlockTranslator, IDisposable
{
    private const ulong AhFlags = Rflags.SF | Rflags.ZF | Rflags.AF | Rflags.PF | Rflags.CF;

    private readonly HostEmitter _code;
    private readonly BlockTranslator _blocks;
    private readonly EdgeCode _edges;
    private readonly Links _links;
    private readonly Dictionary<nint, nint> _plain = [];
    private readonly TranslationRing _translations;
    private readonly Traces _traces = new();
    private readonly uint _hot;
    private readonly byte* _resume;

    /// <summary>Blocks dropped since the start.</summary>
    private uint _dropped;

    /// <param name="vcpu">The vCPU whose blocks are translated.</param>
    /// <param name="bytes">Room for host code, a multiple of the page size.</param>
    /// <param name="hot">Runs of a block after which it is translated.</param>
    public NativeCode(Vcpu vcpu, nuint bytes, uint hot)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, (nuint)(2 * BlockTranslator.MostBytes));
        _hot = hot;
        _code = new HostEmitter(bytes);
        _links = new Links(_code);
        _edges = new EdgeCode(_code, _links);
        _edges.WriteLeave();
        VectorRegisters vectors = new(_code);
        vectors.WriteSave();
        for (int guest = 0; guest < 16; guest++)
            if (HostRegisters.Home(guest) >= 0)
                _code.Memory(HostEmitter.MovStore, HostRegisters.Home(guest), HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
        // pop r15, r14, r13, r12, rbp, rbx; ret
        _code.Bytes(0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3);
        vcpu.Context->NativeEntry = _code.Base + _code.Offset;
        // push rbx, rbp, r12, r13, r14, r15. The System V ABI brings the context in RDI and the code in RSI.
        _code.Bytes(0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57);
        _code.Move(HostRegisters.Context, 7);
        _code.Move(HostRegisters.Second, 6);
        // movzx eax, word [flags]
        _code.Bytes(0x41, 0x0f, 0xb7, 0x87);
        _code.Int32(ContextLayout.Flags);
        for (int guest = 0; guest < 16; guest++)
            if (HostRegisters.Home(guest) >= 0)
                _code.Memory(HostEmitter.MovLoad, HostRegisters.Home(guest), HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
        // jmp r11
        _code.Bytes(0x41, 0xff, 0xe3);
        vectors.WriteLoad();
        _resume = _code.Base + _code.Offset;
        vectors.WriteResume();
        _translations = new TranslationRing(_code, _code.Offset, Evict);
        _blocks = new BlockTranslator(vcpu, _code, vectors, _edges);
    }

    /// <summary>Where branches find what they lead to.</summary>
    public JumpCache? Jumps { get; set; }

    /// <summary>Finds what the jump cache has lost.</summary>
    public BlockFinder? Blocks { get; set; }

    /// <summary>Counts how long translating takes.</summary>
    public WorkLog? Work { get; set; }

    /// <summary>Blocks translated, and blocks given up, since the start.</summary>
    public long Translated { get; private set; }

    public long Refused { get; private set; }

    /// <summary>Translations that had to go for want of room.</summary>
    public long Evicted => _translations.Evicted;

    /// <summary>Counts what leads out of host code that is made from now on; null: nobody does.</summary>
    public TranslatorStatistics? Statistics { get; set; }

    public void Open(ref Op* op, ulong rip, byte mode)
    {
        if (mode is not (CodeMode.Code64 or (CodeMode.Code32 | CodeMode.Stack32)))
            return;
        *op = default;
        op->Rip = rip;
        op->Flags = (byte)OpFlags.Internal;
        op->Execute = &Count;
        op++;
    }

    public delegate*<VcpuContext*, Op*, Op*> Plain(Op* op) =>
        op->Link != null && _plain.TryGetValue((nint)op, out nint execute) ? (delegate*<VcpuContext*, Op*, Op*>)execute : op->Execute;

    public void* Entry(Block* block) => _code.Base + (block->Native != 0 ? (int)block->Native : _edges.Go);

    public void Dropped(Block* block)
    {
        Statistics?.Forget(block);
        _dropped++;
        if (HasTranslation(block))
        {
            _translations.Forget(block);
            TakeOut(block);
            if (block->Native != 0)
                _edges.Close((int)block->Native);
        }
        foreach (nint head in _traces.Drop((nint)block))
        {
            _translations.Forget((Block*)head);
            Retire((Block*)head);
        }
    }

    public void JumpsFlushed()
    {
        long began = Work!.Now;
        _links.DisconnectFar();
        Work.Done(CodeWork.Unlinking, began);
    }

    public void Clear()
    {
        _links.Clear();
        Statistics?.Clear();
        _plain.Clear();
        _translations.Clear();
        _traces.Clear();
    }

    public void Dispose() => _code.Dispose();

    private static Op* Count(VcpuContext* c, Op* op)
    {
        NativeCode native = (NativeCode)((BlockCache)Vcpu.Of(c).Code).Translator!;
        WorkLog.Step(c);
        if (++op->Extra < native._hot)
            return op + 1;
        return native.Translate(c, op);
    }

    private Op* Translate(VcpuContext* c, Op* op)
    {
        long began = Work!.Now;
        _translations.MakeRoom(BlockTranslator.MostBytes);
        Work.Done(CodeWork.Eviction, began);
        began = Work.Now;
        Block* block = (Block*)op - 1;
        int start = _code.Offset;
        _blocks.Translate(block);
        int links = _links.TakeMade();
        Work.Done(CodeWork.Translation, began);
        Statistics?.Name(_blocks, block);
        op->Execute = &Pass;
        foreach ((int index, int entry, int body) in _blocks.Runs)
        {
            Op* at = op;
            if (index == 0)
                block->Native = (uint)entry;
            else
            {
                at = op + 1 + index;
                _plain[(nint)at] = (nint)at->Execute;
            }
            at->Link = (Op*)(_code.Base + body);
            at->Execute = Statistics is null ? &Enter : &EnterCounted;
        }
        if (_blocks.Runs.Count == 0)
            Refused++;
        else
        {
            Translated++;
            _translations.Add(block, start, links);
            _traces.Add((nint)block, _blocks.Members);
            BlockTranslator.MarkLoop(block, _blocks.IsLoop);
        }
        return op->Execute(c, op);
    }

    /// <summary>Takes a translation away, of a block that goes on counting, or of one that has gone before (null).</summary>
    private void Evict(Block* block, int links)
    {
        if (block != null)
            Retire(block);
        _links.Remove(links);
    }

    /// <summary>Takes the translation of a block away, which goes on counting.</summary>
    private void Retire(Block* block)
    {
        TakeOut(block);
        block->Native = 0;
        Jumps!.LeadOut(block);
        Op* op = (Op*)(block + 1);
        op->Execute = &Count;
        op->Extra = 0;
        op->Link = null;
        op->Immediate = 0;
        BlockTranslator.MarkLoop(block, false);
    }

    /// <summary>Nothing leads into a block's translation any more but the jump cache.</summary>
    private void TakeOut(Block* block)
    {
        _traces.Remove((nint)block);
        _links.Disconnect(block);
        Op* op = (Op*)(block + 1);
        for (int i = 1; i < block->Ops; i++)
            if (op[i].Link != null && _plain.Remove((nint)(op + i), out nint execute))
            {
                op[i].Execute = (delegate*<VcpuContext*, Op*, Op*>)execute;
                op[i].Link = null;
            }
    }

    private static bool HasTranslation(Block* block)
    {
        Op* op = (Op*)(block + 1);
        return (op->Flags & (byte)(OpFlags.Internal | OpFlags.Branch)) == (byte)OpFlags.Internal && op->Immediate != 0;
    }

    private static Op* Pass(VcpuContext* c, Op* op) => op + 1;

    private static Op* Enter(VcpuContext* c, Op* op)
    {
        // What the instruction before has asked for is met at the block's end, as without translation.
        if (c->ExitRequest != 0)
            return Of(c)._plain.TryGetValue((nint)op, out nint plain) ? ((delegate*<VcpuContext*, Op*, Op*>)plain)(c, op) : op + 1;
        return Resume(c, op, Run(c, op));
    }

    private static Op* EnterCounted(VcpuContext* c, Op* op)
    {
        NativeCode native = Of(c);
        native.Statistics!.Enter(c, op);
        Op* next = Run(c, op);
        native.Statistics.Leave(c, next);
        return Resume(c, op, next);
    }

    private static NativeCode Of(VcpuContext* c) => (NativeCode)((BlockCache)Vcpu.Of(c).Code).Translator!;

    private static Op* Run(VcpuContext* c, Op* op)
    {
        WorkLog.Step(c);
        ulong flags = c->GetRflags();
        c->NativeFlags = (ushort)((flags & AhFlags) << 8 | (flags >> 11 & 1));
        c->NativeLink = 0;
        long before = c->Budget;
        Op* next = ((delegate* unmanaged<VcpuContext*, void*, Op*>)c->NativeEntry)(c, op->Link);
        if (next == (Op*)EdgeCode.Missed)
            next = Of(c).MakeUp(c);
        c->State.RetiredInstructions += (ulong)(before - c->Budget);
        ulong native = c->NativeFlags;
        c->SetArithmetic((native >> 8 & AhFlags) | (native & 1) << 11);
        return next;
    }

    /// <summary>
    /// Gives the TLB what host code has missed, and goes back to the check; an access that only its execution can deal
    /// with (a fault, a device, two pages, code) leaves with its op.
    /// </summary>
    private Op* MakeUp(VcpuContext* c)
    {
        SoftwareTlb tlb = SoftwareTlb.Of(c);
        Op* next;
        do
        {
            MissRecord* miss = (MissRecord*)c->NativeMissRecord;
            uint before = _dropped;
            // A page table that code shares a page with may have been written to: that code is not to be gone back to.
            bool faults = (miss->Access & MissRecord.Aligned) != 0 && (c->NativeMiss & (miss->Size - 1u)) != 0;
            if (faults || !tlb.Fill(c->NativeMiss, miss->Size, (miss->Access & MissRecord.Write) != 0) || _dropped != before)
            {
                c->Budget += miss->Uncharged;
                return miss->Op;
            }
            c->NativeResume = c->NativeMissRecord + (ulong)miss->Begins;
            next = ((delegate* unmanaged<VcpuContext*, void*, Op*>)c->NativeEntry)(c, _resume);
        }
        while (next == (Op*)EdgeCode.Missed);
        return next;
    }

    /// <summary>What comes after host code, which has left with an op or with RIP.</summary>
    private static Op* Resume(VcpuContext* c, Op* op, Op* next)
    {
        if (next == null)
            return Of(c).Follow(c);
        // Where it left before its first instruction, that one must run plainly, or it would lead here again.
        return next != op ? next : Of(c).Plain(op)(c, op);
    }

    /// <summary>Goes to the block at RIP where that is known, and links what asked for it.</summary>
    private Op* Follow(VcpuContext* c)
    {
        ulong rip = c->State.Rip;
        Block* block = JumpCache.Find(c, rip);
        if (block == null || block->Instructions == Block.Stale)
            block = Blocks!(rip);
        if (block == null)
            return null;
        if (block->Native != 0)
        {
            JumpCache.Translated(c, rip, Entry(block));
            int link = (int)c->NativeLink;
            if (link != 0 && !_links.Connect(link, block, IsLasting(c, rip)) && _code.Room >= EdgeCode.TableBytes)
                _links.Detour(link, _edges.WriteTable(rip));
        }
        return Block.Enter(c, block);
    }

    private bool IsLasting(VcpuContext* c, ulong rip) =>
        c->State.Mode64 && c->State.Cpl == 0 && (c->State.Cr4 & Cr4.SMEP) != 0 && Jumps!.IsLasting(CodeMode.Code64, user: false, rip);
}
