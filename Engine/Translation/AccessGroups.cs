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

    /// <summary>Bytes from the group's lowest to its highest.</summary>
    public short Span;
}

/// <summary>
/// Finds the memory operands of straight code whose addresses differ by constants: the same base and index registers,
/// followed through moves and additions of constants. One check of the whole range then serves all.
/// </summary>
internal sealed class AccessGroups
{
    /// <summary>Groups with more than one access in a run.</summary>
    public const int Most = 15;

    /// <summary>Bytes of a group at most: ranges that cross a page gain nothing.</summary>
    private const long MostSpan = 256;

    private const ulong PageMask = 4095;

    private readonly InstructionInfoFactory _registers = new();
    private readonly (int Version, long Delta)[] _values = new (int, long)[16];
    private readonly List<Range> _ranges = [];
    private readonly List<(int Instruction, int Range, long Low)> _accesses = [];
    private int _version, _segments;

    /// <summary>Sets the groups of a run's instructions.</summary>
    public void Find(Span<GuestInstruction> run)
    {
        _ranges.Clear();
        _accesses.Clear();
        _version = 0;
        for (int i = 0; i < _values.Length; i++)
            _values[i] = (++_version, 0);
        for (int i = 0; i < run.Length; i++)
        {
            run[i].Access = default;
            if (Operand(run[i], out Key key, out long low, out int size))
                Add(i, key, low, size, run[i].Memory == MemoryUse.Write || run[i].Form is Form.Push or Form.PushConstant);
            Follow(run[i]);
        }
        Number(run);
    }

    /// <summary>What an operand's address is made of, and the constant on top of that; false: it has no part here.</summary>
    private bool Operand(in GuestInstruction guest, out Key key, out long low, out int size)
    {
        ref readonly Instruction instruction = ref guest.Instruction;
        key = default;
        low = size = 0;
        switch (guest.Form)
        {
            case Form.Push or Form.PushConstant or Form.Pop:
                if (instruction.Code is not (Code.Push_r64 or Code.Pushq_imm8 or Code.Pushq_imm32 or Code.Pop_r64))
                    return false;
                (key.Base, low) = _values[4];
                low -= guest.Form == Form.Pop ? 0 : 8;
                size = 8;
                return true;
            case Form.Copied or Form.Vector when guest.Memory != MemoryUse.None:
                break;
            default:
                return false;
        }
        size = instruction.MemorySize.GetSize();
        key.Segment = instruction.MemorySegment is Register.FS or Register.GS ? (instruction.MemorySegment, _segments) : default;
        if (instruction.IsIPRelativeMemoryOperand)
        {
            low = (long)instruction.IPRelativeMemoryAddress;
            return true;
        }
        low = (long)instruction.MemoryDisplacement64;
        // The group may begin below.
        if (low is < int.MinValue + MostSpan or > int.MaxValue)
            return false;
        Register @base = instruction.MemoryBase, index = instruction.MemoryIndex;
        if ((@base != Register.None && !@base.IsGPR64()) || (index != Register.None && !index.IsGPR64()) || (@base == Register.None && index == Register.None))
            return false;
        if (@base != Register.None)
        {
            (key.Base, long delta) = _values[@base - Register.RAX];
            low += delta;
        }
        if (index != Register.None)
        {
            (key.Index, long delta) = _values[index - Register.RAX];
            key.Scale = instruction.MemoryIndexScale;
            low += delta * key.Scale;
        }
        return true;
    }

    private void Add(int instruction, Key key, long low, int size, bool writes)
    {
        for (int i = 0; i < _ranges.Count; i++)
        {
            Range range = _ranges[i];
            if (range.Key != key)
                continue;
            long from = Math.Min(range.Low, low), to = Math.Max(range.High, low + size);
            if ((ulong)(to - from) > MostSpan)
                continue;
            // A constant address says itself whether the range crosses a page.
            if (key.Base == 0 && key.Index == 0 && key.Segment == default && (((ulong)from ^ (ulong)(to - 1)) & ~PageMask) != 0)
                continue;
            _ranges[i] = range with { Low = from, High = to, Writes = range.Writes | writes, Count = range.Count + 1 };
            _accesses.Add((instruction, i, low));
            return;
        }
        _ranges.Add(new Range(key, low, low + size, writes, 1));
        _accesses.Add((instruction, _ranges.Count - 1, low));
    }

    /// <summary>What registers hold after an instruction.</summary>
    private void Follow(in GuestInstruction guest)
    {
        ref readonly Instruction instruction = ref guest.Instruction;
        switch (guest.Form)
        {
            case Form.Push or Form.PushConstant:
                _values[4].Delta -= 8;
                return;
            case Form.Pop:
                _values[4].Delta += 8;
                Unknown(instruction.Op0Register);
                return;
            case Form.String:
                Unknown(Register.RCX);
                Unknown(Register.RSI);
                Unknown(Register.RDI);
                Unknown(Register.RAX);
                return;
            case Form.State:
                // It may write a segment's base.
                _segments++;
                break;
            case Form.Vector or Form.Nothing when instruction.OpCount == 0 || !instruction.Op0Register.IsGPR():
                if (!guest.UsesAccumulator)
                    return;
                break;
        }
        if (instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register && instruction.Op0Register.IsGPR64() && Known(instruction, out (int, long) value))
        {
            _values[instruction.Op0Register - Register.RAX] = value;
            return;
        }
        foreach (UsedRegister used in _registers.GetInfo(instruction).GetUsedRegisters())
            if (used.Register.IsGPR() && used.Access is not (OpAccess.Read or OpAccess.CondRead or OpAccess.None or OpAccess.NoMemAccess))
                Unknown(used.Register);
    }

    /// <summary>The value of a 64-bit register that an instruction makes of another's by adding a constant.</summary>
    private bool Known(in Instruction instruction, out (int Version, long Delta) value)
    {
        value = _values[instruction.Op0Register - Register.RAX];
        bool constant = instruction.OpCount == 2 && instruction.Op1Kind is OpKind.Immediate8to64 or OpKind.Immediate32to64;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Inc:
                value.Delta++;
                return true;
            case Mnemonic.Dec:
                value.Delta--;
                return true;
            case Mnemonic.Add when constant:
                value.Delta += (long)instruction.GetImmediate(1);
                return true;
            case Mnemonic.Sub when constant:
                value.Delta -= (long)instruction.GetImmediate(1);
                return true;
            case Mnemonic.Cmp or Mnemonic.Test:
                return true;
            case Mnemonic.Mov when instruction.Op1Kind == OpKind.Register && instruction.Op1Register.IsGPR64():
                value = _values[instruction.Op1Register - Register.RAX];
                return true;
            case Mnemonic.Lea when instruction.MemoryIndex == Register.None && instruction.MemoryBase.IsGPR64():
                value = _values[instruction.MemoryBase - Register.RAX];
                value.Delta += (long)instruction.MemoryDisplacement64;
                return true;
            default:
                return false;
        }
    }

    private void Unknown(Register register) => _values[register.GetFullRegister() - Register.RAX] = (++_version, 0);

    /// <summary>Gives numbers to the groups that have more than one access.</summary>
    private void Number(Span<GuestInstruction> run)
    {
        int number = 0;
        for (int i = 0; i < _ranges.Count && number < Most; i++)
        {
            Range range = _ranges[i];
            if (range.Count < 2)
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
                };
                leads = false;
            }
        }
    }

    private record struct Key(int Base, int Index, int Scale, (Register, int) Segment);

    private readonly record struct Range(Key Key, long Low, long High, bool Writes, int Count);
}
