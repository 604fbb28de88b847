using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Instructions made from the encoder's own table of forms, so that no form of a feature is forgotten.</summary>
internal static class UnitForms
{
    /// <summary>Every legacy-encoded form of a feature in 64-bit mode; not those that are two instructions (FWAIT first).</summary>
    public static IEnumerable<Code> Of(params CpuidFeature[] features) =>
        Enum.GetValues<Code>().Where(code =>
            code.Encoding() == EncodingKind.Legacy && code.ToOpCode().Mode64 && !code.ToOpCode().Fwait && code.CpuidFeatures().All(features.Contains)
            && code.CpuidFeatures().Length > 0);

    /// <summary>Every VEX-encoded form in 64-bit mode all of whose features are among those given.</summary>
    public static IEnumerable<Code> OfVex(params CpuidFeature[] features) =>
        Enum.GetValues<Code>().Where(code =>
            code.Encoding() == EncodingKind.VEX && code.ToOpCode() is { Mode64: true, DecoderOption: DecoderOptions.None }
            && code.CpuidFeatures().All(features.Contains) && code.CpuidFeatures().Length > 0);

    /// <summary>
    /// The instruction of a form with random registers (XMM0-15, MM0-7, ST0-7, the first four general registers) and,
    /// where the form allows memory and <paramref name="memory"/> is set, an operand at RSI.
    /// </summary>
    public static Instruction Make(Code code, bool memory, Random random)
    {
        OpCodeInfo info = code.ToOpCode();
        var instruction = new Instruction { Code = code };
        for (int i = 0; i < info.OpCount; i++)
        {
            OpCodeOperandKind kind = info.GetOpKind(i);
            if (VectorIndex(kind) is not Register.None and var index)
            {
                instruction.SetOpKind(i, OpKind.Memory);
                instruction.MemoryBase = Register.RSI;
                instruction.MemoryDisplacement64 = GatherCenter;
                instruction.MemoryDisplSize = 8;
                instruction.MemoryIndex = index + random.Next(16);
                instruction.MemoryIndexScale = 1 << random.Next(4);
            }
            else if (kind == OpCodeOperandKind.imm8)
            {
                instruction.SetOpKind(i, OpKind.Immediate8);
                // VEX controls have more bits.
                instruction.Immediate8 = random.Next(4) == 0 || code.Encoding() == EncodingKind.VEX ? (byte)random.Next(256) : (byte)random.Next(72);
            }
            else if (kind == OpCodeOperandKind.seg_rDI)
            {
                instruction.SetOpKind(i, OpKind.MemorySegRDI);
            }
            else if (kind == OpCodeOperandKind.mem || (memory && AllowsMemory(kind)))
            {
                instruction.SetOpKind(i, OpKind.Memory);
                instruction.MemoryBase = Register.RSI;
            }
            else
            {
                instruction.SetOpKind(i, OpKind.Register);
                instruction.SetOpRegister(i, Pick(kind, random));
            }
        }
        return instruction;
    }

    /// <summary>Where in the operand a gather's index of 0 leads.</summary>
    private const int GatherCenter = UnitState.MemorySize / 2;

    /// <summary>Makes a gather's registers different from each other and its indices lead into the operand; nothing for others.</summary>
    public static unsafe void Tame(ref Instruction instruction, UnitState* state, Random random)
    {
        Register index = instruction.MemoryIndex;
        if (!index.IsXMM() && !index.IsYMM())
            return;
        int number = index.GetNumber();
        instruction.Op0Register = instruction.Op0Register.OfNumber(number + 1);
        instruction.Op2Register = instruction.Op2Register.OfNumber(number + 2);
        bool wide = instruction.Mnemonic is Mnemonic.Vgatherqps or Mnemonic.Vgatherqpd or Mnemonic.Vpgatherqd or Mnemonic.Vpgatherqq;
        for (int i = 0; i < (wide ? 4 : 8); i++)
        {
            byte* half = i < (wide ? 2 : 4) ? state->Before + 160 + 16 * number : state->BeforeUpper + 16 * number;
            int value = random.Next(-60, 60);
            if (wide)
                ((long*)half)[i & 1] = value;
            else
                ((int*)half)[i & 3] = value;
        }
    }

    private static Register OfNumber(this Register register, int number) => (register.IsYMM() ? Register.YMM0 : Register.XMM0) + (number & 15);

    private static Register VectorIndex(OpCodeOperandKind kind) => kind switch
    {
        OpCodeOperandKind.mem_vsib32x or OpCodeOperandKind.mem_vsib64x => Register.XMM0,
        OpCodeOperandKind.mem_vsib32y or OpCodeOperandKind.mem_vsib64y => Register.YMM0,
        _ => Register.None,
    };

    public static bool AllowsMemory(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        return Enumerable.Range(0, info.OpCount).Any(i => AllowsMemory(info.GetOpKind(i)));
    }

    private static bool AllowsMemory(OpCodeOperandKind kind) => kind is OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.ymm_or_mem or OpCodeOperandKind.mm_or_mem
        or OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.mem;

    private static Register Pick(OpCodeOperandKind kind, Random random) => kind switch
    {
        OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem
            or OpCodeOperandKind.xmm_vvvv or OpCodeOperandKind.xmm_is4 => Register.XMM0 + random.Next(16),
        OpCodeOperandKind.ymm_reg or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_or_mem
            or OpCodeOperandKind.ymm_vvvv or OpCodeOperandKind.ymm_is4 => Register.YMM0 + random.Next(16),
        OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm or OpCodeOperandKind.mm_or_mem => Register.MM0 + random.Next(8),
        OpCodeOperandKind.r8_or_mem => Register.AL + random.Next(4),
        OpCodeOperandKind.r16_or_mem => Register.AX + random.Next(4),
        OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r32_vvvv or OpCodeOperandKind.r32_or_mem => Register.EAX + random.Next(4),
        OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_vvvv or OpCodeOperandKind.r64_or_mem => Register.RAX + random.Next(4),
        OpCodeOperandKind.sti_opcode => Register.ST0 + random.Next(8),
        OpCodeOperandKind.st0 => Register.ST0,
        OpCodeOperandKind.ax => Register.AX,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no such operand in vector forms"),
    };
}
