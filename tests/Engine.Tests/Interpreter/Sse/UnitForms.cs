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
            if (kind == OpCodeOperandKind.imm8)
            {
                instruction.SetOpKind(i, OpKind.Immediate8);
                instruction.Immediate8 = random.Next(4) == 0 ? (byte)random.Next(256) : (byte)random.Next(72);
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

    public static bool AllowsMemory(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        return Enumerable.Range(0, info.OpCount).Any(i => AllowsMemory(info.GetOpKind(i)));
    }

    private static bool AllowsMemory(OpCodeOperandKind kind) => kind is OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.mm_or_mem
        or OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.mem;

    private static Register Pick(OpCodeOperandKind kind, Random random) => kind switch
    {
        OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem => Register.XMM0 + random.Next(16),
        OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm or OpCodeOperandKind.mm_or_mem => Register.MM0 + random.Next(8),
        OpCodeOperandKind.r8_or_mem => Register.AL + random.Next(4),
        OpCodeOperandKind.r16_or_mem => Register.AX + random.Next(4),
        OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_or_mem => Register.EAX + random.Next(4),
        OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_or_mem => Register.RAX + random.Next(4),
        OpCodeOperandKind.sti_opcode => Register.ST0 + random.Next(8),
        OpCodeOperandKind.st0 => Register.ST0,
        OpCodeOperandKind.ax => Register.AX,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "no such operand in vector forms"),
    };
}
