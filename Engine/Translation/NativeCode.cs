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
    private readonly HostEmitter _code;
    private readonly BlockTranslator _blocks;
    private readonly Dictionary<nint, nint> _plain = [];
    private readonly int _start;
    private readonly uint _hot;

    /// <param name="vcpu">The vCPU whose blocks are translated.</param>
    /// <param name="bytes">Room for host code, a multiple of the page size.</param>
    /// <param name="hot">Runs of a block after which it is translated.</param>
    public NativeCode(Vcpu vcpu, nuint bytes, uint hot)
    {
        _hot = hot;
        _code = new HostEmitter(bytes);
        // At offset 0, where blocks without a translation lead: back, with the block's first op.
        _code.Memory(HostEmitter.LeaOp, HostRegisters.Rax, HostRegisters.First, sizeof(Block));
        int leave = _code.Offset;
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
        _code.Move(HostRegisters.Rax, 6);
        for (int guest = 0; guest < 16; guest++)
            if (HostRegisters.Home(guest) >= 0)
                _code.Memory(HostEmitter.MovLoad, HostRegisters.Home(guest), HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
        // jmp rax
        _code.Bytes(0xff, 0xe0);
        vectors.WriteLoad();
        _start = _code.Offset;
        _blocks = new BlockTranslator(vcpu, _code, vectors, leave);
    }

    public bool IsFull { get; private set; }

    /// <summary>Blocks translated, and blocks given up, since the start.</summary>
    public long Translated { get; private set; }

    public long Refused { get; private set; }

    /// <summary>Counts what leads out of host code that is made from now on; null: nobody does.</summary>
    public TranslatorStatistics? Statistics { get; set; }

    public void Open(ref Op* op, ulong rip, byte mode)
    {
        if (mode != CodeMode.Code64)
            return;
        *op = default;
        op->Rip = rip;
        op->Flags = (byte)OpFlags.Internal;
        op->Execute = &Count;
        op++;
    }

    public delegate*<VcpuContext*, Op*, Op*> Plain(Op* op) =>
        op->Link != null && _plain.TryGetValue((nint)op, out nint execute) ? (delegate*<VcpuContext*, Op*, Op*>)execute : op->Execute;

    public void Clear()
    {
        Statistics?.Clear();
        _plain.Clear();
        _code.Offset = _start;
        IsFull = false;
    }

    public void Dispose() => _code.Dispose();

    private static Op* Count(VcpuContext* c, Op* op)
    {
        NativeCode native = (NativeCode)((BlockCache)Vcpu.Of(c).Code).Translator!;
        if (++op->Extra < native._hot)
            return op + 1;
        return native.Translate(c, op);
    }

    private Op* Translate(VcpuContext* c, Op* op)
    {
        if (_code.Room < BlockTranslator.MostBytes)
        {
            IsFull = true;
            return op + 1;
        }
        Block* block = (Block*)op - 1;
        _blocks.Translate(block);
        Statistics?.Name(Block.First(block), _blocks.Instructions(block));
        op->Execute = &Pass;
        foreach ((int index, int offset) in _blocks.Runs)
        {
            Op* at = op;
            if (index == 0)
                block->Native = (uint)offset;
            else
            {
                at = op + 1 + index;
                _plain[(nint)at] = (nint)at->Execute;
            }
            at->Link = (Op*)(_code.Base + offset);
            at->Execute = Statistics is null ? &Enter : &EnterCounted;
        }
        if (_blocks.Runs.Count == 0)
            Refused++;
        else
            Translated++;
        return op->Execute(c, op);
    }

    private static Op* Pass(VcpuContext* c, Op* op) => op + 1;

    private static Op* Enter(VcpuContext* c, Op* op)
    {
        Op* next = Run(c, op);
        // Where it left before its first instruction, that one must run plainly, or it would lead here again.
        return next != op ? next : ((NativeCode)((BlockCache)Vcpu.Of(c).Code).Translator!).Plain(op)(c, op);
    }

    private static Op* EnterCounted(VcpuContext* c, Op* op)
    {
        NativeCode native = (NativeCode)((BlockCache)Vcpu.Of(c).Code).Translator!;
        native.Statistics!.Enter(c, op);
        Op* next = Run(c, op);
        native.Statistics.Leave(c, next);
        return next != op ? next : native.Plain(op)(c, op);
    }

    private static Op* Run(VcpuContext* c, Op* op)
    {
        ulong flags = c->GetRflags();
        c->NativeFlags = (ushort)((flags & (Rflags.SF | Rflags.ZF | Rflags.AF | Rflags.PF)) << 8 | (flags >> 11 & 1));
        c->NativeCarry = (byte)(flags & Rflags.CF);
        c->NativeFlagsKept = 0xff;
        long before = c->Budget;
        Op* next = ((delegate* unmanaged<VcpuContext*, void*, Op*>)c->NativeEntry)(c, op->Link);
        c->State.RetiredInstructions += (ulong)(before - c->Budget);
        ulong native = c->NativeFlags;
        flags = (native >> 8 & c->NativeFlagsKept & (Rflags.SF | Rflags.ZF | Rflags.AF | Rflags.PF)) | c->NativeCarry | (native & 1) << 11;
        c->SetArithmetic(flags);
        return next;
    }
}
