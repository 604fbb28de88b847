using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits rotates and shifts whose flags somebody may look at. The interpreter's flags are those of the last of many
/// steps of one bit: the host does all but one step, and then that one. SHLD and SHRD have an OF of their own.
/// </summary>
internal sealed class RotateCode(HostEmitter code, MemoryCode memory, FlagCode flags, RegisterCode registers)
{
    private const int Value = HostRegisters.Second;

    /// <summary>Whether the flags of a shift or rotate can be had here; sets those that never survive it.</summary>
    public static bool TryKeepFlags(ref GuestInstruction guest)
    {
        ref Instruction instruction = ref guest.Instruction;
        bool isMemory = instruction.Op0Kind == OpKind.Memory, byCl = ByCl(instruction);
        if (IsDouble(instruction.Mnemonic) ? Bytes(instruction) == 2 : Group(instruction.Mnemonic) < 0)
            return false;
        if (!byCl && Count(instruction) == 0)
            return false;
        if (!isMemory && RegisterCode.IsHigh(instruction.Op0Register) && !HostFeatures.HasBmi2)
            return false;
        guest.Form = Form.Rotate;
        guest.Flags = IsRotate(instruction.Mnemonic) ? FlagResult.CarryOverflow : FlagResult.ShiftByOne;
        guest.Stays = !isMemory;
        guest.Memory = isMemory ? MemoryUse.Write : MemoryUse.None;
        guest.Kills = byCl ? RflagsBits.None
            : IsRotate(instruction.Mnemonic) ? RflagsBits.CF | RflagsBits.OF
            : GuestInstruction.Status;
        guest.Reads = instruction.Mnemonic is Mnemonic.Rcl or Mnemonic.Rcr ? RflagsBits.CF : RflagsBits.None;
        return true;
    }

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        ref Instruction instruction = ref guest.Instruction;
        int bytes = Bytes(instruction);
        bool isMemory = instruction.Op0Kind == OpKind.Memory, byCl = ByCl(instruction), isDouble = IsDouble(instruction.Mnemonic);
        if (isMemory)
            memory.Check(instruction, bytes, write: true, exit);
        flags.Save();
        if (isDouble || byCl)
            flags.FreeRax();
        int unchanged = -1;
        if (byCl)
        {
            // A count of 0 still clears a register's upper half.
            if (!isMemory && bytes == 4)
                registers.Store(instruction.Op0Register, registers.Load(instruction.Op0Register, Value));
            // test cl, imm8
            code.Bytes(0xf6, 0xc1, (byte)(bytes == 8 ? 63 : 31));
            unchanged = code.JumpIf(HostEmitter.IfEqual);
        }
        if (isMemory)
            registers.FromMemory(Value, bytes);
        else
            registers.Copy(instruction.Op0Register, Value);
        flags.Need(guest.Reads);
        if (isDouble)
            Double(instruction, bytes);
        else
            Single(instruction, bytes, byCl);
        flags.Written(guest.Flags, guest.Live, Register.None);
        if (isDouble && (guest.Live & RflagsBits.OF) != 0)
            Overflow(instruction, bytes, isMemory);
        if (isMemory)
            registers.ToMemory(Value, bytes);
        else
            registers.Store(instruction.Op0Register, Value);
        // Both ways end with the flags in one place.
        if (byCl)
        {
            flags.Save();
            flags.FreeRax();
            code.Land(unchanged);
        }
        return true;
    }

    private void Single(in Instruction instruction, int bytes, bool byCl)
    {
        const int Rcx = 1;
        int group = Group(instruction.Mnemonic);
        if (byCl)
        {
            code.Memory(HostEmitter.LeaOp, Rcx, Rcx, -1);
            Step(0xd2, group, bytes);
            code.Memory(HostEmitter.LeaOp, Rcx, Rcx, 1);
        }
        else if (Count(instruction) > 1)
        {
            Step(0xc0, group, bytes);
            code.Bytes((byte)(Count(instruction) - 1));
        }
        Step(0xd0, group, bytes);
    }

    private void Double(Instruction instruction, int bytes)
    {
        instruction.Op1Register = RegisterCode.Sized(registers.Load(instruction.Op1Register, HostRegisters.Rax), bytes);
        instruction.Op0Kind = OpKind.Register;
        instruction.Op0Register = RegisterCode.Sized(Value, bytes);
        instruction.SegmentPrefix = Register.None;
        code.Add(instruction);
    }

    /// <summary>OF tells whether the sign has changed. What the operand was is still in its place.</summary>
    private void Overflow(in Instruction instruction, int bytes, bool isMemory)
    {
        flags.Save();
        flags.FreeRax();
        if (isMemory)
            registers.FromMemory(HostRegisters.Rax, bytes);
        else
            registers.Copy(instruction.Op0Register, HostRegisters.Rax);
        code.Pair(HostEmitter.XorOp, HostRegisters.Rax, Value);
        code.Add(Instruction.Create(Code.Bt_rm64_imm8, Register.RAX, bytes * 8 - 1));
        // setc al
        code.Bytes(0x0f, 0x92, 0xc0);
        flags.StoreOverflow();
    }

    /// <summary>A shift of the value: by CL (D2), by 1 (D0), or by an immediate that follows (C0).</summary>
    private void Step(byte opcode, int group, int bytes)
    {
        if (bytes == 2)
            code.Bytes(0x66);
        code.Bytes((byte)(bytes == 8 ? 0x49 : 0x41), (byte)(bytes == 1 ? opcode : opcode + 1), (byte)(0xc0 | group << 3 | (Value & 7)));
    }

    /// <summary>ModRM.reg of group 2 (SDM 2D, table A-6); -1: not of it.</summary>
    private static int Group(Mnemonic mnemonic) => mnemonic switch
    {
        Mnemonic.Rol => 0,
        Mnemonic.Ror => 1,
        Mnemonic.Rcl => 2,
        Mnemonic.Rcr => 3,
        Mnemonic.Shl or Mnemonic.Sal => 4,
        Mnemonic.Shr => 5,
        Mnemonic.Sar => 7,
        _ => -1,
    };

    private static bool IsRotate(Mnemonic mnemonic) => mnemonic is Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr;

    private static bool IsDouble(Mnemonic mnemonic) => mnemonic is Mnemonic.Shld or Mnemonic.Shrd;

    private static bool ByCl(in Instruction instruction) => instruction.GetOpKind(instruction.OpCount - 1) == OpKind.Register;

    private static int Bytes(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Memory ? instruction.MemorySize.GetSize() : instruction.Op0Register.GetSize();

    private static int Count(in Instruction instruction) => (int)instruction.GetImmediate(instruction.OpCount - 1) & (Bytes(instruction) == 8 ? 63 : 31);
}
