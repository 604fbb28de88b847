using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Decodes a basic block: up to a branch, an instruction that ends blocks, the page's end, or the most instructions a
/// block holds. An instruction that crosses pages is a block of its own.
/// </summary>
internal sealed unsafe class BlockDecoder
{
    /// <summary>Instructions in a block at most.</summary>
    public const int Longest = 64;

    private const int LongestInstruction = 15;

    /// <summary>Ops of a block at most: instructions, their checks, and the end.</summary>
    public const int MostOps = 2 * Longest + SegmentChecks.Most + 3;

    private readonly Vcpu _vcpu;
    private readonly BlockCache _blocks;
    private readonly CodeTranslations _code;
    private readonly FeatureGate _features;
    private readonly SegmentChecks _segments = new();
    private readonly CodeBytes _bytes = new();
    private readonly Decoder[] _decoders;
    private bool _staysInPage;

    public BlockDecoder(Vcpu vcpu, BlockCache blocks, CodeTranslations code)
    {
        _vcpu = vcpu;
        _blocks = blocks;
        _code = code;
        _features = new FeatureGate(vcpu.Services);
        _decoders = [New(16), New(32), New(64)];
    }

    /// <summary>
    /// Decodes the block at a RIP whose first byte lies at <paramref name="physical"/>. Null: a fault is recorded, or
    /// (no fault) there is no room in the cache.
    /// </summary>
    public Block* Decode(ulong rip, ulong linear, ulong physical, byte mode, bool user, ref bool global)
    {
        _staysInPage = false;
        return Read(rip, linear, physical, mode, user, ref global);
    }

    /// <summary>
    /// Decodes the block at a RIP in a page that code has been decoded from, and records no fault. Null: its first
    /// instruction crosses the page's end, or there is no room in the cache.
    /// </summary>
    public Block* Decode(ulong rip, ulong physical, byte mode)
    {
        bool global = false;
        _staysInPage = true;
        return Read(rip, physical, physical, mode, user: false, ref global);
    }

    private Block* Read(ulong rip, ulong linear, ulong physical, byte mode, bool user, ref bool global)
    {
        Block* block = _blocks.Reserve(MostOps);
        if (block == null)
            return null;
        int inPage = (int)(PageNumber.Size - (linear & (PageNumber.Size - 1)));
        _bytes.Clear();
        if (!Fetch(physical, Math.Min(inPage, Longest * LongestInstruction)))
            return null;
        Decoder decoder = _decoders[mode & CodeMode.SizeMask];
        *block = new Block { Rip = rip, Physical = physical, SecondPage = Block.OnePage, Mode = mode };
        Op* op = (Op*)(block + 1);
        _blocks.Translator?.Open(ref op, rip, mode);
        ulong at = rip;
        bool ended = false;
        while (!ended && block->Instructions < Longest && op - (Op*)(block + 1) < 2 * Longest)
        {
            int start = _bytes.Position;
            decoder.IP = at;
            decoder.Decode(out Instruction instruction);
            if (decoder.LastError == DecoderError.NoMoreBytes && _bytes.Length - start < LongestInstruction)
            {
                if (block->Instructions > 0)
                {
                    _bytes.Position = start;
                    break;
                }
                if (_staysInPage || block->SecondPage != Block.OnePage || !FetchSecond(block, rip, linear, inPage, user, ref global))
                    return null;
                continue;
            }
            if (block->SecondPage != Block.OnePage)
                ended = true;
            ended |= Fill(ref op, ref instruction, at, (byte)(_bytes.Position - start), mode);
            block->Instructions++;
            at += (ulong)(_bytes.Position - start);
            if ((mode & CodeMode.SizeMask) != CodeMode.Code64)
                at = (uint)at;
        }
        End(op++, at);
        Finish(block, op, (ushort)_bytes.Position);
        return block;
    }

    private Decoder New(int bitness) =>
        Decoder.Create(bitness, _bytes, _features.HasFlagMoves64 ? DecoderOptions.AMD : DecoderOptions.AMD | DecoderOptions.NoLahfSahf64);

    /// <summary>Takes the bytes at the block's start, as many as lie in the page.</summary>
    private bool Fetch(ulong physical, int count)
    {
        PageNumber number = new(physical >> PageNumber.Shift);
        byte* page = _vcpu.Memory.Resolve(number, Access.Execute);
        if (page == null)
            // Code in a device or in nothing: real machines can, this one does not.
            return _vcpu.Context->Raise(Vector.GP, 0);
        _blocks.Watch(number);
        _bytes.Add(new ReadOnlySpan<byte>(page + (physical & (PageNumber.Size - 1)), count));
        return true;
    }

    private bool FetchSecond(Block* block, ulong rip, ulong linear, int inPage, bool user, ref bool global)
    {
        ulong next = linear + (ulong)inPage;
        if ((block->Mode & CodeMode.SizeMask) != CodeMode.Code64)
            next = (uint)next;
        else if (!Paging.IsCanonical(next))
            return _vcpu.Context->Raise(Vector.GP, 0);
        if (!_code.Translate(next, user, out ulong physical, out bool secondGlobal))
            return false;
        global &= secondGlobal;
        block->SecondPage = physical;
        _bytes.Position = 0;
        return Fetch(physical, LongestInstruction);
    }

    /// <summary>Fills the ops of one instruction; true when it ends the block.</summary>
    private bool Fill(ref Op* op, ref Instruction instruction, ulong rip, byte length, byte mode)
    {
        bool wide = (mode & CodeMode.SizeMask) == CodeMode.Code64;
        Op* first = op;
        if (!wide && !instruction.IsInvalid)
            _segments.Emit(instruction, ref op, rip, mode);
        *op = default;
        op->Rip = rip;
        op->Length = length;
        if (instruction.IsInvalid)
        {
            op->Execute = length >= LongestInstruction ? &TooLong : &Undefined;
            op++;
            return true;
        }
        OperandDecoder.Fill(instruction, op, mode);
        Handler handler = default;
        bool endsBlock = false;
        if (_features.Allows(ref instruction))
            handler = InstructionTable.Select(instruction, ref *op, out endsBlock);
        if (handler.IsNone)
        {
            // What does not exist accesses nothing: the checks before it go.
            *first = *op;
            op = first;
            op->Execute = &Undefined;
            op++;
            return true;
        }
        op->Execute = handler.Pointer;
        op++;
        return endsBlock || instruction.FlowControl != FlowControl.Next || (!wide && SegmentChecks.LoadsSegment(instruction));
    }

    /// <summary>The op after the last instruction: goes on at the next one, in another block.</summary>
    private static void End(Op* op, ulong rip)
    {
        *op = default;
        op->Rip = rip;
        op->Immediate = rip;
        op->Flags = (byte)(OpFlags.Internal | OpFlags.Branch);
        op->Execute = &GoOn;
    }

    private static void Finish(Block* block, Op* end, ushort bytes)
    {
        Op* first = (Op*)(block + 1);
        block->Ops = (ushort)(end - first);
        block->Bytes = bytes;
        int remaining = -1;
        // An op of length 0 is a part of the instruction that follows it.
        for (Op* op = end - 2; op >= first; op--)
        {
            if (op->Length != 0)
                remaining++;
            op->Remaining = (ushort)remaining;
        }
    }

    private static Op* GoOn(VcpuContext* c, Op* op)
    {
        if (op->Link != null)
            return Block.Enter(c, (Block*)op->Link);
        return JumpCache.Jump(c, op->Rip);
    }

    private static Op* Undefined(VcpuContext* c, Op* op)
    {
        c->Raise(Vector.UD);
        return null;
    }

    private static Op* TooLong(VcpuContext* c, Op* op)
    {
        c->Raise(Vector.GP, 0);
        return null;
    }

    private sealed class CodeBytes : CodeReader
    {
        private readonly byte[] _bytes = new byte[(Longest + 1) * LongestInstruction];

        public int Length { get; private set; }

        public int Position { get; set; }

        public void Clear() => Length = Position = 0;

        public void Add(ReadOnlySpan<byte> bytes)
        {
            bytes.CopyTo(_bytes.AsSpan(Length));
            Length += bytes.Length;
        }

        public override int ReadByte() => Position < Length ? _bytes[Position++] : -1;
    }
}
