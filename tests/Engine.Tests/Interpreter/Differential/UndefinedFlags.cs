using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>The status flags that the manuals leave undefined (AMD APM 3, Intel SDM 2, by instruction), and the results.</summary>
internal static unsafe class UndefinedFlags
{
    private const ulong AllButZero = Rflags.Arithmetic & ~Rflags.ZF;

    public static ulong Of(in Instruction instruction, NativeCase* unit)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Mul or Mnemonic.Imul:
                return Rflags.SF | Rflags.ZF | Rflags.AF | Rflags.PF;
            case Mnemonic.Div or Mnemonic.Idiv:
                return Rflags.Arithmetic;
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc:
                return Rflags.OF | Rflags.SF | Rflags.AF | Rflags.PF;
            case Mnemonic.Bsf or Mnemonic.Bsr:
                return AllButZero;
            case Mnemonic.Tzcnt or Mnemonic.Lzcnt:
                return Rflags.OF | Rflags.SF | Rflags.AF | Rflags.PF;
            case Mnemonic.Daa or Mnemonic.Das:
                return Rflags.OF;
            case Mnemonic.Aaa or Mnemonic.Aas:
                return Rflags.OF | Rflags.SF | Rflags.ZF | Rflags.PF;
            case Mnemonic.Aam or Mnemonic.Aad:
                return Rflags.OF | Rflags.AF | Rflags.CF;
            case Mnemonic.And or Mnemonic.Or or Mnemonic.Xor or Mnemonic.Test:
                return Rflags.AF;
            case Mnemonic.Andn or Mnemonic.Bextr or Mnemonic.Blsi or Mnemonic.Blsmsk or Mnemonic.Blsr or Mnemonic.Bzhi:
                return Rflags.AF | Rflags.PF | (instruction.Mnemonic == Mnemonic.Bextr ? Rflags.SF : 0);
            case Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Shld or Mnemonic.Shrd
                or Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr:
                return Shift(instruction, unit);
            default:
                return 0;
        }
    }

    /// <summary>SHLD and SHRD of 16 bits by more than 16, and BSWAP of 16 bits, have no defined result.</summary>
    public static bool NoResult(in Instruction instruction, NativeCase* unit) =>
        (instruction.Mnemonic is Mnemonic.Shld or Mnemonic.Shrd && Size(instruction) == 2 && Count(instruction, unit) > 16)
        || (instruction.Mnemonic == Mnemonic.Bswap && Size(instruction) == 2);

    private static ulong Shift(in Instruction instruction, NativeCase* unit)
    {
        int count = Count(instruction, unit), bits = Size(instruction) * 8;
        if (count == 0)
            return 0;
        bool rotates = instruction.Mnemonic is Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr;
        ulong undefined = rotates ? 0 : Rflags.AF;
        if (count > 1 && instruction.Mnemonic != Mnemonic.Sar)
            undefined |= Rflags.OF;
        if (instruction.Mnemonic is Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr && count >= bits)
            undefined |= Rflags.CF;
        if (instruction.Mnemonic is Mnemonic.Shld or Mnemonic.Shrd && count > bits)
            undefined |= Rflags.Arithmetic;
        return undefined;
    }

    private static int Size(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetSize() : instruction.MemorySize.GetSize();

    private static int Count(in Instruction instruction, NativeCase* unit)
    {
        int last = instruction.OpCount - 1;
        ulong raw = instruction.GetOpKind(last) == OpKind.Register ? unit->Gpr[Gpr.RCX] : instruction.GetImmediate(last);
        return (int)(raw & (Size(instruction) == 8 ? 63ul : 31ul));
    }
}
