using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>Emits guest register operands of any size, AH to DH among them, as host registers. None of it writes flags.</summary>
internal sealed class RegisterCode(HostEmitter code, MemoryCode memory)
{
    public static bool IsHigh(Register register) => register is >= Register.AH and <= Register.BH;

    /// <summary>A host register whose low bytes hold a guest register: its home, or the scratch register after loading it.</summary>
    public int Load(Register guest, int scratch)
    {
        int number = HostRegisters.Number(guest);
        if (!IsHigh(guest))
            return memory.Load(number, scratch);
        Rotate(scratch, memory.Load(number, scratch), 8);
        return scratch;
    }

    /// <summary>A copy of a guest register in the low bytes of a scratch register.</summary>
    public void Copy(Register guest, int scratch) => code.Move(scratch, Load(guest, scratch));

    /// <summary>A copy of a guest register of 2, 4 or 8 bytes in a scratch register, zero-extended.</summary>
    public void CopyExtended(Register guest, int scratch)
    {
        int from = Load(guest, scratch);
        if (guest.GetSize() == 8)
            code.Move(scratch, from);
        else if (guest.GetSize() == 4)
            code.Pair(HostEmitter.MovLoad, scratch, from, wide: false);
        else
            code.Add(Instruction.Create(guest.GetSize() == 2 ? Code.Movzx_r32_rm16 : Code.Movzx_r32_rm8, Wide(scratch, 4), HostRegisters.OfSize(from, guest)));
    }

    /// <summary>Gives a guest register the value in the low bytes of a scratch register. Destroys the other one for AH to DH.</summary>
    public void Store(Register guest, int from)
    {
        int number = HostRegisters.Number(guest), home = memory.Home(number);
        int at = ContextLayout.Gpr + 8 * number;
        switch (guest.GetSize())
        {
            case 8:
                memory.Store(number, from);
                return;
            case 4:
                int zeroed = home >= 0 ? home : from;
                code.Pair(HostEmitter.MovLoad, zeroed, from, wide: false);
                memory.Store(number, zeroed);
                return;
            case 2:
                code.Bytes(0x66);
                if (home >= 0)
                    code.Pair(HostEmitter.MovLoad, home, from, wide: false);
                else
                    code.Memory(HostEmitter.MovStore, from, HostRegisters.Context, at, wide: false);
                return;
        }
        if (IsHigh(guest))
        {
            int other = from == HostRegisters.First ? HostRegisters.Second : HostRegisters.First;
            Rotate(other, home, 8);
            code.Add(Instruction.Create(Code.Mov_r8_rm8, HostRegisters.OfSize(other, Register.AL), HostRegisters.OfSize(from, Register.AL)));
            Rotate(home, other, 56);
        }
        else if (home >= 0)
            code.Add(Instruction.Create(Code.Mov_r8_rm8, HostRegisters.OfSize(home, Register.AL), HostRegisters.OfSize(from, Register.AL)));
        else
            code.Add(Instruction.Create(Code.Mov_rm8_r8, new MemoryOperand(Register.R15, at), HostRegisters.OfSize(from, Register.AL)));
    }

    /// <summary>A value of 1 to 8 bytes at the address in the first scratch register into a host register, zero-extended.</summary>
    public void FromMemory(int register, int size)
    {
        MemoryOperand at = new(Register.R10);
        code.Add(size switch
        {
            1 => Instruction.Create(Code.Movzx_r32_rm8, Wide(register, 4), at),
            2 => Instruction.Create(Code.Movzx_r32_rm16, Wide(register, 4), at),
            4 => Instruction.Create(Code.Mov_r32_rm32, Wide(register, 4), at),
            _ => Instruction.Create(Code.Mov_r64_rm64, Wide(register, 8), at),
        });
    }

    /// <summary>The low bytes of a host register to the address in the first scratch register.</summary>
    public void ToMemory(int register, int size)
    {
        MemoryOperand at = new(Register.R10);
        code.Add(size switch
        {
            1 => Instruction.Create(Code.Mov_rm8_r8, at, HostRegisters.OfSize(register, Register.AL)),
            2 => Instruction.Create(Code.Mov_rm16_r16, at, Register.AX + register),
            4 => Instruction.Create(Code.Mov_rm32_r32, at, Wide(register, 4)),
            _ => Instruction.Create(Code.Mov_rm64_r64, at, Wide(register, 8)),
        });
    }

    /// <summary>Points an instruction's memory operand to the address in the first scratch register.</summary>
    public static void AtAddress(ref Instruction instruction)
    {
        instruction.MemoryBase = Register.R10;
        instruction.MemoryIndex = Register.None;
        instruction.MemoryIndexScale = 1;
        instruction.MemoryDisplacement64 = 0;
        instruction.MemoryDisplSize = 0;
        instruction.SegmentPrefix = Register.None;
    }

    /// <summary>TEST of the low bytes of a register with itself.</summary>
    public void Test(int register, int size)
    {
        Register named = Sized(register, size);
        code.Add(Instruction.Create(size switch
        {
            1 => Code.Test_rm8_r8,
            2 => Code.Test_rm16_r16,
            4 => Code.Test_rm32_r32,
            _ => Code.Test_rm64_r64,
        }, named, named));
    }

    /// <summary>A host register in a size of 1 to 8 bytes.</summary>
    public static Register Sized(int register, int size) => HostRegisters.OfSize(register, size switch
    {
        1 => Register.AL,
        2 => Register.AX,
        4 => Register.EAX,
        _ => Register.RAX,
    });

    private static Register Wide(int register, int size) => (size == 8 ? Register.RAX : Register.EAX) + register;

    /// <summary>RORX.</summary>
    private void Rotate(int to, int from, int count) =>
        code.Add(Instruction.Create(Code.VEX_Rorx_r64_rm64_imm8, Register.RAX + to, Register.RAX + from, count));
}
