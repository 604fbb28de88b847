using Godwit.Engine.Interpreter.Integer;
using Iced.Intel;

namespace Godwit.Engine.Tests.Fuzz;

/// <summary>
/// Random integer instructions of a program: every form of the integer rows that goes on with the next instruction, with
/// registers of every size and memory around (R)DI; and short sequences where operands must be prepared. (R)DI, (R)SP and
/// R14 are left alone.
/// </summary>
internal sealed class RandomIntegers
{
    /// <summary>Memory operands lie within so many bytes of (R)DI on either side, those that may fault beyond.</summary>
    public const int Reach = 0x2000;

    private static readonly Register[] _low8 = [Register.AL, Register.CL, Register.DL, Register.BL, Register.AH, Register.CH, Register.DH, Register.BH];
    private static readonly int[] _numbers64 = [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13, 15], _numbers32 = [0, 1, 2, 3, 5, 6];

    private readonly Random _random;
    private readonly bool _wide;
    private readonly int[] _numbers;
    private readonly Code[] _forms;
    private readonly Register _window;

    /// <param name="random">Where instructions come from.</param>
    /// <param name="bitness">64 or 32.</param>
    /// <param name="allowed">Whether the machine has a form.</param>
    /// <param name="faults">How many of a thousand memory operands lie where a fault may be.</param>
    public RandomIntegers(Random random, int bitness, Func<Code, bool> allowed, int faults)
    {
        _random = random;
        _wide = bitness == 64;
        _numbers = _wide ? _numbers64 : _numbers32;
        _window = _wide ? Register.RDI : Register.EDI;
        Faults = faults;
        HashSet<Mnemonic> mnemonics =
        [
            .. new[] { Arithmetic.Rows, Logic.Rows, Shift.Rows, MulDiv.Rows, BitTest.Rows, Move.Rows, FlagMoves.Rows, Control.Rows, Exchange.Rows,
                Engine.Interpreter.Integer.Decimal.Rows, BitManipulation.Rows }.SelectMany(rows => rows).Select(row => row.Mnemonic),
        ];
        _forms = [.. Enum.GetValues<Code>().Where(code => mnemonics.Contains(code.Mnemonic()) && IsUsable(code) && allowed(code))];
    }

    /// <summary>How many of a thousand memory operands lie beyond the reach, where pages may be missing or read-only.</summary>
    private int Faults { get; }

    public int Forms => _forms.Length;

    /// <summary>Writes an instruction, or a few.</summary>
    public void Write(Assembler a)
    {
        if (_random.Next(8) == 0)
        {
            Sequence(a);
            return;
        }
        while (!TryForm(a, _forms[_random.Next(_forms.Length)]))
        {
        }
    }

    private bool IsUsable(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        return info.IsInstruction && (_wide ? info.Mode64 : info.Mode32) && info.Encoding is EncodingKind.Legacy or EncodingKind.VEX && info.AddressSize != 16
            && code.FlowControl() == FlowControl.Next && code.Mnemonic() is not (Mnemonic.Std or Mnemonic.Cld or Mnemonic.Xlatb)
            && Enumerable.Range(0, info.OpCount).All(i => IsKnown(info.GetOpKind(i)));
    }

    private static bool IsKnown(OpCodeOperandKind kind) => kind is OpCodeOperandKind.mem
        or OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem
        or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r64_reg
        or OpCodeOperandKind.r16_rm or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r64_rm
        or OpCodeOperandKind.r8_opcode or OpCodeOperandKind.r16_opcode or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r64_opcode
        or OpCodeOperandKind.r32_vvvv or OpCodeOperandKind.r64_vvvv
        or OpCodeOperandKind.al or OpCodeOperandKind.cl or OpCodeOperandKind.ax or OpCodeOperandKind.eax or OpCodeOperandKind.rax
        or OpCodeOperandKind.imm8_const_1 or OpCodeOperandKind.imm8 or OpCodeOperandKind.imm16 or OpCodeOperandKind.imm32 or OpCodeOperandKind.imm64
        or OpCodeOperandKind.imm8sex16 or OpCodeOperandKind.imm8sex32 or OpCodeOperandKind.imm8sex64 or OpCodeOperandKind.imm32sex64;

    private bool TryForm(Assembler a, Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        Instruction instruction = new() { Code = code };
        for (int i = 0; i < info.OpCount; i++)
            Operand(a, info.GetOpKind(i), i, ref instruction);
        if (instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc && instruction.Op0Kind == OpKind.Memory && instruction.Op1Kind == OpKind.Register)
        {
            // The offset stays in reach: a byte's worth of bits.
            int number = instruction.Op1Register.GetNumber();
            a.AddInstruction(Instruction.Create(Code.Movsx_r32_rm16, Register.EAX + number, Register.AX + number));
        }
        if (info.CanUseLockPrefix && instruction.Op0Kind == OpKind.Memory && _random.Next(4) == 0)
            instruction.HasLockPrefix = true;
        // AH to DH have no encoding beside a REX prefix; and some forms are those of processors long gone.
        CodeBytes bytes = new();
        if (!Encoder.Create(_wide ? 64 : 32, bytes).TryEncode(instruction, 0x10_0000, out uint length, out _))
            return false;
        Instruction decoded = Decoder.Create(_wide ? 64 : 32, bytes.ToArray(), DecoderOptions.AMD).Decode();
        if (decoded.IsInvalid || decoded.Length != length)
            return false;
        a.AddInstruction(instruction);
        return true;
    }

    private void Operand(Assembler a, OpCodeOperandKind kind, int i, ref Instruction instruction)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem when _random.Next(2) == 0:
            case OpCodeOperandKind.mem:
                Memory(a, i, ref instruction);
                break;
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode:
                Set(i, Byte(), ref instruction);
                break;
            case OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_rm or OpCodeOperandKind.r16_opcode:
                Set(i, Register.AX + Number(), ref instruction);
                break;
            case OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r32_vvvv:
                Set(i, Register.EAX + Number(), ref instruction);
                break;
            case OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_opcode or OpCodeOperandKind.r64_vvvv:
                Set(i, Register.RAX + Number(), ref instruction);
                break;
            case OpCodeOperandKind.al:
                Set(i, Register.AL, ref instruction);
                break;
            case OpCodeOperandKind.cl:
                Set(i, Register.CL, ref instruction);
                break;
            case OpCodeOperandKind.ax:
                Set(i, Register.AX, ref instruction);
                break;
            case OpCodeOperandKind.eax:
                Set(i, Register.EAX, ref instruction);
                break;
            case OpCodeOperandKind.rax:
                Set(i, Register.RAX, ref instruction);
                break;
            default:
                (OpKind immediate, ulong value) = kind switch
                {
                    OpCodeOperandKind.imm8_const_1 => (OpKind.Immediate8, 1ul),
                    OpCodeOperandKind.imm8 => (OpKind.Immediate8, (ulong)_random.Next(256)),
                    OpCodeOperandKind.imm16 => (OpKind.Immediate16, (ulong)_random.Next(0x10000)),
                    OpCodeOperandKind.imm32 => (OpKind.Immediate32, (ulong)(uint)_random.NextInt64()),
                    OpCodeOperandKind.imm64 => (OpKind.Immediate64, (ulong)_random.NextInt64()),
                    OpCodeOperandKind.imm8sex16 => (OpKind.Immediate8to16, (ulong)_random.Next(-128, 128)),
                    OpCodeOperandKind.imm8sex32 => (OpKind.Immediate8to32, (ulong)_random.Next(-128, 128)),
                    OpCodeOperandKind.imm8sex64 => (OpKind.Immediate8to64, (ulong)_random.Next(-128, 128)),
                    _ => (OpKind.Immediate32to64, (ulong)(int)_random.NextInt64()),
                };
                instruction.SetOpKind(i, immediate);
                instruction.SetImmediate(i, value);
                break;
        }
    }

    private static void Set(int i, Register register, ref Instruction instruction)
    {
        instruction.SetOpKind(i, OpKind.Register);
        instruction.SetOpRegister(i, register);
    }

    private void Memory(Assembler a, int i, ref Instruction instruction)
    {
        instruction.SetOpKind(i, OpKind.Memory);
        instruction.MemoryBase = _window;
        // What may fault lies behind the window.
        int displacement = _random.Next(1000) < Faults ? _random.Next(Reach, 5 * Reach) : _random.Next(-Reach, Reach - 16);
        if (instruction.Mnemonic == Mnemonic.Cmpxchg16b && _random.Next(4) != 0)
            displacement &= -16;
        instruction.MemoryDisplacement64 = (ulong)displacement;
        instruction.MemoryDisplSize = _wide ? 8 : 4;
        if (_random.Next(12) == 0)
            instruction.SegmentPrefix = _random.Next(2) == 0 ? Register.FS : Register.GS;
        if (_random.Next(4) != 0)
            return;
        // An index that was just cut to fit.
        int index = Number();
        a.AddInstruction(Instruction.Create(Code.Movzx_r32_rm16, Register.EAX + index, Register.AX + index));
        a.AddInstruction(Instruction.Create(Code.And_rm32_imm32, Register.EAX + index, 0x3ff));
        instruction.MemoryIndex = (_wide ? Register.RAX : Register.EAX) + index;
        instruction.MemoryIndexScale = 1 << _random.Next(3);
        instruction.MemoryDisplacement64 = (ulong)Math.Min(displacement, Reach - 0x1010 + (displacement > Reach ? 4 * Reach : 0));
    }

    /// <summary>What needs its operands prepared.</summary>
    private void Sequence(Assembler a)
    {
        Register count = _wide ? Register.RCX : Register.ECX, source = _wide ? Register.RSI : Register.ESI;
        switch (_random.Next(6))
        {
            case 0:
                Strings(a, count, source);
                break;
            case 1:
                Lea(a, _wide ? Register.RBX : Register.EBX, _random.Next(-0x1000, 0x1000));
                a.xlatb();
                break;
            case 2:
                // Through the stack from memory to memory.
                a.AddInstruction(Stacked(_wide ? Code.Push_rm64 : Code.Push_rm32));
                a.AddInstruction(Stacked(_wide ? Code.Pop_rm64 : Code.Pop_rm32));
                break;
            case 3:
                // A quotient that fits, most times.
                a.AddInstruction(Instruction.Create(Code.Movzx_r32_rm8, Register.EDX, Register.DL));
                a.AddInstruction(Instruction.Create(Code.Or_rm32_imm32, Register.EBX, 0x100));
                a.AddInstruction(Instruction.Create(_random.Next(2) == 0 ? Code.Div_rm32 : Code.Idiv_rm32, Register.EBX));
                break;
            case 4:
                a.AddInstruction(Instruction.Create(_wide ? Code.Push_r64 : Code.Push_r32, (_wide ? Register.RAX : Register.EAX) + Number()));
                while (!TryForm(a, _forms[_random.Next(_forms.Length)]))
                {
                }
                a.AddInstruction(Instruction.Create(_wide ? Code.Pop_r64 : Code.Pop_r32, (_wide ? Register.RAX : Register.EAX) + Number()));
                break;
            default:
                a.AddInstruction(Instruction.Create(_random.Next(2) == 0 ? Code.Shl_rm32_CL : Code.Ror_rm32_CL, Register.EAX + Number(), Register.CL));
                break;
        }
    }

    private void Strings(Assembler a, Register count, Register source)
    {
        Lea(a, source, _random.Next(-Reach, Reach - 0x800));
        a.AddInstruction(Instruction.Create(_wide ? Code.Push_r64 : Code.Push_r32, _window));
        Lea(a, _window, _random.Next(1000) < Faults ? _random.Next(Reach, 5 * Reach) : _random.Next(-Reach, Reach - 0x800));
        a.AddInstruction(Instruction.Create(_wide ? Code.Mov_rm64_imm32 : Code.Mov_r32_imm32, count, _random.Next(8) == 0 ? _random.Next(0x400) : _random.Next(20)));
        bool down = _random.Next(5) == 0;
        if (down)
            a.std();
        Code[] codes =
        [
            Code.Movsb_m8_m8, Code.Movsw_m16_m16, Code.Movsd_m32_m32, Code.Stosb_m8_AL, Code.Stosw_m16_AX, Code.Stosd_m32_EAX, Code.Lodsb_AL_m8, Code.Lodsd_EAX_m32,
            Code.Cmpsb_m8_m8, Code.Cmpsd_m32_m32, Code.Scasb_AL_m8, Code.Scasd_EAX_m32, Code.Movsq_m64_m64, Code.Stosq_m64_RAX, Code.Scasq_RAX_m64, Code.Cmpsq_m64_m64,
        ];
        Code code = codes[_random.Next(_wide ? codes.Length : codes.Length - 4)];
        byte[] bytes = code.ToOpCode() switch
        {
            { OperandSize: 16 } info => [0x66, (byte)info.OpCode],
            { OperandSize: 64 } info => [0x48, (byte)info.OpCode],
            var info => [(byte)info.OpCode],
        };
        byte prefix = (byte)(_random.Next(3) == 0 ? 0xf2 : 0xf3);
        a.db(_random.Next(2) == 0 ? bytes : [prefix, .. bytes]);
        if (down)
            a.cld();
        a.AddInstruction(Instruction.Create(_wide ? Code.Pop_r64 : Code.Pop_r32, _window));
    }

    private void Lea(Assembler a, Register register, int displacement) =>
        a.AddInstruction(Instruction.Create(_wide ? Code.Lea_r64_m : Code.Lea_r32_m, register, new MemoryOperand(_window, displacement)));

    private Instruction Stacked(Code code) => Instruction.Create(code, new MemoryOperand(_window, _random.Next(-Reach, Reach - 16)));

    private int Number() => _numbers[_random.Next(_numbers.Length)];

    private Register Byte()
    {
        int number = _numbers[_random.Next(_numbers.Length)];
        if (number < 4)
            return _low8[number + (_random.Next(3) == 0 ? 4 : 0)];
        return _wide ? Register.SPL + (number - 4) : _low8[number & 3];
    }

    private sealed class CodeBytes : CodeWriter
    {
        private readonly List<byte> _bytes = [];

        public byte[] ToArray() => [.. _bytes];

        public override void WriteByte(byte value) => _bytes.Add(value);
    }
}
