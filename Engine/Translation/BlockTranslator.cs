using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Translates one block. What it leaves out, and whatever does not go smoothly (a TLB miss, a target not known, a used-up
/// budget), leads out of the code with the op to go on with, before anything of that instruction has happened.
/// </summary>
internal sealed unsafe class BlockTranslator(Vcpu vcpu, HostEmitter code, VectorRegisters vectors, int leave)
{
    private const ulong OffsetMask = PageNumber.Size - 1;

    /// <summary>Instructions of a run that ends in the interpreter, at least.</summary>
    private const int ShortestThatLeaves = 5;

    private readonly GuestInstruction[] _instructions = new GuestInstruction[BlockDecoder.Longest];
    private readonly List<(int Displacement, int Op)> _exits = [];
    private readonly MemoryCode _memory = new(code);
    private readonly FlagCode _flags = new(code);
    private readonly FeatureGate _features = new(vcpu.Services);
    private readonly EdgeCode _edges = new(code);
    private Op* _first;

    /// <summary>Bytes that a block's translation takes at most.</summary>
    public const int MostBytes = BlockDecoder.Longest * 256 + 1024;

    /// <summary>Where translated code begins: op indexes with code offsets, in order. A run begins with the block or behind an instruction left out.</summary>
    public List<(int Op, int Offset)> Runs { get; } = [];

    /// <summary>The instructions of the block translated last, as they were classified.</summary>
    public ReadOnlySpan<GuestInstruction> Instructions(Block* block) => _instructions.AsSpan(0, (int)Math.Min(block->Instructions, BlockDecoder.Longest));

    /// <summary>Writes the translation of a block into <see cref="Runs"/>; there may be nothing to translate.</summary>
    public void Translate(Block* block)
    {
        Runs.Clear();
        _first = Block.First(block);
        if (block->SecondPage != Block.OnePage || block->Instructions == Block.Stale || !Decode(block))
            return;
        int count = (int)block->Instructions;
        for (int from = 0; from < count;)
        {
            int to = from;
            while (to < count && _instructions[to].Form != Form.Interpreted)
                to++;
            to = Live(from, to);
            if (IsWorthIt(from, to, count) && !Run(from, to, count))
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
    private bool Run(int from, int to, int count)
    {
        int start = code.Offset;
        _exits.Clear();
        _flags.Start();
        VectorTraits traits = Vectors(from, to);
        if (traits != VectorTraits.None)
            vectors.Require((traits & VectorTraits.Wide) != 0, displacement => Exit(displacement, from));
        bool ended = false;
        for (int i = from; i < to; i++)
        {
            if (!Emit(i, ref _instructions[i], out ended))
            {
                code.Offset = start;
                vectors.Drop();
                return false;
            }
        }
        if (!ended)
        {
            if (to == count)
                _edges.Follow(_first + to, _first[to].Rip, 0, displacement => Exit(displacement, to));
            else
                Leave(to);
        }
        vectors.Finish();
        Exits();
        Runs.Add((from, start));
        return true;
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

    /// <summary>Decodes and classifies a block's instructions; false: they are not what its ops were made from.</summary>
    private bool Decode(Block* block)
    {
        byte* page = vcpu.Memory.Resolve(new PageNumber(block->Physical >> PageNumber.Shift), Access.Execute);
        if (page == null)
            return false;
        byte[] bytes = new ReadOnlySpan<byte>(page + (block->Physical & OffsetMask), block->Bytes).ToArray();
        Decoder decoder = Decoder.Create(64, bytes, block->Rip, DecoderOptions.AMD);
        for (int i = 0; i < (int)block->Instructions; i++)
        {
            decoder.Decode(out Instruction instruction);
            // A device may have written here since the block was decoded; its message is on the way.
            if (instruction.IP != _first[i].Rip || instruction.Length != _first[i].Length)
                return false;
            // What the machine's CPUID does not show is undefined, or another instruction: as the block's decoder has it.
            _instructions[i] = instruction.IsInvalid || !_features.Allows(ref instruction) ? default : GuestInstruction.Of(instruction);
            // What the host's processor does not have is interpreted.
            if (_instructions[i].Form == Form.Vector && !HostFeatures.Allows(instruction.Code))
                _instructions[i] = default;
        }
        return true;
    }

    /// <summary>Finds the flags that live after each instruction of a run; returns its end, cut where flags cannot be had.</summary>
    private int Live(int from, int to)
    {
        RflagsBits live = GuestInstruction.Status;
        for (int i = to - 1; i >= from; i--)
        {
            ref GuestInstruction instruction = ref _instructions[i];
            instruction.Live = live;
            if (instruction.Flags == FlagResult.Unlike && (live & instruction.Instruction.RflagsModified & GuestInstruction.Status) != 0)
            {
                to = i;
                live = GuestInstruction.Status;
                continue;
            }
            live = (live & ~instruction.Kills) | instruction.Reads;
            if (instruction.MayLeave)
                live = GuestInstruction.Status;
        }
        return to;
    }

    private bool Emit(int index, ref GuestInstruction guest, out bool ended)
    {
        void Exits(int displacement) => Exit(displacement, index);
        Op* op = _first + index;
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
                return Copied(ref guest, Exits);
            case Form.Vector:
                return new VectorCode(code, _memory, _flags).Emit(ref guest, Exits);
            case Form.Push:
                PushValue(HostRegisters.Number(instruction.Op0Register), Exits);
                return true;
            case Form.PushConstant:
                _memory.CheckStack(-8, write: true, Exits);
                _flags.Lost();
                code.Constant(HostRegisters.Second, (ulong)(long)instruction.GetImmediate(0));
                code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.First, 0);
                _memory.MoveStack(-8);
                return true;
            case Form.Pop:
                _memory.CheckStack(0, write: false, Exits);
                _flags.Lost();
                code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, 0);
                _memory.MoveStack(8);
                _memory.Store(HostRegisters.Number(instruction.Op0Register), HostRegisters.First);
                return true;
            case Form.Leave:
                _memory.CheckAt(5, 0, write: false, Exits);
                _flags.Lost();
                code.Memory(HostEmitter.LeaOp, HostRegisters.Stack, 5, 8);
                code.Memory(HostEmitter.MovLoad, 5, HostRegisters.First, 0);
                return true;
        }
        ended = true;
        switch (guest.Form)
        {
            case Form.Jump:
                _edges.Follow(op, op->Immediate, op->Rip, Exits);
                break;
            case Form.ConditionalJump:
                Conditional(op, instruction.ConditionCode, index, guest.Reads);
                break;
            case Form.Call:
                _edges.Find(op, op->Immediate, op->Rip, Exits);
                Push(op, Exits);
                break;
            case Form.IndirectJump:
                Target(ref instruction, Exits);
                _edges.FindIndirect(Exits);
                _edges.Enter(Exits);
                break;
            case Form.IndirectCall:
                Target(ref instruction, Exits);
                _edges.FindIndirect(Exits);
                Push(op, Exits);
                break;
            case Form.Return:
                _memory.CheckStack(0, write: false, Exits);
                code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, 0);
                _edges.FindIndirect(Exits);
                _edges.Check(Exits);
                _memory.MoveStack(8 + (int)op->Immediate);
                _edges.Go();
                break;
        }
        return true;
    }

    private void Conditional(Op* op, ConditionCode condition, int index, RflagsBits reads)
    {
        _flags.Need(reads);
        int taken = code.JumpIf((byte)(0x80 + (condition - ConditionCode.o)));
        // Not taken: the end op behind the branch knows the way, and the branch itself once it has been there.
        _edges.Follow(op + 1, op->NextRip, op->Rip, displacement => Exit(displacement, index + 1), op, ContextLayout.OpDisplacement);
        code.Land(taken);
        _edges.Follow(op, op->Immediate, op->Rip, displacement => Exit(displacement, index));
    }

    /// <summary>The end of a call whose target block is in the first scratch register: pushes the return address and goes there.</summary>
    private void Push(Op* op, Action<int> exit)
    {
        _edges.Check(exit);
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Target);
        _memory.CheckStack(-8, write: true, exit);
        code.Constant(HostRegisters.Second, op->NextRip);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.First, 0);
        _memory.MoveStack(-8);
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, ContextLayout.Target);
        _edges.Charge();
        _edges.Go();
    }

    private void PushValue(int guest, Action<int> exit)
    {
        _memory.CheckStack(-8, write: true, exit);
        _flags.Lost();
        code.Memory(HostEmitter.MovStore, _memory.Load(guest, HostRegisters.Second), HostRegisters.First, 0);
        _memory.MoveStack(-8);
    }

    /// <summary>An indirect branch's target into the first scratch register.</summary>
    private void Target(ref Instruction instruction, Action<int> exit)
    {
        if (instruction.Op0Kind == OpKind.Memory)
        {
            _memory.Check(instruction, 8, write: false, exit);
            code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, 0);
        }
        else
            code.Move(HostRegisters.First, _memory.Load(HostRegisters.Number(instruction.Op0Register), HostRegisters.First));
    }

    private void Address(in Instruction instruction)
    {
        Register destination = instruction.Op0Register;
        int size = destination.GetSize();
        _memory.Compute(instruction, withSegment: false);
        int guest = HostRegisters.Number(destination);
        if (size == 2)
        {
            int home = _memory.Load(guest, HostRegisters.Second);
            code.Bytes(0x66);
            code.Pair(HostEmitter.MovLoad, home, HostRegisters.First, wide: false);
            _memory.Store(guest, home);
            return;
        }
        if (size == 4)
            code.Pair(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, wide: false);
        _memory.Store(guest, HostRegisters.First);
    }

    /// <summary>The guest's instruction with the host's registers, its flags kept where somebody may look at them.</summary>
    private bool Copied(ref GuestInstruction guest, Action<int> exit)
    {
        Instruction instruction = guest.Instruction;
        if (guest.Memory != MemoryUse.None)
        {
            _memory.Check(instruction, instruction.MemorySize.GetSize(), guest.Memory == MemoryUse.Write, exit);
            _flags.Lost();
            instruction.MemoryBase = Register.R10;
            instruction.MemoryIndex = Register.None;
            instruction.MemoryIndexScale = 1;
            instruction.MemoryDisplacement64 = 0;
            instruction.MemoryDisplSize = 0;
            instruction.SegmentPrefix = Register.None;
        }
        _flags.Need(guest.Reads);
        int scratch = guest.Memory != MemoryUse.None ? HostRegisters.Second : HostRegisters.First;
        int firstGuest = -1, firstHome = -1, secondGuest = -1, secondHome = -1;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) != OpKind.Register)
                continue;
            Register register = instruction.GetOpRegister(i);
            int number = HostRegisters.Number(register);
            int home = number == firstGuest ? firstHome : _memory.Load(number, scratch);
            if (home == scratch && number != firstGuest)
                scratch++;
            if (firstGuest < 0)
                (firstGuest, firstHome) = (number, home);
            else if (secondGuest < 0 && number != firstGuest)
                (secondGuest, secondHome) = (number, home);
            instruction.SetOpRegister(i, HostRegisters.OfSize(home, register));
        }
        if (guest.UsesAccumulator)
            code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        if (!code.Copy(instruction))
            return false;
        if (guest.UsesAccumulator)
            code.Move(HostRegisters.Accumulator, HostRegisters.Rax);
        if (firstGuest >= 0)
            _memory.Store(firstGuest, firstHome);
        if (secondGuest >= 0)
            _memory.Store(secondGuest, secondHome);
        Register product = guest.Flags != FlagResult.Product ? Register.None
            : guest.UsesAccumulator ? HostRegisters.OfSize(HostRegisters.Accumulator, Accumulator(instruction))
            : instruction.Op0Register;
        _flags.Written(guest.Flags, guest.Live, product);
        return true;
    }

    private static Register Accumulator(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Register ? instruction.Op0Register : instruction.MemorySize.GetSize() switch
        {
            8 => Register.RAX,
            4 => Register.EAX,
            2 => Register.AX,
            _ => Register.AL,
        };

    private void Exit(int displacement, int op) => _exits.Add((displacement, op));

    private void Leave(int op)
    {
        code.Constant(HostRegisters.Rax, (ulong)(_first + op));
        code.Jump(leave);
    }

    private void Exits()
    {
        foreach (IGrouping<int, (int Displacement, int Op)> exits in _exits.GroupBy(exit => exit.Op))
        {
            foreach ((int displacement, _) in exits)
                code.Land(displacement);
            Leave(exits.Key);
        }
    }
}
