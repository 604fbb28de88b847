using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>A memory operand's part in a group of accesses that are near each other whatever the registers hold.</summary>
internal struct GroupedAccess
{
    /// <summary>The group's number from 1; 0: the access is alone.</summary>
    public byte Group;

    /// <summary>It is the first of its group, whose check covers all of them.</summary>
    public bool Leads;

    /// <summary>Whether one of the group writes.</summary>
    public bool Writes;

    /// <summary>Bytes from the group's lowest byte to this operand's.</summary>
    public short Offset;

    /// <summary>Bytes from the group's lowest to its highest, steps not counted.</summary>
    public short Span;

    /// <summary>The accesses keep their own addresses, to which something is added.</summary>
    public bool Keeps;

    /// <summary>Not 0: a register's value is added between accesses, this many times in all.</summary>
    public byte Steps;

    /// <summary>The host register with the step.</summary>
    public byte Step;
}

/// <summary>
/// Finds the memory operands of straight code whose addresses differ by constants: the same base and index registers,
/// followed through moves and additions of constants, or of a register that stays as it is. One check of the whole range
/// then serves all.
/// </summary>
internal sealed class AccessGroups(RegisterMap map)
{
    /// <summary>Groups with more than one access in a run.</summary>
    public const int Most = 15;

    /// <summary>Bytes of a group at most: ranges that cross a page gain nothing.</summary>
    private const long MostSpan = 256;

    private const ulong PageMask = 4095;

    private readonly InstructionInfoFactory _registers = new();
    private readonly Value[] _values = new Value[16];
    private readonly List<Range> _ranges = [];
    private readonly List<(int Instruction, int Range, long Low)> _accesses = [];
    private readonly List<(Key Key, long Low, int Size)> _aligned = [];
    private int _version, _segments, _rights;

    /// <summary>Sets the groups of a run's instructions.</summary>
    public void Find(Span<GuestInstruction> run)
    {
        _ranges.Clear();
        _accesses.Clear();
        _aligned.Clear();
        _version = 0;
        for (int i = 0; i < _values.Length; i++)
            _values[i] = new Value(++_version);
        for (int i = 0; i < run.Length; i++)
        {
            run[i].Access = default;
            run[i].IsAligned = false;
            if (!run[i].IsFixed && Operand(run[i], out Operation operation))
            {
                Add(i, operation);
                if (operation.Aligns && operation.Steps == 0)
                    run[i].IsAligned = IsAligned(operation);
            }
            Follow(run[i]);
        }
        Number(run);
    }

    /// <summary>Whether an access before this one, as far from it as a multiple of its size, had to be aligned as well.</summary>
    private bool IsAligned(in Operation operation)
    {
        foreach ((Key key, long low, int size) in _aligned)
            if (key == operation.Key && size >= operation.Size && (operation.Low - low) % operation.Size == 0)
                return true;
        _aligned.Add((operation.Key, operation.Low, operation.Size));
        return false;
    }

    /// <summary>What an operand's address is made of; false: it has no part here.</summary>
    private bool Operand(in GuestInstruction guest, out Operation operation)
    {
        ref readonly Instruction instruction = ref guest.Instruction;
        operation = default;
        operation.Writes = guest.Memory == MemoryUse.Write;
        operation.Key.Rights = _rights;
        switch (guest.Form)
        {
            case Form.Push or Form.PushConstant or Form.Pop or Form.Call or Form.Return:
                if (instruction.Code is not (Code.Push_r64 or Code.Pushq_imm8 or Code.Pushq_imm32 or Code.Pop_r64 or Code.Call_rel32_64 or Code.Retnq or Code.Retnq_imm16) || _values[4].Steps != 0)
                    return false;
                operation.Key.Base = _values[4].Version;
                operation.Low = _values[4].Delta - (guest.Form is Form.Pop or Form.Return ? 0 : 8);
                operation.Size = 8;
                operation.Writes = guest.Form is not (Form.Pop or Form.Return);
                return true;
            case Form.Copied or Form.Vector when guest.Memory != MemoryUse.None:
                break;
            default:
                return false;
        }
        operation.Size = instruction.MemorySize.GetSize();
        operation.Aligns = guest.Form == Form.Vector && operation.Size >= VectorCode.Aligned && (VectorForms.Of(instruction.Code) & VectorTraits.Aligned) != 0;
        operation.Key.Segment = instruction.MemorySegment is Register.FS or Register.GS ? (instruction.MemorySegment, _segments) : default;
        if (instruction.IsIPRelativeMemoryOperand)
        {
            operation.Low = (long)instruction.IPRelativeMemoryAddress;
            return true;
        }
        operation.Low = (long)instruction.MemoryDisplacement64;
        // The group may begin below.
        if (operation.Low is < int.MinValue + MostSpan or > int.MaxValue)
            return false;
        Register @base = instruction.MemoryBase, index = instruction.MemoryIndex;
        if ((@base != Register.None && !@base.IsGPR64()) || (index != Register.None && !index.IsGPR64()) || (@base == Register.None && index == Register.None))
            return false;
        if (@base != Register.None)
        {
            Value value = _values[@base - Register.RAX];
            operation.Key.Base = value.Version;
            operation.Low += value.Delta;
            operation.IsPlain = index == Register.None && operation.Key.Segment == default && !operation.Aligns && map.Home(@base - Register.RAX) >= 0;
            (operation.Step, operation.Steps) = (value.Step, value.Steps);
            if (value.Steps != 0 && !operation.IsPlain)
                return false;
        }
        if (index != Register.None)
        {
            Value value = _values[index - Register.RAX];
            operation.Key.Index = value.Version;
            operation.Key.Scale = instruction.MemoryIndexScale;
            operation.Low += value.Delta * operation.Key.Scale;
            return value.Steps == 0;
        }
        return true;
    }

    private void Add(int instruction, in Operation operation)
    {
        for (int i = 0; i < _ranges.Count; i++)
        {
            Range range = _ranges[i];
            if (range.Key != operation.Key)
                continue;
            long from = Math.Min(range.Low, operation.Low), to = Math.Max(range.High, operation.Low + operation.Size);
            if ((ulong)(to - from) > MostSpan)
                continue;
            // A constant address says itself whether the range crosses a page.
            if (operation.Key is { Base: 0, Index: 0 } && operation.Key.Segment == default && (((ulong)from ^ (ulong)(to - 1)) & ~PageMask) != 0)
                continue;
            int steps = Math.Max(range.Steps, operation.Steps);
            if (steps != 0 && (!range.IsPlain || !operation.IsPlain || (range.Steps != 0 && operation.Steps != 0 && range.Step != operation.Step)))
                continue;
            _ranges[i] = range with
            {
                Low = from, High = to, Writes = range.Writes | operation.Writes, Count = range.Count + 1, IsPlain = range.IsPlain & operation.IsPlain,
                Steps = steps, Step = operation.Steps != 0 ? operation.Step : range.Step,
            };
            _accesses.Add((instruction, i, operation.Low));
            return;
        }
        // A range begins before its steps: its check looks at what follows only.
        if (operation.Steps != 0)
            return;
        _ranges.Add(new Range(operation.Key, operation.Low, operation.Low + operation.Size, operation.Writes, 1, operation.IsPlain, 0, 0));
        _accesses.Add((instruction, _ranges.Count - 1, operation.Low));
    }

    /// <summary>What registers hold after an instruction.</summary>
    private void Follow(in GuestInstruction guest)
    {
        ref readonly Instruction instruction = ref guest.Instruction;
        switch (guest.Form)
        {
            case Form.Push or Form.PushConstant or Form.Call:
                _values[4] = _values[4].Plus(-8);
                return;
            case Form.Return:
                _values[4] = _values[4].Plus(8 + (instruction.OpCount != 0 ? (long)instruction.GetImmediate(0) : 0));
                return;
            case Form.Pop:
                _values[4] = _values[4].Plus(8);
                Unknown(instruction.Op0Register);
                return;
            case Form.String:
                Unknown(Register.RCX);
                Unknown(Register.RSI);
                Unknown(Register.RDI);
                Unknown(Register.RAX);
                return;
            case Form.State:
                // It may write a segment's base, or change what may be reached.
                _segments++;
                if (instruction.Mnemonic is Mnemonic.Stac or Mnemonic.Clac)
                    _rights++;
                break;
            case Form.Vector or Form.Nothing when instruction.OpCount == 0 || !instruction.Op0Register.IsGPR():
                if (!guest.UsesAccumulator)
                    return;
                break;
        }
        if (instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register && instruction.Op0Register.IsGPR64() && Known(instruction, out Value value))
        {
            _values[instruction.Op0Register - Register.RAX] = value;
            return;
        }
        foreach (UsedRegister used in _registers.GetInfo(instruction).GetUsedRegisters())
            if (used.Register.IsGPR() && used.Access is not (OpAccess.Read or OpAccess.CondRead or OpAccess.None or OpAccess.NoMemAccess))
                Unknown(used.Register);
    }

    /// <summary>The value of a 64-bit register that an instruction makes of another's by adding a constant or a register.</summary>
    private bool Known(in Instruction instruction, out Value value)
    {
        value = _values[instruction.Op0Register - Register.RAX];
        bool constant = instruction.OpCount == 2 && instruction.Op1Kind is OpKind.Immediate8to64 or OpKind.Immediate32to64;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Inc:
                value = value.Plus(1);
                return true;
            case Mnemonic.Dec:
                value = value.Plus(-1);
                return true;
            case Mnemonic.Add when constant:
                value = value.Plus((long)instruction.GetImmediate(1));
                return true;
            case Mnemonic.Add when instruction.OpCount == 2 && instruction.Op1Kind == OpKind.Register && instruction.Op1Register.IsGPR64():
                return Stepped(instruction.Op1Register, ref value);
            case Mnemonic.Sub when constant:
                value = value.Plus(-(long)instruction.GetImmediate(1));
                return true;
            case Mnemonic.Cmp or Mnemonic.Test:
                return true;
            case Mnemonic.Mov when instruction.Op1Kind == OpKind.Register && instruction.Op1Register.IsGPR64():
                value = _values[instruction.Op1Register - Register.RAX];
                return true;
            case Mnemonic.Lea when instruction.MemoryIndex == Register.None && instruction.MemoryBase.IsGPR64():
                value = _values[instruction.MemoryBase - Register.RAX];
                value = value.Plus((long)instruction.MemoryDisplacement64);
                return true;
            default:
                return false;
        }
    }

    /// <summary>Adds a register that nothing has written before; nothing may write it later, either.</summary>
    private bool Stepped(Register register, ref Value value)
    {
        int step = register - Register.RAX;
        if (_values[step].Version != step + 1 || _values[step].Delta != 0 || _values[step].Steps != 0 || map.Home(step) < 0
            || (value.Steps != 0 && value.Step != step) || value.Version == step + 1 || value.Steps == byte.MaxValue)
            return false;
        value = value with { Step = step, Steps = value.Steps + 1 };
        return true;
    }

    private void Unknown(Register register) => _values[register.GetFullRegister() - Register.RAX] = new Value(++_version);

    /// <summary>Gives numbers to the groups that have more than one access.</summary>
    private void Number(Span<GuestInstruction> run)
    {
        int number = 0;
        for (int i = 0; i < _ranges.Count && number < Most; i++)
        {
            Range range = _ranges[i];
            if (range.Count < 2 || (range.Steps != 0 && _values[range.Step] != new Value(range.Step + 1)))
                continue;
            number++;
            bool leads = true;
            foreach ((int instruction, int at, long low) in _accesses)
            {
                if (at != i)
                    continue;
                run[instruction].Access = new GroupedAccess
                {
                    Group = (byte)number, Leads = leads, Writes = range.Writes, Offset = (short)(low - range.Low), Span = (short)(range.High - range.Low),
                    Keeps = range.IsPlain, Steps = (byte)range.Steps, Step = (byte)map.Home(range.Step),
                };
                leads = false;
            }
        }
    }

    /// <summary>A register's value: one that is not known, a constant, and a register's first value a number of times.</summary>
    private readonly record struct Value(int Version, long Delta = 0, int Step = 0, int Steps = 0)
    {
        public Value Plus(long constant) => this with { Delta = Delta + constant };
    }

    private record struct Key(int Base, int Index, int Scale, (Register, int) Segment, int Rights);

    private struct Operation
    {
        public Key Key;
        public long Low;
        public int Size, Step, Steps;

        /// <summary>The address is a register that the host has, and a constant.</summary>
        public bool IsPlain;
        public bool Writes, Aligns;
    }

    private readonly record struct Range(Key Key, long Low, long High, bool Writes, int Count, bool IsPlain, int Step, int Steps);
}
