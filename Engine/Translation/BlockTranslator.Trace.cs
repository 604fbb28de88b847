using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// A hot block is translated together with those that mostly follow it in its page, as long as they are hot too: groups of
/// memory operands, flags and the charge to the budget go over all of them. Branches away from them lead out of line, where
/// flags are settled and what was charged for the rest is given back.
/// </summary>
internal sealed unsafe partial class BlockTranslator
{
    /// <summary>Instructions of a trace at most: what is charged for them fits in a byte.</summary>
    public const int LongestTrace = 100;

    private readonly List<nint> _members = [];

    /// <summary>The bytes of the trace's blocks, one behind the other, and where each one's end.</summary>
    private readonly byte[] _guest = new byte[2 * PageNumber.Size];
    private readonly int[] _guestEnds = new int[LongestTrace + 2];
    private readonly List<bool> _taken = [];
    private readonly List<Side> _sides = [];
    private Block* _head;

    /// <summary>Where the calls of the trace return to.</summary>
    private readonly Stack<ulong> _returns = [];
    private readonly Op*[] _starts = new Op*[LongestTrace + 1], _ops = new Op*[LongestTrace];

    /// <summary>Instructions up to the end of the block that an instruction belongs to.</summary>
    private readonly int[] _blockEnds = new int[LongestTrace];

    /// <summary>Which way the trace goes on behind a block's last instruction.</summary>
    private readonly bool[] _goesOn = new bool[LongestTrace], _takes = new bool[LongestTrace];

    private readonly BlockBytes _bytes;
    private readonly Decoder _decoder32, _decoder64;
    private int _charged;

    /// <summary>The blocks behind the first one that the last translation has code of.</summary>
    public IReadOnlyList<nint> Members => _members;

    /// <summary>The blocks that a translation is to go on with, and whether by a branch that is taken, whatever has run often; null: those that have.</summary>
    public (IReadOnlyList<nint> Blocks, IReadOnlyList<bool> Taken)? Path { get; set; }

    /// <summary>A block of the last translation; 0: the first one.</summary>
    public Block* Member(int number) => number == 0 ? _head : (Block*)_members[number - 1];

    /// <summary>The bytes that it was made of.</summary>
    public ReadOnlySpan<byte> Bytes(int number) => _guest.AsSpan((number == 0 ? 0 : _guestEnds[number - 1])..(_guestEnds[number]));

    /// <summary>Whether the last translation comes to a block behind the first by a branch that is taken.</summary>
    public bool IsTaken(int number) => _taken[number - 1];

    /// <summary>Whether the last translation is a loop.</summary>
    public bool IsLoop { get; private set; }

    /// <summary>Notes whether a block's translation is a loop, in the op in front, which has no operand.</summary>
    public static void MarkLoop(Block* block, bool isLoop) => ((Op*)(block + 1))->Displacement = isLoop ? 1ul : 0;

    /// <summary>Decodes and classifies a block's instructions, from an index on; false: they are not what its ops were made from.</summary>
    private bool Decode(Block* block, int at)
    {
        byte* page = _vcpu.Memory.Resolve(new PageNumber(block->Physical >> PageNumber.Shift), Access.Execute);
        if (page == null)
            return false;
        int member = at == 0 ? 0 : 1 + _members.Count, first = member == 0 ? 0 : _guestEnds[member - 1];
        new ReadOnlySpan<byte>(page + (block->Physical & OffsetMask), block->Bytes).CopyTo(_guest.AsSpan(first));
        _guestEnds[member] = first + block->Bytes;
        _bytes.Take(first, _guestEnds[member]);
        _memory.Narrow = block->Mode != CodeMode.Code64;
        Decoder decoder = _memory.Narrow ? _decoder32 : _decoder64;
        decoder.IP = block->Rip;
        Op* op = Block.First(block);
        int end = at + (int)block->Instructions;
        for (int i = at; i < end; i++)
        {
            // Checks of segments stand before an instruction.
            for (_starts[i] = op; op->Length == 0; op++)
            {
            }
            decoder.Decode(out Instruction instruction);
            // A device may have written here since the block was decoded; its message is on the way.
            if (instruction.IP != op->Rip || instruction.Length != op->Length)
                return false;
            _ops[i] = op++;
            _blockEnds[i] = end;
            _goesOn[i] = i < end - 1;
            // What the machine's CPUID does not show is undefined, or another instruction: as the block's decoder has it.
            _instructions[i] = instruction.IsInvalid || !_features.Allows(ref instruction) ? default : GuestInstruction.Of(instruction);
            // What the host's processor does not have is interpreted.
            if (_instructions[i].Form is Form.Vector or Form.Copied or >= Form.Division && !HostFeatures.Allows(instruction.Code))
                _instructions[i] = default;
            if (!Agrees(_instructions[i], _ops[i]))
                return false;
        }
        _starts[end] = op;
        return true;
    }

    /// <summary>Whether a branch's op was decoded from the same bytes: what is translated must be the bytes' alone, for others to use it.</summary>
    private static bool Agrees(in GuestInstruction guest, Op* op) => guest.Form switch
    {
        Form.Jump or Form.ConditionalJump or Form.Loop or Form.Call => guest.Instruction.NearBranchTarget == op->Immediate,
        Form.Return => (guest.Instruction.OpCount != 0 ? guest.Instruction.GetImmediate(0) : 0) == op->Immediate,
        _ => true,
    };

    /// <summary>Appends the blocks that mostly follow; returns the end of what can be translated.</summary>
    private int Extend(Block* head)
    {
        int end = (int)head->Instructions;
        _returns.Clear();
        while (true)
        {
            Block* next = Next(head, end - 1, out bool takes);
            if (next == null || next == head || _members.Contains((nint)next) || end + (int)next->Instructions > LongestTrace || !Decode(next, end))
                break;
            int to = end;
            while (to < _blockEnds[end] && _instructions[to].Form != Form.Interpreted)
                to++;
            if (to == end)
                break;
            (_goesOn[end - 1], _takes[end - 1]) = (true, takes);
            _members.Add((nint)next);
            _taken.Add(takes);
            if (_instructions[end - 1].Form == Form.Call)
                _returns.Push(_ops[end - 1]->NextRip);
            else if (_instructions[end - 1].Form == Form.Return)
                _returns.Pop();
            if (to < _blockEnds[end])
                return to;
            end = to;
        }
        // What was decoded in vain has its start here.
        _starts[end] = _ops[end - 1] + 1;
        return end;
    }

    /// <summary>The block that a trace goes on with behind an instruction; null: none.</summary>
    private Block* Next(Block* head, int last, out bool takes)
    {
        Op* op = _ops[last];
        takes = false;
        if (Path is { } path)
        {
            takes = _members.Count < path.Taken.Count && path.Taken[_members.Count];
            return _members.Count < path.Blocks.Count ? (Block*)path.Blocks[_members.Count] : null;
        }
        switch (_instructions[last].Form)
        {
            case Form.Jump or Form.Call:
                takes = true;
                return Hot(head, op->Immediate, out _);
            case Form.ConditionalJump:
                Block* there = Hot(head, op->Immediate, out uint taken), here = Hot(head, op->NextRip, out uint passed);
                takes = there != null && (here == null || taken > passed + passed / 4 || (there == head && passed < taken));
                return takes ? there : here;
            case Form.Return:
                return _returns.TryPeek(out ulong caller) ? Hot(head, caller, out _) : null;
            case Form.Loop or Form.IndirectJump or Form.IndirectCall or Form.Privilege:
                return null;
            default:
                return Hot(head, op[1].Rip, out _);
        }
    }

    /// <summary>A block in the page of a trace that is about as hot as its first one; null: there is none.</summary>
    private Block* Hot(Block* head, ulong rip, out uint runs)
    {
        runs = 0;
        if (((rip ^ head->Rip) & ~OffsetMask) != 0)
            return null;
        Block* block = ((BlockCache)_vcpu.Code).Find(rip, (head->Physical & ~OffsetMask) | (rip & OffsetMask), head->Mode);
        if (block == null || block->SecondPage != Block.OnePage || block->Instructions == Block.Stale)
            return null;
        Op* counter = (Op*)(block + 1);
        if (counter == Block.First(block) || counter->Extra < ((Op*)(head + 1))->Extra / 2)
            return null;
        runs = counter->Extra;
        // A loop goes on by itself.
        return block != head && GoesRound(block) ? null : block;
    }

    private static bool GoesRound(Block* block)
    {
        Op* op = (Op*)(block + 1), last = op + block->Ops - 2;
        return op->Displacement != 0 || ((last->Flags & (byte)OpFlags.Branch) != 0 && last->Immediate == block->Rip);
    }

    /// <summary>Whether the trace goes on behind the instruction that is being emitted.</summary>
    private bool GoesOn => _current % _count is int at && at + 1 < _end && _goesOn[at];

    /// <summary>Whether a branch backwards lies within a trace: cycles may have none outside.</summary>
    private bool HasBackwardBranch(int to)
    {
        for (int i = 0; i < to - 1; i++)
            if (_goesOn[i] && _ops[i + 1]->Rip <= _ops[i]->Rip)
                return true;
        return false;
    }

    /// <summary>A branch whose mostly followed way is the trace's.</summary>
    private void Stay(ref GuestInstruction guest, Op* op)
    {
        int at = _current % _count;
        switch (guest.Form)
        {
            case Form.Call:
                PushReturn(op, _memory.Reach(guest, _exit, _exitApart));
                break;
            case Form.Return:
                StayOnReturn(guest, op, _ops[at + 1]->Rip);
                break;
            case Form.ConditionalJump:
                byte condition = Condition(guest);
                int jump = _code.JumpIf(_takes[at] ? (byte)(condition ^ 1) : condition);
                _sides.Add(new Side(jump, Uncharged(_current), _flags.Place, _takes[at] ? op->NextRip : op->Immediate, op->Rip));
                break;
        }
    }

    /// <summary>A return to the caller that is in the trace, too; what returns elsewhere is the interpreter's.</summary>
    private void StayOnReturn(in GuestInstruction guest, Op* op, ulong caller)
    {
        int place = _memory.Reach(guest, _exit, _exitApart);
        _flags.SaveLazily();
        _code.ComparePlace(caller, HostRegisters.First, place, HostRegisters.Second, wide: !_memory.Narrow);
        Exit(_code.JumpIf(HostEmitter.IfNotEqual));
        _memory.MoveStack(_memory.Slot + (int)op->Immediate);
    }

    /// <summary>Writes where branches away from the trace lead.</summary>
    private void Sides()
    {
        foreach (Side side in _sides)
        {
            _code.Land(side.Displacement);
            _flags.Place = side.Flags;
            _flags.Settle();
            _edges.GiveBack(side.Uncharged);
            _edges.Follow(side.Target, side.From);
        }
    }

    private static byte Condition(in GuestInstruction guest) => (byte)(0x80 + (guest.Instruction.ConditionCode - ConditionCode.o));

    /// <summary>Reads the block that is being decoded: no objects are made for each, or the vCPU would wait for their collection.</summary>
    private sealed class BlockBytes(byte[] guest) : CodeReader
    {
        private int _position, _end;

        public void Take(int from, int to) => (_position, _end) = (from, to);

        public override int ReadByte() => _position < _end ? guest[_position++] : -1;
    }

    /// <summary>A branch away from a trace, what was charged for the rest of it, and where it goes from where.</summary>
    private readonly record struct Side(int Displacement, int Uncharged, FlagPlace Flags, ulong Target, ulong From);
}
