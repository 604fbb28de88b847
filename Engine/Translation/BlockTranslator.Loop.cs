using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// A block that branches to itself gets its code a second time: the first copy is entered from outside and notes the TLB
/// entries that it finds; its branch leads to the second, which goes on with those entries as long as addresses stay in
/// their pages. Nothing can change the TLB in between, since whatever does leaves host code, and the next way in is the first copy.
/// </summary>
internal sealed unsafe partial class BlockTranslator
{
    /// <summary>Instructions of a loop at most.</summary>
    private const int LongestLoop = 40;

    private readonly List<int> _again = [];
    private ulong _loopRip;
    private bool _isLoop, _inLoop;
    private int _loopTop;
    private FlagState _loopState;

    /// <summary>Takes a jump to where the operands of a group are checked one by one; the second copy of a loop leaves instead.</summary>
    private Action<int> Apart => _inLoop ? _exit : _exitApart;

    private void FindLoop(Block* block, int from, int to)
    {
        _again.Clear();
        _inLoop = false;
        _loopRip = block->Rip;
        _isLoop = from == 0 && to == (int)block->Instructions && to <= LongestLoop
            && _instructions[to - 1].Form == Form.ConditionalJump && _first[_ops[to - 1]].Immediate == block->Rip && IsStraight(to - 1);
    }

    /// <summary>Whether every check of memory is passed each time.</summary>
    private bool IsStraight(int to)
    {
        bool memory = false;
        for (int i = 0; i < to; i++)
        {
            if (_instructions[i].Form is not (Form.Nothing or Form.Address or Form.Copied or Form.Vector or Form.Push or Form.PushConstant or Form.Pop))
                return false;
            memory |= _instructions[i].Memory != MemoryUse.None;
        }
        return memory;
    }

    /// <summary>The branch of a loop to itself. The flags that it needs are in the host's.</summary>
    private void Again(byte condition, Op* op)
    {
        FlagState state = _flags.CanRecall ? _flags.Recalled : FlagCode.InRax;
        if (state.Image == FlagImage.Rax)
            _flags.Settle();
        if (!_inLoop)
            _loopState = state;
        if (state != _loopState)
        {
            _flags.Settle();
            _edges.FollowIf(condition, op->Immediate, op->Rip);
        }
        else if (_inLoop)
            _code.JumpIf(condition, _loopTop);
        else
            _again.Add(_code.JumpIf(condition));
        _flags.Settle();
        _edges.Follow(op->NextRip, op->Rip);
    }

    /// <summary>Writes the second copy; false: an instruction cannot be encoded.</summary>
    private bool Loop(Block* block, int to)
    {
        if (_again.Count == 0)
            return true;
        _inLoop = true;
        _loopTop = _edges.EnterLoop(_loopRip, block->Instructions, _flags, _loopState);
        foreach (int jump in _again)
            _code.PatchDisplacement(jump, _loopTop);
        _memory.Start(grouped: true, SlotUse.Take);
        _flags.State = _loopState;
        bool written = Body(block, 0, to, apart: false);
        if (written)
            _memory.WriteStrays(instruction => _current = instruction);
        _inLoop = false;
        return written;
    }
}
