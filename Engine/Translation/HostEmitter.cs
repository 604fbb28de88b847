using Godwit.Engine.Host;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Writes host instructions into a code mapping. Registers are encodings (RAX 0 to R15 15); only the forms that
/// translation needs are here, the guest's own instructions come through <see cref="Copy"/>. SDM 2A, 2.1 and 2.2.
/// </summary>
internal sealed unsafe partial class HostEmitter : CodeWriter, IDisposable
{
    public const byte MovLoad = 0x8b, MovStore = 0x89, LeaOp = 0x8d, AddOp = 0x03, SubOp = 0x2b, XorOp = 0x33, CmpOp = 0x3b, CmpStored = 0x39, TestOp = 0x85;
    public const byte IfNegative = 0x88, IfEqual = 0x84, IfNotEqual = 0x85, IfAbove = 0x87, IfAboveOrEqual = 0x83, IfBelowOrEqual = 0x86;
    public const int None = -1;

    private readonly CodeMapping _mapping;
    private readonly Encoder _encoder;
    private byte* _at;

    public HostEmitter(nuint bytes)
    {
        _mapping = new CodeMapping(bytes);
        _encoder = Encoder.Create(64, this);
        _at = _mapping.Writable;
        Limit = Size;
    }

    /// <summary>Bytes written so far: the offset of what comes next.</summary>
    public int Offset
    {
        get => (int)(_at - _mapping.Writable);
        set
        {
            if (value < Offset)
                Forget(value);
            _at = _mapping.Writable + value;
        }
    }

    public int Size => (int)_mapping.Size;

    /// <summary>The end of what may be written now.</summary>
    public int Limit { get; set; }

    public int Room => Limit - Offset;

    /// <summary>Where the code runs.</summary>
    public byte* Base => _mapping.Executable;

    public override void WriteByte(byte value) => *_at++ = value;

    /// <summary>Writes an instruction whose operands are host registers already; false: it cannot be encoded so.</summary>
    public bool Copy(in Instruction instruction) => _encoder.TryEncode(instruction, (ulong)Base + (ulong)Offset, out _, out _);

    /// <summary>Writes an instruction of the translator's own.</summary>
    public void Add(in Instruction instruction) => _encoder.Encode(instruction, (ulong)Base + (ulong)Offset);

    public void Bytes(params ReadOnlySpan<byte> bytes)
    {
        foreach (byte value in bytes)
            *_at++ = value;
    }

    /// <summary>Code that was written elsewhere.</summary>
    public void Code(ReadOnlySpan<byte> code)
    {
        code.CopyTo(new Span<byte>(_at, code.Length));
        _at += code.Length;
    }

    public void Int32(int value)
    {
        *(int*)_at = value;
        _at += sizeof(int);
    }

    /// <summary>An instruction with a register and memory at base + displacement.</summary>
    public void Memory(byte opcode, int register, int @base, int displacement, bool wide = true) =>
        Memory(opcode, register, @base, None, 0, displacement, wide);

    /// <summary>The same with an index; base or index may be none.</summary>
    public void Memory(byte opcode, int register, int @base, int index, int scale, int displacement, bool wide = true)
    {
        Rex(wide, register, index, @base);
        *_at++ = opcode;
        Address(register, @base, index, scale, displacement);
    }

    /// <summary>An instruction with two registers; <paramref name="second"/> is ModRM.rm.</summary>
    public void Pair(byte opcode, int register, int second, bool wide = true)
    {
        Rex(wide, register, None, second);
        Bytes(opcode, (byte)(0xc0 | (register & 7) << 3 | (second & 7)));
    }

    public void Move(int to, int from)
    {
        if (to != from)
            Pair(MovLoad, to, from);
    }

    /// <summary>Loads a value that is the same for all: neither a RIP nor the address of an op or of code, which have methods of their own.</summary>
    public void Constant(int register, ulong value)
    {
        if (value <= uint.MaxValue)
        {
            Rex(false, 0, None, register);
            *_at++ = (byte)(0xb8 | (register & 7));
            Int32((int)(uint)value);
        }
        else if ((long)value >= int.MinValue && (long)value < 0)
        {
            Rex(true, 0, None, register);
            Bytes(0xc7, (byte)(0xc0 | (register & 7)));
            Int32((int)value);
        }
        else
        {
            Rex(true, 0, None, register);
            *_at++ = (byte)(0xb8 | (register & 7));
            *(ulong*)_at = value;
            _at += sizeof(ulong);
        }
    }

    /// <summary>A shift of a register by a constant: <paramref name="form"/> is ModRM.reg (4 SHL, 5 SHR).</summary>
    public void Shift(int form, int register, byte count, bool wide = true)
    {
        Rex(wide, 0, None, register);
        Bytes(0xc1, (byte)(0xc0 | form << 3 | (register & 7)), count);
    }

    /// <summary>A 64-bit register shifted right by a constant into another, at least its lower bits: no flag is kept.</summary>
    public void Rotate(int to, int from, byte count)
    {
        if (!HostFeatures.HasBmi2)
        {
            Move(to, from);
            Shift(5, to, count);
            return;
        }
        // rorx (SDM 2C): VEX.LZ.F2.0F3A.W1 F0 /r ib
        Bytes(0xc4, (byte)(0x43 | (to < 8 ? 0x80 : 0) | (from < 8 ? 0x20 : 0)), 0xfb, 0xf0, (byte)(0xc0 | (to & 7) << 3 | (from & 7)), count);
    }

    /// <summary>CMP of a register with a constant.</summary>
    public void Compare(int register, int value, bool wide = true)
    {
        Rex(wide, 0, None, register);
        Bytes(0x81, (byte)(0xf8 | (register & 7)));
        Int32(value);
    }

    /// <summary>Stores a constant (not a RIP: <see cref="StorePlace"/>), sign-extended, in 64 or 32 bits of memory.</summary>
    public void StoreConstant(int value, int @base, int displacement, bool wide = true)
    {
        Rex(wide, 0, None, @base);
        *_at++ = 0xc7;
        Address(0, @base, None, 0, displacement);
        Int32(value);
    }

    /// <summary>TEST of a byte of the context with bits.</summary>
    public void TestContext(int field, byte bits)
    {
        Bytes(0x41, 0xf6, 0x87);
        Int32(field);
        Bytes(bits);
    }

    /// <summary>CMP of 64 or 32 bits of memory with a constant (not a RIP: <see cref="ComparePlace"/>), sign-extended.</summary>
    public void CompareMemory(int @base, int displacement, int value, bool wide)
    {
        Rex(wide, 0, None, @base);
        *_at++ = 0x81;
        Address(7, @base, None, 0, displacement);
        Int32(value);
    }

    /// <summary>AND with a constant, of 64 bits (sign-extended) or 32.</summary>
    public void And(int register, int value, bool wide)
    {
        Rex(wide, 0, None, register);
        Bytes(0x81, (byte)(0xe0 | (register & 7)));
        Int32(value);
    }

    /// <summary>A conditional jump, filled in later; returns where its displacement lies.</summary>
    public int JumpIf(byte condition)
    {
        Bytes(0x0f, condition);
        Int32(0);
        return Offset - sizeof(int);
    }

    /// <summary>A conditional jump to code already written.</summary>
    public void JumpIf(byte condition, int target)
    {
        Bytes(0x0f, condition);
        Displacement(target);
    }

    /// <summary>A jump, filled in later; returns where its displacement lies.</summary>
    public int JumpLater()
    {
        *_at++ = 0xe9;
        Int32(0);
        return Offset - sizeof(int);
    }

    /// <summary>A jump to the address that lies in memory.</summary>
    public void JumpTo(int @base, int displacement)
    {
        Rex(false, 0, None, @base);
        *_at++ = 0xff;
        Address(4, @base, None, 0, displacement);
    }

    /// <summary>A jump to code already written.</summary>
    public void Jump(int target)
    {
        *_at++ = 0xe9;
        Displacement(target);
    }

    /// <summary>A call of code already written.</summary>
    public void Call(int target)
    {
        *_at++ = 0xe8;
        Displacement(target);
    }

    /// <summary>Points an earlier jump to code already written.</summary>
    public void PatchDisplacement(int displacement, int target)
    {
        *(int*)(_mapping.Writable + displacement) = target - (displacement + sizeof(int));
        NoteDisplacement(displacement, target);
    }

    /// <summary>Overwrites code with a jump.</summary>
    public void PatchJump(int offset, int target)
    {
        _mapping.Writable[offset] = 0xe9;
        PatchDisplacement(offset + 1, target);
    }

    /// <summary>Where a jump with its displacement at an offset leads.</summary>
    public int TargetOf(int displacement) => *(int*)(_mapping.Writable + displacement) + displacement + sizeof(int);

    /// <summary>Fills up to a multiple of a power of two.</summary>
    public void Align(int bytes)
    {
        // int3
        while ((Offset & (bytes - 1)) != 0)
            *_at++ = 0xcc;
    }

    /// <summary>Points an earlier jump here.</summary>
    public void Land(int displacement) => *(int*)(_mapping.Writable + displacement) = Offset - (displacement + sizeof(int));

    /// <summary>The address of code into a register, relative to RIP; filled in later. Returns where the displacement lies.</summary>
    public int CodeAddress(int register)
    {
        Rex(true, register, None, 0);
        Bytes(LeaOp, (byte)(5 | (register & 7) << 3));
        Int32(0);
        return Offset - sizeof(int);
    }

    public void Dispose() => _mapping.Dispose();

    private void Displacement(int target)
    {
        NoteDisplacement(Offset, target);
        Int32(target - (Offset + sizeof(int)));
    }

    private void Rex(bool wide, int register, int index, int @base)
    {
        int rex = (wide ? 8 : 0) | (register & 8) >> 1 | (index >= 8 ? 2 : 0) | (@base >= 8 ? 1 : 0);
        if (rex != 0)
            *_at++ = (byte)(0x40 | rex);
    }

    private void Address(int register, int @base, int index, int scale, int displacement)
    {
        int reg = (register & 7) << 3;
        if (@base == None)
        {
            Bytes((byte)(4 | reg), (byte)(scale << 6 | (index == None ? 4 : index & 7) << 3 | 5));
            Int32(displacement);
            return;
        }
        bool narrow = displacement is >= sbyte.MinValue and <= sbyte.MaxValue;
        int mode = displacement == 0 && (@base & 7) != 5 ? 0 : narrow ? 0x40 : 0x80;
        if (index != None || (@base & 7) == 4)
            Bytes((byte)(mode | reg | 4), (byte)(scale << 6 | (index == None ? 4 : index & 7) << 3 | (@base & 7)));
        else
            Bytes((byte)(mode | reg | (@base & 7)));
        if (mode == 0x40)
            *_at++ = (byte)displacement;
        else if (mode == 0x80)
            Int32(displacement);
    }
}
