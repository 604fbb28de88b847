using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits DIV and IDIV. What would be #DE, and signed dividends that need more than one word, are the interpreter's; the
/// flags, undefined, stay.
/// </summary>
internal sealed class DivisionCode(HostEmitter code, MemoryCode memory, FlagCode flags, RegisterCode registers)
{
    private const int Rdx = 2;

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        Instruction instruction = guest.Instruction;
        bool isMemory = instruction.Op0Kind == OpKind.Memory;
        int size = isMemory ? instruction.MemorySize.GetSize() : instruction.Op0Register.GetSize();
        if (isMemory)
        {
            memory.Check(instruction, size, write: false, exit);
            registers.FromMemory(HostRegisters.Second, size);
        }
        else
            registers.Copy(instruction.Op0Register, HostRegisters.Second);
        flags.Save();
        flags.FreeRax();
        if (instruction.Mnemonic == Mnemonic.Div)
            CheckUnsigned(size, exit);
        else
            CheckSigned(size, exit);
        code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        instruction.Op0Kind = OpKind.Register;
        instruction.Op0Register = RegisterCode.Sized(HostRegisters.Second, size);
        instruction.SegmentPrefix = Register.None;
        if (!code.Copy(instruction))
            return false;
        code.Move(HostRegisters.Accumulator, HostRegisters.Rax);
        return true;
    }

    /// <summary>The quotient fits if the dividend's upper half is below the divisor.</summary>
    private void CheckUnsigned(int size, Action<int> exit)
    {
        int upper = Rdx;
        if (size == 1)
        {
            code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
            code.Shift(5, HostRegisters.Rax, 8);
            upper = HostRegisters.Rax;
        }
        Compare(upper, HostRegisters.Second, size);
        exit(code.JumpIf(HostEmitter.IfAboveOrEqual));
    }

    /// <summary>The dividend is a word, sign-extended, and the divisor neither 0 nor -1.</summary>
    private void CheckSigned(int size, Action<int> exit)
    {
        if (size == 1)
        {
            code.Add(Instruction.Create(Code.Movsx_r16_rm8, Register.AX, Register.R9L));
            Compare(HostRegisters.Rax, HostRegisters.Accumulator, 2);
        }
        else
        {
            code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
            code.Add(Instruction.Create(size switch
            {
                2 => Code.Sar_rm16_imm8,
                4 => Code.Sar_rm32_imm8,
                _ => Code.Sar_rm64_imm8,
            }, RegisterCode.Sized(HostRegisters.Rax, size), size * 8 - 1));
            Compare(HostRegisters.Rax, Rdx, size);
        }
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        code.Memory(HostEmitter.LeaOp, HostRegisters.Rax, HostRegisters.Second, 1);
        code.Add(Instruction.Create(size switch
        {
            1 => Code.Cmp_rm8_imm8,
            2 => Code.Cmp_rm16_imm8,
            4 => Code.Cmp_rm32_imm8,
            _ => Code.Cmp_rm64_imm8,
        }, RegisterCode.Sized(HostRegisters.Rax, size), 1));
        exit(code.JumpIf(HostEmitter.IfBelowOrEqual));
    }

    private void Compare(int left, int right, int size) => code.Add(Instruction.Create(size switch
    {
        1 => Code.Cmp_r8_rm8,
        2 => Code.Cmp_r16_rm16,
        4 => Code.Cmp_r32_rm32,
        _ => Code.Cmp_r64_rm64,
    }, RegisterCode.Sized(left, size), RegisterCode.Sized(right, size)));
}
