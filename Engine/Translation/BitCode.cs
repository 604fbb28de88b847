using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits bit scans, bit tests in memory with a register, BMI, and ADX. Flags that the manual leaves undefined follow the
/// result, or the source of BSF and BSR, as the interpreter has them.
/// </summary>
internal sealed class BitCode(HostEmitter code, MemoryCode memory, FlagCode flags, RegisterCode registers)
{
    private const int Source = HostRegisters.First, Result = HostRegisters.Second;

    public static bool Classify(ref GuestInstruction guest)
    {
        ref Instruction instruction = ref guest.Instruction;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Popcnt:
                guest.Copy(FlagResult.Arithmetic, MemoryUse.Read);
                guest.Kills = GuestInstruction.Status;
                return true;
            case Mnemonic.Movbe:
                guest.Copy(FlagResult.None, MemoryUse.Write);
                return true;
            case Mnemonic.Crc32 when instruction.Op1Kind == OpKind.Memory || !RegisterCode.IsHigh(instruction.Op1Register):
                guest.Copy(FlagResult.None, MemoryUse.Read);
                return true;
            case Mnemonic.Bsf or Mnemonic.Bsr or Mnemonic.Tzcnt or Mnemonic.Lzcnt
                or Mnemonic.Andn or Mnemonic.Bextr or Mnemonic.Bzhi or Mnemonic.Blsi or Mnemonic.Blsmsk or Mnemonic.Blsr:
                guest.Kills = GuestInstruction.Status;
                break;
            case Mnemonic.Pdep or Mnemonic.Pext or Mnemonic.Sarx or Mnemonic.Shlx or Mnemonic.Shrx or Mnemonic.Rorx or Mnemonic.Mulx:
                break;
            case Mnemonic.Adcx:
                guest.Reads = guest.Kills = RflagsBits.CF;
                break;
            case Mnemonic.Adox:
                guest.Reads = guest.Kills = RflagsBits.OF;
                break;
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc when instruction.Op0Kind == OpKind.Memory:
                guest.Kills = RflagsBits.CF;
                if (instruction.Op1Kind != OpKind.Register)
                {
                    guest.Copy(FlagResult.Carry, instruction.Mnemonic == Mnemonic.Bt ? MemoryUse.Read : MemoryUse.Write);
                    return true;
                }
                break;
            default:
                return false;
        }
        guest.Form = Form.Bits;
        guest.Memory = !HasMemory(instruction) ? MemoryUse.None
            : instruction.Mnemonic is Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc ? MemoryUse.Write
            : MemoryUse.Read;
        guest.Stays = guest.Memory == MemoryUse.None;
        return true;
    }

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        ref Instruction instruction = ref guest.Instruction;
        if (instruction.Op0Kind == OpKind.Memory)
            return Test(ref guest, exit);
        int size = instruction.Op0Register.GetSize();
        if (Plain(guest, size))
            return true;
        if (guest.Memory != MemoryUse.None)
            memory.Check(instruction, size, write: false, exit);
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Bsf or Mnemonic.Bsr:
                Scan(instruction, size, guest.Live);
                break;
            case Mnemonic.Tzcnt or Mnemonic.Lzcnt:
                ToSource(instruction, 1, size);
                Add(instruction, Result, Source);
                ResultFlags(size, guest.Live);
                CarryIfZero(size, guest.Live);
                registers.Store(instruction.Op0Register, Result);
                break;
            case Mnemonic.Blsi or Mnemonic.Blsmsk or Mnemonic.Blsr:
                ToSource(instruction, 1, size);
                Add(instruction, Result, Source);
                ResultFlags(size, guest.Live);
                if (instruction.Mnemonic == Mnemonic.Blsi)
                    CarryIfNotZero(size, guest.Live);
                else
                    CarryIfZero(size, guest.Live);
                registers.Store(instruction.Op0Register, Result);
                break;
            case Mnemonic.Mulx:
                Multiply(instruction);
                break;
            case Mnemonic.Adcx or Mnemonic.Adox:
                AddWith(ref guest);
                break;
            default:
                Three(instruction, size, guest.Live);
                break;
        }
        return true;
    }

    /// <summary>The guest's instruction itself, where its operands are in host registers and nobody looks at its flags.</summary>
    private bool Plain(in GuestInstruction guest, int size)
    {
        Instruction instruction = guest.Instruction;
        // MULX, ADCX and ADOX are more; scans of 32 bits leave different upper halves.
        if (guest.Live != RflagsBits.None && guest.Kills != RflagsBits.None || instruction.Mnemonic is Mnemonic.Mulx or Mnemonic.Adcx or Mnemonic.Adox
            || (instruction.Mnemonic is Mnemonic.Bsf or Mnemonic.Bsr && size != 8))
            return false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return false;
            if (instruction.GetOpKind(i) != OpKind.Register)
                continue;
            int home = memory.Home(HostRegisters.Number(instruction.GetOpRegister(i)));
            if (home < 0)
                return false;
            instruction.SetOpRegister(i, RegisterCode.Sized(home, size));
        }
        code.Add(instruction);
        if (guest.Kills != RflagsBits.None)
            flags.Written(FlagResult.Logic, RflagsBits.None, Register.None);
        return true;
    }

    private static bool HasMemory(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return true;
        return false;
    }

    /// <summary>The source operand, zero-extended, into the first scratch register, which has its address where it is memory.</summary>
    private void ToSource(in Instruction instruction, int operand, int size)
    {
        if (instruction.GetOpKind(operand) == OpKind.Memory)
            registers.FromMemory(Source, size);
        else
            registers.CopyExtended(instruction.GetOpRegister(operand), Source);
    }

    /// <summary>The guest's instruction with two operands in host registers.</summary>
    private void Add(Instruction instruction, int destination, int source)
    {
        int size = instruction.Op0Register.GetSize();
        instruction.Op0Register = RegisterCode.Sized(destination, size);
        instruction.Op1Kind = OpKind.Register;
        instruction.Op1Register = RegisterCode.Sized(source, size);
        instruction.SegmentPrefix = Register.None;
        code.Add(instruction);
    }

    /// <summary>BSF and BSR: a source of 0 leaves the whole destination.</summary>
    private void Scan(in Instruction instruction, int size, RflagsBits live)
    {
        ToSource(instruction, 1, size);
        flags.Prepare(FlagResult.Unlike, live);
        code.Add(Instruction.Create(instruction.Mnemonic == Mnemonic.Bsf ? Code.Bsf_r64_rm64 : Code.Bsr_r64_rm64, Register.R11, Register.R10));
        // A destination in the context moves the other way: its old value over the result.
        int number = HostRegisters.Number(instruction.Op0Register), home = memory.Home(number);
        if (home >= 0)
            code.Add(size == 2
                ? Instruction.Create(Code.Cmovne_r16_rm16, Register.AX + home, Register.R11W)
                : Instruction.Create(Code.Cmovne_r64_rm64, Register.RAX + home, Register.R11));
        else
        {
            int at = ContextLayout.Gpr + 8 * number;
            code.Add(Instruction.Create(Code.Cmove_r64_rm64, Register.R11, new MemoryOperand(Register.R15, at)));
            if (size == 2)
                code.Add(Instruction.Create(Code.Mov_rm16_r16, new MemoryOperand(Register.R15, at), Register.R11W));
            else
                code.Memory(HostEmitter.MovStore, Result, HostRegisters.Context, at);
        }
        if (live != RflagsBits.None)
            registers.Test(Source, size);
        flags.Written(FlagResult.Logic, live, Register.None);
    }

    /// <summary>SF, ZF and PF of the result; CF, OF and AF clear.</summary>
    private void ResultFlags(int size, RflagsBits live)
    {
        if (live != RflagsBits.None)
            registers.Test(Result, size);
        flags.Written(FlagResult.Logic, live, Register.None);
    }

    private void CarryIfZero(int size, RflagsBits live)
    {
        if ((live & RflagsBits.CF) == 0)
            return;
        flags.Prepare(FlagResult.Carry, live);
        code.Add(Instruction.Create(size switch
        {
            2 => Code.Cmp_rm16_imm8,
            4 => Code.Cmp_rm32_imm8,
            _ => Code.Cmp_rm64_imm8,
        }, RegisterCode.Sized(Source, size), 1));
        flags.Written(FlagResult.Carry, live, Register.None);
    }

    private void CarryIfNotZero(int size, RflagsBits live)
    {
        if ((live & RflagsBits.CF) == 0)
            return;
        flags.Prepare(FlagResult.Carry, live);
        code.Add(Instruction.Create(size switch
        {
            2 => Code.Neg_rm16,
            4 => Code.Neg_rm32,
            _ => Code.Neg_rm64,
        }, RegisterCode.Sized(Source, size)));
        flags.Written(FlagResult.Carry, live, Register.None);
    }

    /// <summary>VEX instructions with a destination and two sources, one of which may be memory or a constant.</summary>
    private void Three(in Instruction instruction, int size, RflagsBits live)
    {
        Instruction host = instruction;
        int scratch = Source;
        if (HasMemory(instruction))
        {
            RegisterCode.AtAddress(ref host);
            scratch = Result;
        }
        for (int i = 1; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) != OpKind.Register)
                continue;
            int from = registers.Load(instruction.GetOpRegister(i), scratch);
            if (from == scratch)
                scratch++;
            host.SetOpRegister(i, RegisterCode.Sized(from, size));
        }
        host.Op0Register = RegisterCode.Sized(Result, size);
        bool writesFlags = instruction.Mnemonic is Mnemonic.Andn or Mnemonic.Bextr or Mnemonic.Bzhi;
        code.Add(host);
        if (writesFlags)
            ResultFlags(size, live);
        if (instruction.Mnemonic == Mnemonic.Bzhi && (live & RflagsBits.CF) != 0)
        {
            // CF: the index is at least the operand's size.
            flags.Prepare(FlagResult.Carry, live);
            code.Constant(Source, (ulong)(size * 8 - 1));
            int number = HostRegisters.Number(instruction.Op2Register), home = memory.Home(number);
            code.Add(home >= 0
                ? Instruction.Create(Code.Cmp_r8_rm8, Register.R10L, HostRegisters.OfSize(home, Register.AL))
                : Instruction.Create(Code.Cmp_r8_rm8, Register.R10L, new MemoryOperand(Register.R15, ContextLayout.Gpr + 8 * number)));
            flags.Written(FlagResult.Carry, live, Register.None);
        }
        registers.Store(instruction.Op0Register, Result);
    }

    /// <summary>MULX: with one register for both halves the high one stays.</summary>
    private void Multiply(in Instruction instruction)
    {
        Instruction host = instruction;
        int size = instruction.Op0Register.GetSize();
        if (HasMemory(instruction))
            RegisterCode.AtAddress(ref host);
        else
            host.Op2Register = RegisterCode.Sized(registers.Load(instruction.Op2Register, Source), size);
        host.Op0Register = RegisterCode.Sized(Result, size);
        host.Op1Register = RegisterCode.Sized(Source, size);
        code.Add(host);
        registers.Store(instruction.Op1Register, Source);
        registers.Store(instruction.Op0Register, Result);
    }

    /// <summary>ADCX and ADOX: one flag in and out, the others stay.</summary>
    private void AddWith(ref GuestInstruction guest)
    {
        ref Instruction instruction = ref guest.Instruction;
        int size = instruction.Op0Register.GetSize();
        ToSource(instruction, 1, size);
        flags.Save();
        registers.Copy(instruction.Op0Register, Result);
        flags.Need(guest.Reads);
        Add(instruction, Result, Source);
        flags.Written(instruction.Mnemonic == Mnemonic.Adcx ? FlagResult.Carry : FlagResult.Overflow, guest.Live, Register.None);
        registers.Store(instruction.Op0Register, Result);
    }

    /// <summary>BT, BTS, BTR, BTC in memory at an offset of bits: the unit that has the bit is looked up, and the bit within it.</summary>
    private bool Test(ref GuestInstruction guest, Action<int> exit)
    {
        Instruction instruction = guest.Instruction, original = instruction;
        Register offset = instruction.Op1Register;
        int size = offset.GetSize();
        bool stores = instruction.Mnemonic != Mnemonic.Bt;
        memory.Check(instruction, size, stores, exit, () => Move(original, offset, size));
        flags.Prepare(FlagResult.Carry, guest.Live);
        bool locked = instruction.HasLockPrefix;
        int bit;
        if (locked)
        {
            registers.Copy(offset, Result);
            code.And(Result, size * 8 - 1, wide: false);
            bit = Result;
            RegisterCode.AtAddress(ref instruction);
        }
        else
        {
            bit = memory.Home(HostRegisters.Number(offset));
            if (bit < 0)
            {
                flags.FreeRax();
                bit = registers.Load(offset, HostRegisters.Rax);
            }
            registers.FromMemory(Result, size);
            instruction.Op0Kind = OpKind.Register;
            instruction.Op0Register = RegisterCode.Sized(Result, size);
            instruction.SegmentPrefix = Register.None;
        }
        instruction.Op1Register = RegisterCode.Sized(bit, size);
        code.Add(instruction);
        if (stores && !locked)
            registers.ToMemory(Result, size);
        flags.Written(FlagResult.Carry, guest.Live, Register.None);
        return true;
    }

    /// <summary>Moves the address in the first scratch register to the unit of a bit.</summary>
    private void Move(in Instruction instruction, Register offset, int size)
    {
        int from = registers.Load(offset, Result);
        if (size == 8)
            code.Move(Result, from);
        else
            code.Add(size == 4
                ? Instruction.Create(Code.Movsxd_r64_rm32, Register.R11, Register.EAX + from)
                : Instruction.Create(Code.Movsx_r64_rm16, Register.R11, Register.AX + from));
        code.Add(Instruction.Create(Code.Sar_rm64_imm8, Register.R11, 3));
        code.And(Result, -size, wide: true);
        code.Pair(HostEmitter.AddOp, HostRegisters.First, Result, wide: AddressBytes(instruction) == 8);
    }

    private static int AddressBytes(in Instruction instruction)
    {
        Register register = instruction.MemoryBase != Register.None ? instruction.MemoryBase : instruction.MemoryIndex;
        return register == Register.None ? (instruction.MemoryDisplSize == 4 ? 4 : 8) : register.GetSize();
    }
}
