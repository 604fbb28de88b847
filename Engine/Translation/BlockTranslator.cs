using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Translates one block. What it leaves out, and whatever does not go smoothly (a TLB miss, a target not known, a used-up
/// budget), leads out of the code with the op to go on with, before anything of that instruction has happened.
/// </summary>
internal sealed unsafe partial class BlockTranslator
{
    private const ulong OffsetMask = PageNumber.Size - 1;

    /// <summary>Instructions of a run that ends in the interpreter, at least.</summary>
    private const int ShortestThatLeaves = 5;

    private readonly GuestInstruction[] _instructions = new GuestInstruction[LongestTrace];
    private readonly List<Way> _exits = [];
    private readonly Vcpu _vcpu;
    private readonly HostEmitter _code;
    private readonly VectorRegisters _vectors;
    private readonly FlagCode _flags;
    private readonly MemoryCode _memory;
    private readonly VectorCode _vectorCode;
    private readonly EdgeCode _edges;
    private readonly Families _families;
    private readonly LoopCode _loops;
    private readonly PrivilegeCode _privileges;
    private readonly FeatureGate _features;
    private readonly AccessGroups _groups;
    private readonly RegisterMap _map;
    private readonly InstructionInfoFactory _registers = new();
    private readonly List<Way> _apart = [];
    private readonly Action<int> _exit, _exitApart;
    private readonly int[] _landings = new int[LongestTrace];

    /// <summary>The instruction that is being emitted.</summary>
    private int _current;

    public BlockTranslator(Vcpu vcpu, HostEmitter code, VectorRegisters vectors, EdgeCode edges)
    {
        _vcpu = vcpu;
        _code = code;
        _vectors = vectors;
        _edges = edges;
        _flags = new FlagCode(code);
        _map = new RegisterMap(code);
        _groups = new AccessGroups(_map);
        _memory = new MemoryCode(code, _flags, _map);
        _vectorCode = new VectorCode(code, _memory, _flags);
        _families = new Families(code, _memory, _flags);
        _loops = new LoopCode(code, _flags, edges);
        _privileges = new PrivilegeCode(code, _memory, _flags, edges);
        _features = new FeatureGate(vcpu.Services);
        _bytes = new BlockBytes(_guest);
        _decoder32 = Decoder.Create(32, _bytes, DecoderOptions.AMD);
        _decoder64 = Decoder.Create(64, _bytes, DecoderOptions.AMD);
        _exit = Exit;
        _goTo = instruction => _current = instruction;
        _exitApart = displacement => (_inLoop ? _loopApart : _apart).Add(WayOut(displacement));
    }

    /// <summary>Bytes that a block's translation takes at most.</summary>
    public const int MostBytes = LongestTrace * 1024 + 4096;

    /// <summary>
    /// Where translated code begins, in order: the op's index, the entry for branches if that is the block's first, and where
    /// what is charged already begins. A run begins with the block or behind an instruction left out.
    /// </summary>
    public List<(int Op, int Entry, int Body)> Runs { get; } = [];

    /// <summary>The instructions of the block translated last, as they were classified.</summary>
    public ReadOnlySpan<GuestInstruction> Instructions(Block* block) => _instructions.AsSpan(0, (int)Math.Min(block->Instructions, BlockDecoder.Longest));

    /// <summary>Where an instruction of that block begins: its first op.</summary>
    public Op* Start(int instruction) => _starts[instruction];

    /// <summary>Takes a block's instructions for <see cref="Instructions"/> without translating it.</summary>
    public void Look(Block* block)
    {
        if (!Decode(block, 0))
            _instructions.AsSpan().Clear();
    }

    /// <summary>Writes the translation of a block into <see cref="Runs"/>; there may be nothing to translate.</summary>
    public void Translate(Block* block)
    {
        Runs.Clear();
        _members.Clear();
        _taken.Clear();
        _head = block;
        IsLoop = false;
        if (block->SecondPage != Block.OnePage || block->Instructions == Block.Stale || !Decode(block, 0))
            return;
        int count = (int)block->Instructions;
        for (int from = 0; from < count;)
        {
            int to = from;
            while (to < count && _instructions[to].Form != Form.Interpreted)
                to++;
            if (to == count)
                to = Extend(block);
            to = Live(from, to);
            if (IsWorthIt(from, Math.Min(to, count), count) && !Run(block, from, to) && (to <= count || !Decode(block, 0) || !Run(block, from, Live(from, count))))
                return;
            from = to + 1;
        }
    }

    /// <summary>
    /// The way in and out costs as much as some instructions in the interpreter; a run that reaches the block's end goes
    /// on to others. A branch alone has no room in its op for the way in.
    /// </summary>
    private static bool IsWorthIt(int from, int to, int count)
    {
        int least = to < count ? ShortestThatLeaves : from == 0 ? 1 : 2;
        return to - from >= least;
    }

    /// <summary>Translates instructions that follow each other; false: one of them cannot be encoded.</summary>
    private bool Run(Block* block, int from, int to, bool loops = true)
    {
        int start = _code.Offset;
        _exits.Clear();
        _apart.Clear();
        _loopApart.Clear();
        _sides.Clear();
        _end = to;
        _charged = _blockEnds[to - 1];
        _flags.Start();
        FindLoop(block, from, to, loops);
        _map.Choose(_instructions.AsSpan(from, to - from), _isLoop);
        _edges.Start(_map, HasBackwardBranch(to));
        _memory.Start(grouped: true, _isLoop ? SlotUse.Note : SlotUse.None);
        _groups.Find(_instructions.AsSpan(from, to - from));
        if (from == 0)
            _edges.Enter(block->Rip, _charged);
        int entry = from == 0 ? _edges.Polling : 0;
        int body = _code.Offset;
        _map.Enter();
        VectorTraits traits = Vectors(from, to);
        if (traits != VectorTraits.None)
            _vectors.Require((traits & VectorTraits.Wide) != 0, displacement => _exits.Add(new Way(displacement, from, Uncharged(from), FlagCode.InRax, default)));
        bool done = Body(block, from, to, apart: null);
        int bytes = _code.Offset - body;
        if (!done || !BodyApart(block, _apart, to, SlotUse.None) || !Loop(block, entry, bytes))
        {
            _code.Offset = start;
            _vectors.Drop();
            return _again.Count != 0 && Run(block, from, to, loops: false);
        }
        _vectors.Finish();
        Sides();
        Exits();
        body = _edges.EnterCharged(_charged - (int)block->Instructions, body, _starts[from]);
        _edges.Finish(block);
        Runs.Add(((int)(_starts[from] - Block.First(block)), entry, body));
        return true;
    }

    /// <summary>
    /// Writes a copy of a run for groups of memory operands that cannot be reached together: each is checked there. It
    /// begins with the first group's check, and is entered wherever a group's check has failed.
    /// </summary>
    private bool BodyApart(Block* block, List<Way> ways, int to, SlotUse slots)
    {
        if (ways.Count == 0)
            return true;
        bool isLoop = _isLoop;
        _isLoop &= _inLoop;
        _memory.Start(grouped: false, slots);
        ways.Sort(static (a, b) => a.Instruction.CompareTo(b.Instruction));
        _flags.State = FlagCode.InRax;
        if (!Body(block, ways[0].Instruction, to, ways))
            return false;
        foreach (Way way in ways)
        {
            int landing = _landings[way.Instruction];
            if (way.Flags == FlagCode.InRax)
            {
                _code.PatchDisplacement(way.Displacement, landing);
                continue;
            }
            _code.Land(way.Displacement);
            _flags.Restore(way.Flags);
            _code.Jump(landing);
        }
        _isLoop = isLoop;
        return true;
    }

    /// <summary>Emits instructions up to the end of a run, and the way on from there.</summary>
    private bool Body(Block* block, int from, int to, List<Way>? apart)
    {
        bool ended = false;
        for (int i = from, next = 0; i < to; i++)
        {
            if (_inLoop && _code.Offset > _loopTop + MostLoopBytes)
                return false;
            _current = _memory.Instruction = i;
            if (apart != null && apart[next].Instruction == i)
            {
                _flags.Settle();
                _flags.State = FlagCode.InRax;
                _landings[i] = _code.Offset;
                while (next < apart.Count - 1 && apart[next].Instruction == i)
                    next++;
            }
            if (_flags.Registers != 0)
                Overwrite(_instructions[i]);
            if (!Emit(ref _instructions[i], out ended))
                return false;
        }
        if (ended)
            return true;
        if (to == _blockEnds[to - 1])
        {
            _flags.Settle();
            _edges.Follow(_ops[to - 1][1].Rip, _ops[to - 1]->Rip);
        }
        else
        {
            _flags.Keep();
            _map.Return();
            _edges.Leave(_starts[to], _flags.Image);
        }
        return true;
    }

    /// <summary>Tells of registers that an instruction writes, if flags are to be made of them again.</summary>
    private void Overwrite(in GuestInstruction guest)
    {
        bool writes = guest.Form >= Form.Division;
        foreach (UsedRegister used in _registers.GetInfo(guest.Instruction).GetUsedRegisters())
        {
            if (writes)
                break;
            if (!used.Register.IsGPR() || used.Access is OpAccess.Read or OpAccess.CondRead or OpAccess.None or OpAccess.NoMemAccess)
                continue;
            int home = _map.Home(HostRegisters.Number(used.Register));
            writes = home >= 0 && (_flags.Registers >> home & 1) != 0;
        }
        if (writes)
            _flags.Overwrite(guest.Form < Form.Division && guest.Kills == GuestInstruction.Status);
    }

    /// <summary>What the vector instructions of a run need; nothing where it has none.</summary>
    private VectorTraits Vectors(int from, int to)
    {
        VectorTraits traits = VectorTraits.None;
        for (int i = from; i < to; i++)
            if (_instructions[i].Form == Form.Vector)
                traits |= VectorForms.Of(_instructions[i].Instruction.Code);
        return traits;
    }

    /// <summary>Finds the flags that live after each instruction of a run; returns its end, cut where flags cannot be had.</summary>
    private int Live(int from, int to)
    {
        RflagsBits live = GuestInstruction.Status;
        for (int i = to - 1; i >= from; i--)
        {
            ref GuestInstruction instruction = ref _instructions[i];
            instruction.Live = live;
            if (instruction.Flags == FlagResult.Unlike && (live & instruction.Instruction.RflagsModified & GuestInstruction.Status) != 0
                && !RotateCode.TryKeepFlags(ref instruction))
            {
                to = i;
                live = GuestInstruction.Status;
                continue;
            }
            live = (live & ~instruction.Kills) | instruction.Reads;
            if (instruction.MayLeave && !(instruction.Form == Form.Jump && i + 1 < to))
                live = GuestInstruction.Status;
        }
        // Behind STI comes one instruction at least, so that nobody meets the shadow that it leaves.
        while (to > from && to == _blockEnds[to - 1] && _instructions[to - 1].Instruction.Mnemonic == Mnemonic.Sti)
            to--;
        return to;
    }

    private bool Emit(ref GuestInstruction guest, out bool ended)
    {
        Op* op = OpOf(_current);
        bool wide = !_memory.Narrow;
        int slot = _memory.Slot;
        ref Instruction instruction = ref guest.Instruction;
        ended = false;
        switch (guest.Form)
        {
            case Form.Nothing:
                return true;
            case Form.Address:
                Address(instruction);
                return true;
            case Form.Copied:
                return Copied(ref guest);
            case Form.Vector:
                return _vectorCode.Emit(ref guest, _exit, _exitApart);
            case >= Form.Division:
                bool emitted = _families.Emit(ref guest, _exit);
                _memory.Forget();
                return emitted;
            case Form.Push:
                int place = _memory.Reach(guest, _exit, _exitApart);
                _code.Memory(HostEmitter.MovStore, _memory.Load(HostRegisters.Number(instruction.Op0Register), HostRegisters.Second), HostRegisters.First, place, wide);
                _memory.MoveStack(-slot);
                return true;
            case Form.PushConstant:
                _code.StoreConstant((int)(long)instruction.GetImmediate(0), HostRegisters.First, _memory.Reach(guest, _exit, _exitApart), wide);
                _memory.MoveStack(-slot);
                return true;
            case Form.Pop:
                _code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, _memory.Reach(guest, _exit, _exitApart), wide);
                _memory.Forget();
                _memory.MoveStack(slot);
                _memory.Store(HostRegisters.Number(instruction.Op0Register), HostRegisters.First);
                return true;
            case Form.Leave:
                _memory.CheckAt(5, 0, write: false, _exit);
                _code.Memory(HostEmitter.LeaOp, HostRegisters.Stack, 5, slot, wide);
                _code.Memory(HostEmitter.MovLoad, 5, HostRegisters.First, 0, wide);
                return true;
        }
        _flags.Need(guest.Reads);
        if (GoesOn)
        {
            Stay(ref guest, op);
            return true;
        }
        if (_isLoop)
        {
            ended = guest.Form == Form.Jump ? Again(op) : Again(Condition(guest), op);
            return true;
        }
        ended = true;
        _flags.Settle();
        switch (guest.Form)
        {
            case Form.Jump:
                _edges.Follow(op->Immediate, op->Rip);
                break;
            case Form.ConditionalJump:
                _edges.FollowIf(Condition(guest), op->Immediate, op->Rip);
                _edges.Follow(op->NextRip, op->Rip);
                break;
            case Form.Loop:
                _loops.Emit(instruction, op->Immediate, op->NextRip);
                break;
            case Form.Privilege:
                _privileges.Emit(instruction, op->NextRip, _exit);
                break;
            case Form.Call:
                PushReturn(op, _memory.Reach(guest, _exit, _exitApart));
                _edges.Follow(op->Immediate, op->Rip);
                break;
            case Form.IndirectJump:
                Target(ref instruction);
                _edges.FindIndirect(_exit);
                _edges.GoIndirect();
                break;
            case Form.IndirectCall:
                Target(ref instruction);
                _edges.FindIndirect(_exit);
                _edges.Remember();
                _memory.CheckStack(-slot, write: true, _exit);
                PushReturn(op, 0);
                _edges.GoRemembered();
                break;
            case Form.Return:
                _code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, _memory.Reach(guest, _exit, _exitApart), wide);
                _memory.Forget();
                _edges.FindIndirect(_exit);
                _memory.MoveStack(slot + (int)op->Immediate);
                _edges.GoIndirect();
                break;
        }
        return true;
    }

    /// <summary>Pushes a call's return address, to a place that lies at a displacement from the first scratch register.</summary>
    private void PushReturn(Op* op, int place)
    {
        _code.StorePlace(op->NextRip, HostRegisters.First, place, HostRegisters.Second, wide: !_memory.Narrow);
        _memory.MoveStack(-_memory.Slot);
    }

    /// <summary>An indirect branch's target into the first scratch register.</summary>
    private void Target(ref Instruction instruction)
    {
        if (instruction.Op0Kind == OpKind.Memory)
        {
            _memory.Check(instruction, _memory.Slot, write: false, _exit);
            _code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, 0, wide: !_memory.Narrow);
        }
        else
        {
            _flags.Save();
            int target = _memory.Load(HostRegisters.Number(instruction.Op0Register), HostRegisters.First);
            if (_memory.Narrow)
                _code.Pair(HostEmitter.MovLoad, HostRegisters.First, target, wide: false);
            else
                _code.Move(HostRegisters.First, target);
        }
    }

    private void Address(in Instruction instruction)
    {
        Register destination = instruction.Op0Register;
        int size = destination.GetSize();
        int guest = HostRegisters.Number(destination);
        if (_map.Home(guest) >= 0 && (size == 8 || (size == 4 && !instruction.IsIPRelativeMemoryOperand)))
        {
            _memory.Compute(instruction, to: _map.Home(guest), wide: size == 8);
            return;
        }
        _memory.Compute(instruction);
        if (size == 2)
        {
            int home = _memory.Load(guest, HostRegisters.Second);
            _code.Bytes(0x66);
            _code.Pair(HostEmitter.MovLoad, home, HostRegisters.First, wide: false);
            _memory.Store(guest, home);
            return;
        }
        if (size == 4)
            _code.Pair(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, wide: false);
        _memory.Store(guest, HostRegisters.First);
    }

    /// <summary>The guest's instruction with the host's registers, its flags kept where somebody may look at them.</summary>
    private bool Copied(ref GuestInstruction guest)
    {
        Instruction instruction = guest.Instruction;
        if (guest.Memory != MemoryUse.None)
        {
            _memory.Replace(ref instruction, _memory.Reach(guest, _exit, _exitApart));
        }
        _flags.Prepare(guest.Flags, guest.Live);
        _flags.Need(guest.Reads);
        int scratch = guest.Memory != MemoryUse.None ? HostRegisters.Second : HostRegisters.First;
        int firstGuest = -1, firstHome = -1, secondGuest = -1, secondHome = -1;
        bool storesFirst = false, storesSecond = false;
        if (guest.Memory == MemoryUse.None && !guest.UsesAccumulator)
            ContextOperand.Replace(ref instruction, _map);
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) != OpKind.Register)
                continue;
            Register register = instruction.GetOpRegister(i);
            int number = HostRegisters.Number(register);
            int home = _map.Home(number);
            if (home < 0)
            {
                OpAccess access = AccessOf(guest.Instruction, i);
                bool writes = access is not (OpAccess.Read or OpAccess.CondRead);
                if (number == firstGuest)
                {
                    home = firstHome;
                    storesFirst |= writes;
                }
                else
                {
                    home = scratch++;
                    // What is written as a whole needs no load, unless another operand is the same register.
                    if (access != OpAccess.Write || register.GetSize() < 4 || Names(instruction, i + 1, number))
                        _memory.Load(number, home);
                    else if (home == HostRegisters.First)
                        _memory.Forget();
                    if (firstGuest < 0)
                        (firstGuest, firstHome, storesFirst) = (number, home, writes);
                    else
                        (secondGuest, secondHome, storesSecond) = (number, home, writes);
                }
            }
            instruction.SetOpRegister(i, HostRegisters.OfSize(home, register));
        }
        if (guest.UsesAccumulator)
        {
            if (guest.Flags == FlagResult.None)
                _flags.FreeRax();
            _code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        }
        if (!_code.Copy(instruction))
            return false;
        if (guest.UsesAccumulator)
            _code.Move(HostRegisters.Accumulator, HostRegisters.Rax);
        if (storesFirst)
            _memory.Store(firstGuest, firstHome);
        if (storesSecond)
            _memory.Store(secondGuest, secondHome);
        Register product = guest.Flags != FlagResult.Product ? Register.None
            : guest.UsesAccumulator ? HostRegisters.OfSize(HostRegisters.Accumulator, Accumulator(instruction))
            : instruction.Op0Register;
        _flags.Written(guest.Flags, guest.Live, product);
        _flags.Recall(instruction, guest.Flags);
        return true;
    }

    private OpAccess AccessOf(in Instruction instruction, int operand)
    {
        InstructionInfo info = _registers.GetInfo(instruction);
        return operand switch
        {
            0 => info.Op0Access,
            1 => info.Op1Access,
            _ => info.Op2Access,
        };
    }

    /// <summary>Whether an operand from one on is a register.</summary>
    private static bool Names(in Instruction instruction, int from, int number)
    {
        for (int i = from; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Register && HostRegisters.Number(instruction.GetOpRegister(i)) == number)
                return true;
        return false;
    }

    private static Register Accumulator(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Register ? instruction.Op0Register : instruction.MemorySize.GetSize() switch
        {
            8 => Register.RAX,
            4 => Register.EAX,
            2 => Register.AX,
            _ => Register.AL,
        };

    private Op* OpOf(int instruction) => _ops[instruction % _count];

    /// <summary>Instructions of a loop's later turns and of a trace's later blocks, which have been charged.</summary>
    private int Uncharged(int instruction) => (_inLoop ? (_turns - 1 - instruction / _count) * _count : 0) + _charged - _blockEnds[instruction % _count];

    private Way WayOut(int displacement) => new(displacement, _current, Uncharged(_current), _flags.State, default);

    /// <summary>A jump out of the code, to the instruction that is being emitted.</summary>
    private void Exit(int displacement)
    {
        Miss miss = _memory.Missed;
        ref readonly Instruction instruction = ref _instructions[_current].Instruction;
        // A masked store may write nothing, so that only its execution tells whether the page is written to.
        if (VectorForms.IsMaskedMove(instruction.Mnemonic))
            miss = default;
        else if (miss.Size >= VectorCode.Aligned)
            miss = miss with { IsAligned = instruction.Mnemonic == Mnemonic.Cmpxchg16b || (VectorForms.Of(instruction.Code) & VectorTraits.Aligned) != 0 };
        _exits.Add(WayOut(displacement) with { Instruction = _current % _count, Miss = miss });
    }

    /// <summary>Writes where the jumps out lead, those of one instruction to one place.</summary>
    private void Exits()
    {
        int offset = 0;
        Way before = default;
        foreach (Way way in _exits)
        {
            if (way.Flags.Image == FlagImage.None)
                throw new InvalidOperationException($"{_instructions[way.Instruction].Instruction}: flags are not saved where it may leave");
            if (way with { Displacement = before.Displacement } != before)
            {
                (before, offset) = (way, _code.Offset);
                _flags.Restore(way.Flags);
                if (way.Miss.Size != 0)
                {
                    _edges.Leave(_starts[way.Instruction], way.Flags.Image, way.Miss, way.Uncharged);
                    _code.PatchDisplacement(way.Displacement, offset);
                    continue;
                }
                _edges.GiveBack(way.Uncharged);
                _map.Return();
                _edges.Leave(_starts[way.Instruction], way.Flags.Image);
            }
            _code.PatchDisplacement(way.Displacement, offset);
        }
    }

    /// <summary>A jump from an instruction of the block to code that is written later, and what is given back of the budget there.</summary>
    private readonly record struct Way(int Displacement, int Instruction, int Uncharged, FlagState Flags, Miss Miss);
}
