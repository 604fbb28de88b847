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
    /// <summary>The run of a block, beside that in which it becomes hot, at which a template is looked for.</summary>
    private const uint FirstLook = 1;

    private const ulong AhFlags = Rflags.SF | Rflags.ZF | Rflags.AF | Rflags.PF | Rflags.CF;

    private readonly HostEmitter _code;
    private readonly BlockTranslator _blocks;
    private readonly EdgeCode _edges;
    private readonly Links _links;
    private readonly Dictionary<nint, nint> _plain = [];
    private readonly TranslationRing _translations;
    private readonly Traces _traces = new();
    private readonly Templates _templates;
    private readonly TranslationStore _store;
    private readonly uint _hot;
    private readonly byte* _resume;

    /// <summary>Blocks dropped since the start.</summary>
    private uint _dropped;

    /// <param name="vcpu">The vCPU whose blocks are translated.</param>
    /// <param name="bytes">Room for host code, a multiple of the page size.</param>
    /// <param name="hot">Runs of a block after which it is translated.</param>
    /// <param name="store">What the machine's vCPUs translate for each other.</param>
    public NativeCode(Vcpu vcpu, nuint bytes, uint hot, TranslationStore store)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, (nuint)(2 * BlockTranslator.MostBytes));
        _hot = hot;
        _store = store;
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
        _code.Align(Templates.Alignment);
        _code.Shared = _code.Offset;
        _translations = new TranslationRing(_code, _code.Offset, Evict);
        _blocks = new BlockTranslator(vcpu, _code, vectors, _edges);
        _templates = new Templates(vcpu, _code, _links, store);
        store.Join();
    }

    /// <summary>Where branches find what they lead to.</summary>
    public JumpCache? Jumps { get; set; }

    /// <summary>Finds what the jump cache has lost.</summary>
    public BlockFinder? Blocks { get; set; }

    /// <summary>Decodes what a template goes on with.</summary>
    public BlockNeighbour? Neighbour
    {
        set => _templates.Neighbour = value;
    }

    /// <summary>Tells the interpreter of a privilege that has changed.</summary>
    public Action? Switched { get; set; }

    /// <summary>Counts how long translating takes.</summary>
    public WorkLog? Work { get; set; }

    /// <summary>Blocks translated, and blocks given up, since the start.</summary>
    public long Translated { get; private set; }

    public long Refused { get; private set; }

    /// <summary>What has become of templates.</summary>
    public TemplateCounts TemplateCounts => _templates.Counts;

    /// <summary>Translates anew whatever is made of a template, and notes what differs: for tests.</summary>
    public bool VerifiesTemplates { get; set; }

    /// <summary>The first difference found so.</summary>
    public string? Difference { get; private set; }

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

    public void Dispose()
    {
        _store.Leave();
        _links.Dispose();
        _code.Dispose();
    }

    private static Op* Count(VcpuContext* c, Op* op)
    {
        NativeCode native = (NativeCode)((BlockCache)Vcpu.Of(c).Code).Translator!;
        WorkLog.Step(c);
        if (++op->Extra >= native._hot)
            return native.Translate(c, op);
        return op->Extra == FirstLook && native.Reuse((Block*)op - 1) ? op->Execute(c, op) : op + 1;
    }

    private Op* Translate(VcpuContext* c, Op* op)
    {
        Block* block = (Block*)op - 1;
        if (Reuse(block))
            return op->Execute(c, op);
        int start = MakeRoom(BlockTranslator.MostBytes);
        long began = Work!.Now;
        _code.Record();
        _edges.Begin();
        _blocks.Translate(block);
        _code.StopRecording();
        op->Execute = &Pass;
        if (_blocks.Runs.Count == 0)
            Refused++;
        else
        {
            Translated++;
            _templates.Make(block, _blocks, _edges.Made, start);
            Register(block, start, _blocks.Runs, _blocks.Members, _blocks.IsLoop);
        }
        Work.Done(CodeWork.Translation, began);
        Statistics?.Name(_blocks, block);
        return op->Execute(c, op);
    }

    /// <summary>Gives a block a translation of what this vCPU or another has made of the same code before; false: there is nothing that fits.</summary>
    private bool Reuse(Block* block)
    {
        long began = Work!.Now;
        if (!_templates.Find(block))
            return false;
        int start = MakeRoom(VerifiesTemplates ? BlockTranslator.MostBytes : _templates.Bytes);
        byte[]? anew = VerifiesTemplates ? TranslateAnew(block) : null;
        if (!_templates.Write(block))
            return false;
        if (anew != null)
            Compare(block, anew, _code.Written(start));
        ((Op*)(block + 1))->Extra = Math.Max(((Op*)(block + 1))->Extra, _hot);
        Register(block, start, _templates.Runs, _templates.Members, _templates.IsLoop);
        Work.Done(CodeWork.Translation, began);
        if (Statistics is { } statistics)
        {
            _blocks.Look(block);
            statistics.Name(_blocks, block);
        }
        return true;
    }

    /// <summary>Makes room for a translation and returns where it begins.</summary>
    private int MakeRoom(int bytes)
    {
        long began = Work!.Now;
        _translations.MakeRoom(bytes + Templates.Alignment);
        Work.Done(CodeWork.Eviction, began);
        _code.Align(Templates.Alignment);
        return _code.Offset;
    }

    /// <summary>What has been written since an offset is a block's translation: what leads to the block enters it from now on.</summary>
    private void Register(Block* block, int start, List<(int Op, int Entry, int Body)> runs, IReadOnlyList<nint> members, bool isLoop)
    {
        Op* op = (Op*)(block + 1);
        op->Execute = &Pass;
        foreach ((int index, int entry, int body) in runs)
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
        _translations.Add(block, start, _links.TakeMade());
        _traces.Add((nint)block, members);
        BlockTranslator.MarkLoop(block, isLoop);
    }

    /// <summary>What the translator itself makes of the template found last, here; it is taken back.</summary>
    private byte[] TranslateAnew(Block* block)
    {
        int start = _code.Offset;
        _blocks.Path = _templates.Path;
        _blocks.Translate(block);
        _blocks.Path = null;
        byte[] code = _code.Written(start).ToArray();
        _links.Remove(_links.TakeMade());
        _code.Offset = start;
        return code;
    }

    private void Compare(Block* block, ReadOnlySpan<byte> anew, ReadOnlySpan<byte> reused)
    {
        if (Difference != null || anew.SequenceEqual(reused))
            return;
        int at = anew.CommonPrefixLength(reused);
        Difference = $"the template for RIP {block->Rip:x} at {block->Physical:x} gives {reused.Length} bytes, the translator {anew.Length}; they differ at {at}";
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
        Op* next = Go(c, op->Link);
        if (next == (Op*)EdgeCode.Missed)
            next = Of(c).MakeUp(c);
        c->State.RetiredInstructions += (ulong)(before - c->Budget);
        ulong native = c->NativeFlags;
        c->SetArithmetic((native >> 8 & AhFlags) | (native & 1) << 11);
        return next;
    }

    private static Op* Go(VcpuContext* c, void* code)
    {
        Op* next = ((delegate* unmanaged<VcpuContext*, void*, Op*>)c->NativeEntry)(c, code);
        if (c->NativeSwitched != 0)
        {
            c->NativeSwitched = 0;
            Of(c).Switched!();
        }
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
            next = Go(c, _resume);
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
