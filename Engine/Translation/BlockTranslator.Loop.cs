using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// A block that branches to itself, alone or with others of its trace, is written twice. The first copy is entered from
/// elsewhere, runs one turn and notes the TLB entries that it finds; its branch leads to the second, which runs several
/// turns at a time: they are charged together, their memory operands form groups over all of them, and checks go on with
/// the entries noted as long as addresses stay in their pages. Where a group is not in one page, a copy of these turns
/// checks each operand. Nothing can change the TLB in between, since whatever does leaves host code, and the next way in
/// is the first copy.
/// </summary>
internal sealed unsafe partial class BlockTranslator
{
    /// <summary>Turns of a loop that are written one behind the other, at most, and the bytes that they would take alone.</summary>
    private const int MostTurns = 8, MostTurnBytes = 6144;

    /// <summary>Bytes of all of a loop's turns, twice, but for what is written behind them.</summary>
    private const int MostLoopBytes = 32768;

    private readonly List<int> _again = [];
    private readonly List<Way> _loopApart = [];
    private readonly List<(int Displacement, int Instruction, FlagPlace Flags)> _left = [];
    private readonly LoopOperands _operands = new();
    private bool _isLoop, _inLoop;
    private readonly Action<int> _goTo;
    private int _count, _end, _turns, _loopTop, _loopEnd;
    private FlagState _loopState;

    private void FindLoop(Block* block, int from, int to, bool loops)
    {
        _again.Clear();
        _left.Clear();
        _inLoop = false;
        _count = _memory.Turn = _charged;
        _isLoop = loops && from == 0 && to == _count
            && _instructions[to - 1].Form is Form.ConditionalJump or Form.Jump && LeadsTo(block->Rip, to - 1) && IsStraight(to - 1);
        if (from == 0)
            IsLoop = _isLoop;
        foreach (ref GuestInstruction guest in _instructions.AsSpan(from, to - from))
            guest.IsFixed = guest.IsReached = false;
        if (_isLoop)
            _operands.Find(_instructions.AsSpan(0, _count));
    }

    /// <summary>Whether one of a branch's ways is to an address.</summary>
    private bool LeadsTo(ulong rip, int branch) =>
        _ops[branch]->Immediate == rip || (_instructions[branch].Form == Form.ConditionalJump && _ops[branch]->NextRip == rip);

    /// <summary>Whether every check of memory is passed each time.</summary>
    private bool IsStraight(int to)
    {
        for (int i = 0; i < to; i++)
        {
            ref GuestInstruction guest = ref _instructions[i];
            bool plain = guest.Form is Form.Nothing or Form.Address or Form.Copied or Form.Vector or Form.Push or Form.PushConstant or Form.Pop
                or Form.Jump or Form.ConditionalJump or Form.Call or Form.Return;
            if (!plain && (guest.Form is not (Form.Division or Form.Rotate or Form.Bits or Form.HighByte) || guest.Memory != MemoryUse.None))
                return false;
        }
        return true;
    }

    /// <summary>Whether another turn follows the present one in the same copy.</summary>
    private bool HasTurnsLeft => _inLoop && _current < _turns * _count - 1;

    /// <summary>Where the flags are when a turn ends: to be recalled as they are, or made up in RAX now.</summary>
    private FlagState SettleAtEnd()
    {
        FlagState state = _flags.CanRecall && !(_inLoop && _loopState == FlagCode.InRax) ? _flags.Recalled : FlagCode.InRax;
        if (state.Image == FlagImage.Rax)
            _flags.Settle();
        return state;
    }

    /// <summary>The branch of a loop to itself; false: another turn follows. The flags that it needs are in the host's.</summary>
    private bool Again(byte condition, Op* op)
    {
        (ulong head, ulong next) = (op->Immediate, op->NextRip);
        if (head != _ops[0]->Rip)
            (condition, head, next) = ((byte)(condition ^ 1), next, head);
        if (HasTurnsLeft)
        {
            _left.Add((_code.JumpIf((byte)(condition ^ 1)), _current, _flags.Place));
            return false;
        }
        FlagState state = SettleAtEnd();
        if (!_inLoop)
        {
            _loopState = state;
            _again.Add(_code.JumpIf(condition));
        }
        else if (state == _loopState)
            _code.JumpIf(condition, _loopTop);
        else
        {
            _flags.Settle();
            _edges.FollowIf(condition, head, op->Rip);
        }
        _flags.Settle();
        _loopEnd = _code.Offset;
        _edges.Follow(next, op->Rip);
        return true;
    }

    /// <summary>The same where nothing but a side way leaves the loop.</summary>
    private bool Again(Op* op)
    {
        if (HasTurnsLeft)
            return false;
        FlagState state = SettleAtEnd();
        if (!_inLoop)
        {
            _loopState = state;
            _again.Add(_code.JumpLater());
        }
        else if (state == _loopState)
            _code.Jump(_loopTop);
        else
        {
            _flags.Settle();
            _edges.Follow(op->Immediate, op->Rip);
        }
        return true;
    }

    /// <summary>Writes the second copy; false: it would be too long, or an instruction cannot be encoded.</summary>
    /// <param name="block">The loop's first block.</param>
    /// <param name="first">The entry of the first copy.</param>
    /// <param name="bytes">Bytes of that.</param>
    private bool Loop(Block* block, int first, int bytes)
    {
        if (_again.Count == 0)
            return true;
        if (bytes > MostTurnBytes)
            return false;
        for (_turns = MostTurns; _turns > 1 && _turns * _count > LongestTrace || _turns * bytes > MostTurnBytes; _turns /= 2)
        {
        }
        int all = _turns * _count;
        for (int i = 0; i < _count; i++)
            _instructions[i].IsReached = _instructions[i].IsFixed;
        for (int i = _count; i < all; i++)
            _instructions[i] = _instructions[i - _count];
        if (Live(0, all) != all)
            return false;
        _groups.Find(_instructions.AsSpan(0, all));
        _inLoop = true;
        _loopTop = _edges.EnterLoop(block->Rip, all, first, _flags, _loopState);
        foreach (int jump in _again)
            _code.PatchDisplacement(jump, _loopTop);
        _memory.Start(grouped: true, SlotUse.Take);
        _flags.State = _loopState;
        if (!Body(block, 0, all, apart: null))
            return false;
        _memory.WriteStrays(_goTo);
        if (!BodyApart(block, _loopApart, all, SlotUse.Take))
            return false;
        _memory.WriteStrays(_goTo);
        foreach ((int displacement, int instruction, FlagPlace flags) in _left)
        {
            _code.Land(displacement);
            _flags.Place = flags;
            _flags.Settle();
            _edges.GiveBack(Uncharged(instruction));
            _code.Jump(_loopEnd);
        }
        _inLoop = _isLoop = false;
        return true;
    }
}
