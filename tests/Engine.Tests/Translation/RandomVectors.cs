using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>Random vector instructions of a program: every SSE and VEX form with XMM and YMM registers but gathers, and changes of MXCSR, all exceptions masked.</summary>
/// <param name="random">Where they come from.</param>
/// <param name="generals">General registers that may be written.</param>
/// <param name="reach">Memory operands lie within so many bytes of RDI on either side.</param>
internal sealed class RandomVectors(Random random, Register[] generals, int reach)
{
    private static readonly Code[] _forms = [.. Enum.GetValues<Code>().Where(IsVector)];

    public void Write(Assembler a)
    {
        switch (random.Next(40))
        {
            case 0:
                // Rounding, DAZ and FTZ.
                a.mov(__dword_ptr[rdi], 0x1f80 | random.Next(4) << 13 | (random.Next(4) == 0 ? 0x8040 : 0));
                a.ldmxcsr(__dword_ptr[rdi]);
                break;
            case 1:
                a.stmxcsr(__dword_ptr[rdi + random.Next(-reach, reach - 4)]);
                break;
            default:
                a.AddInstruction(One());
                break;
        }
    }

    private Instruction One()
    {
        Code code = _forms[random.Next(_forms.Length)];
        OpCodeInfo info = code.ToOpCode();
        Instruction instruction = new() { Code = code };
        bool memory = random.Next(3) == 0;
        for (int i = 0; i < info.OpCount; i++)
        {
            OpCodeOperandKind kind = info.GetOpKind(i);
            if (kind == OpCodeOperandKind.imm8)
            {
                instruction.SetOpKind(i, OpKind.Immediate8);
                instruction.Immediate8 = (byte)random.Next(256);
            }
            else if (kind == OpCodeOperandKind.mem || (memory && kind is OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.ymm_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem))
            {
                instruction.SetOpKind(i, OpKind.Memory);
                instruction.MemoryBase = Register.RDI;
                int displacement = random.Next(2) == 0 ? random.Next(-128, 128) : random.Next(-reach, reach - 32);
                instruction.MemoryDisplacement64 = (ulong)(long)(MayBeUnaligned(code) ? displacement : displacement & -32);
                instruction.MemoryDisplSize = 8;
            }
            else
            {
                instruction.SetOpKind(i, OpKind.Register);
                instruction.SetOpRegister(i, kind switch
                {
                    OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r32_or_mem => Register.EAX + (General() - Register.RAX),
                    OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_or_mem => General(),
                    OpCodeOperandKind.ymm_reg or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_or_mem
                        or OpCodeOperandKind.ymm_vvvv or OpCodeOperandKind.ymm_is4 => Register.YMM0 + random.Next(16),
                    _ => Register.XMM0 + random.Next(16),
                });
            }
        }
        return instruction;
    }

    private Register General() => generals[random.Next(generals.Length)];

    private static bool MayBeUnaligned(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        if (info.Encoding == EncodingKind.VEX)
            return info.Mnemonic is not (Mnemonic.Vmovaps or Mnemonic.Vmovapd or Mnemonic.Vmovdqa
                or Mnemonic.Vmovntps or Mnemonic.Vmovntpd or Mnemonic.Vmovntdq or Mnemonic.Vmovntdqa);
        return info.Mnemonic is Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu or Mnemonic.Lddqu or Mnemonic.Pcmpistri or Mnemonic.Pcmpistrm
            or Mnemonic.Pcmpestri or Mnemonic.Pcmpestrm or Mnemonic.Pcmpestri64 or Mnemonic.Pcmpestrm64 || info.MemorySize.GetSize() < 16;
    }

    private static bool IsVector(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        if (info.Encoding is not (EncodingKind.Legacy or EncodingKind.VEX) || !info.Mode64 || !code.CpuidFeatures().All(feature => feature is CpuidFeature.SSE
            or CpuidFeature.SSE2 or CpuidFeature.SSE3 or CpuidFeature.SSSE3 or CpuidFeature.SSE4_1 or CpuidFeature.SSE4_2 or CpuidFeature.AVX or CpuidFeature.AVX2
            or CpuidFeature.FMA or CpuidFeature.F16C or CpuidFeature.AES or CpuidFeature.PCLMULQDQ or CpuidFeature.SHA))
            return false;
        OpCodeOperandKind[] kinds = [.. Enumerable.Range(0, info.OpCount).Select(info.GetOpKind)];
        return info.Mnemonic is Mnemonic.Vzeroupper or Mnemonic.Vzeroall || (kinds.Any(IsVector) && kinds.All(kind => IsVector(kind) || kind is OpCodeOperandKind.mem
            or OpCodeOperandKind.imm8 or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r32_or_mem
            or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_or_mem));
    }

    private static bool IsVector(OpCodeOperandKind kind) => kind is OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem
        or OpCodeOperandKind.xmm_vvvv or OpCodeOperandKind.xmm_is4 or OpCodeOperandKind.ymm_reg or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_or_mem
        or OpCodeOperandKind.ymm_vvvv or OpCodeOperandKind.ymm_is4;
}
