using System.Runtime.Intrinsics.X86;
using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Compares what the host and the interpreter made of one instruction.</summary>
internal static unsafe class UnitDifference
{
    private const ulong StatusFlags = 0x8d5;

    /// <summary>Null where the states agree; otherwise what differs, with the operands.</summary>
    public static string? Between(Instruction instruction, UnitState* expected, UnitState* actual)
    {
        byte* before = expected->Before;
        string context = $" (mxcsr before 0x{*(uint*)(before + 24):x4}, operands {Operand(instruction, 0, expected)}, {Operand(instruction, 1, expected)}, {Operand(instruction, 2, expected)})";
        for (int i = 0; i < 32; i++)
        {
            ulong want = *(ulong*)(expected->After + 160 + 8 * i), got = *(ulong*)(actual->After + 160 + 8 * i);
            if (want != got && !Tolerated(instruction.Mnemonic, want, got))
                return $"xmm{i / 2} half {i & 1}: host 0x{want:x16}, interpreter 0x{got:x16}{context}";
        }
        for (int i = 0; i < 32; i++)
        {
            ulong want = *(ulong*)(expected->AfterUpper + 8 * i), got = *(ulong*)(actual->AfterUpper + 8 * i);
            if (want != got && Avx.IsSupported && !Tolerated(instruction.Mnemonic, want, got))
                return $"ymm{i / 2} quarter {2 + (i & 1)}: host 0x{want:x16}, interpreter 0x{got:x16}{context}";
        }
        uint wantControl = *(uint*)(expected->After + 24), gotControl = *(uint*)(actual->After + 24);
        if (wantControl != gotControl)
            return $"mxcsr: host 0x{wantControl:x}, interpreter 0x{gotControl:x}{context}";
        for (int i = 0; i < 4; i++)
        {
            if (expected->General[i] != actual->General[i])
                return $"general register {i}: host 0x{expected->General[i]:x}, interpreter 0x{actual->General[i]:x}{context}";
        }
        if (((expected->Rflags ^ actual->Rflags) & StatusFlags) != 0)
            return $"flags: host 0x{expected->Rflags:x}, interpreter 0x{actual->Rflags:x}{context}";
        int at = new Span<byte>(expected->Operand, UnitState.MemorySize).CommonPrefixLength(new Span<byte>(actual->Operand, UnitState.MemorySize));
        if (at != UnitState.MemorySize)
            return $"memory at {at}: host 0x{expected->Operand[at]:x2}, interpreter 0x{actual->Operand[at]:x2}{context}";
        return BetweenX87(instruction, expected, actual);
    }

    private static string? BetweenX87(Instruction instruction, UnitState* expected, UnitState* actual)
    {
        // Transcendental results may be an ulp off on either side; then rounding up and inexactness tell nothing.
        bool transcendental = Tests.Interpreter.X87.X87Forms.Transcendental.Contains(instruction.Code);
        int statusMask = transcendental ? ~(PrecisionFlag | UnderflowFlag | C1) : ~0;
        byte* before = expected->Before, want = expected->After, got = actual->After;
        string context = $" (before: control {*(ushort*)before:x4}, status {*(ushort*)(before + 2):x4}, tag {before[4]:x2}, "
            + $"st0 {*(ushort*)(before + 40):x4} {*(ulong*)(before + 32):x16}, st1 {*(ushort*)(before + 56):x4} {*(ulong*)(before + 48):x16})";
        if (*(ushort*)want != *(ushort*)got || ((*(ushort*)(want + 2) ^ *(ushort*)(got + 2)) & statusMask) != 0 || want[4] != got[4])
            return $"x87 control, status, tag: host {*(ushort*)want:x4} {*(ushort*)(want + 2):x4} {want[4]:x2}, interpreter {*(ushort*)got:x4} {*(ushort*)(got + 2):x4} {got[4]:x2}{context}";
        for (int i = 0; i < 8; i++)
        {
            ulong wantLow = *(ulong*)(want + 32 + 16 * i), gotLow = *(ulong*)(got + 32 + 16 * i);
            ushort wantHigh = *(ushort*)(want + 40 + 16 * i), gotHigh = *(ushort*)(got + 40 + 16 * i);
            if (transcendental && i < 2 && Distance(wantHigh, wantLow, gotHigh, gotLow) <= TranscendentalUlps)
                continue;
            if (wantLow != gotLow || wantHigh != gotHigh)
                return $"st{i}: host {wantHigh:x4} {wantLow:x16}, interpreter {gotHigh:x4} {gotLow:x16}{context}";
        }
        return null;
    }

    /// <summary>Intel SDM 1, 8.3.10: the error of a transcendental result is less than 1 ulp.</summary>
    private const int TranscendentalUlps = 1;

    private const int PrecisionFlag = 1 << 5, UnderflowFlag = 1 << 4, C1 = 1 << 9;

    /// <summary>Steps between two extended numbers of the same sign.</summary>
    private static UInt128 Distance(ushort leftHigh, ulong leftLow, ushort rightHigh, ulong rightLow)
    {
        if ((leftHigh ^ rightHigh) >> 15 != 0)
            return UInt128.MaxValue;
        UInt128 left = ((UInt128)leftHigh << 63) + (leftLow & long.MaxValue), right = ((UInt128)rightHigh << 63) + (rightLow & long.MaxValue);
        return left > right ? left - right : right - left;
    }

    // RCPPS and RSQRTPS: relative error at most 1.5 * 2^-12 (Intel SDM 2B), against the host's equally approximate result.
    private static bool Tolerated(Mnemonic mnemonic, ulong want, ulong got) =>
        mnemonic is Mnemonic.Rcpps or Mnemonic.Rcpss or Mnemonic.Rsqrtps or Mnemonic.Rsqrtss
            or Mnemonic.Vrcpps or Mnemonic.Vrcpss or Mnemonic.Vrsqrtps or Mnemonic.Vrsqrtss
        && Near((uint)want, (uint)got) && Near((uint)(want >> 32), (uint)(got >> 32));

    private static bool Near(uint want, uint got)
    {
        float w = BitConverter.UInt32BitsToSingle(want), g = BitConverter.UInt32BitsToSingle(got);
        return want == got || Math.Abs(w - (double)g) <= Math.Abs((double)w) * 3 / 4096;
    }

    private static string Operand(Instruction instruction, int index, UnitState* state)
    {
        if (index >= instruction.OpCount)
            return "none";
        if (instruction.GetOpKind(index) == OpKind.Memory)
            return $"[{*(UInt128*)(state->Operand + 16):x32}:{*(UInt128*)state->Operand:x32}]";
        if (instruction.GetOpKind(index) != OpKind.Register)
            return "immediate";
        Register register = instruction.GetOpRegister(index);
        if (register is >= Register.XMM0 and <= Register.XMM15)
            return $"{*(UInt128*)(state->Before + 160 + 16 * (register - Register.XMM0)):x32}";
        if (register is >= Register.YMM0 and <= Register.YMM15)
            return $"{*(UInt128*)(state->BeforeUpper + 16 * (register - Register.YMM0)):x32}:{*(UInt128*)(state->Before + 160 + 16 * (register - Register.YMM0)):x32}";
        return register.ToString();
    }
}
