using Godwit.Engine.Cpu;
using Iced.Intel;
using Register = Iced.Intel.Register;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits what reads and writes flags as operands (PUSHF, LAHF, SAHF, STC, CLC, CMC, CLD, STD, CLI, STI, STAC, CLAC), reads of segment
/// registers and bases, SWAPGS, and CMPXCHG8B and 16B.
/// </summary>
internal sealed class StateCode(HostEmitter code, MemoryCode memory, FlagCode flags, RegisterCode registers)
{
    /// <summary>DPL, of a segment's attributes.</summary>
    private const byte Dpl = 0x60;

    public static bool Classify(ref GuestInstruction guest)
    {
        ref Instruction instruction = ref guest.Instruction;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Stc or Mnemonic.Clc:
                guest.Kills = RflagsBits.CF;
                guest.Stays = true;
                break;
            case Mnemonic.Cmc:
                guest.Reads = guest.Kills = RflagsBits.CF;
                guest.Stays = true;
                break;
            case Mnemonic.Lahf when HostFeatures.HasBmi2:
                guest.Reads = GuestInstruction.Status & ~RflagsBits.OF;
                guest.Stays = true;
                break;
            case Mnemonic.Sahf when HostFeatures.HasBmi2:
                guest.Kills = GuestInstruction.Status & ~RflagsBits.OF;
                guest.Stays = true;
                break;
            case Mnemonic.Pushfq or Mnemonic.Pushfd:
                guest.Reads = GuestInstruction.Status;
                break;
            case Mnemonic.Cld or Mnemonic.Std:
                guest.Stays = true;
                break;
            case Mnemonic.Cli or Mnemonic.Swapgs or Mnemonic.Sti or Mnemonic.Stac or Mnemonic.Clac:
                break;
            case Mnemonic.Mfence:
                guest.Form = Form.Copied;
                return true;
            case Mnemonic.Mov when instruction.Op1Kind == OpKind.Register && instruction.Op1Register.IsSegmentRegister():
                guest.Memory = instruction.Op0Kind == OpKind.Memory ? MemoryUse.Write : MemoryUse.None;
                guest.Stays = instruction.Op0Kind != OpKind.Memory;
                break;
            case Mnemonic.Cmpxchg8b or Mnemonic.Cmpxchg16b:
                guest.Memory = MemoryUse.Write;
                guest.Kills = RflagsBits.ZF;
                break;
            default:
                return false;
        }
        guest.Form = Form.State;
        return true;
    }

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        ref Instruction instruction = ref guest.Instruction;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Stc:
                Carry(0xf9, RflagsBits.None, guest.Live);
                break;
            case Mnemonic.Clc:
                Carry(0xf8, RflagsBits.None, guest.Live);
                break;
            case Mnemonic.Cmc:
                Carry(0xf5, RflagsBits.CF, guest.Live);
                break;
            case Mnemonic.Lahf:
                flags.Save();
                flags.Word();
                // or r11b, 2
                code.Bytes(0x41, 0x80, 0xcb, 2);
                registers.Store(Register.AH, HostRegisters.Second);
                break;
            case Mnemonic.Sahf:
                flags.Save();
                flags.Need(guest.Live & RflagsBits.OF);
                code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
                // sahf
                code.Bytes(0x9e);
                flags.Written(FlagResult.Arithmetic, guest.Live, Register.None);
                break;
            case Mnemonic.Pushfq or Mnemonic.Pushfd:
                PushFlags(exit);
                break;
            case Mnemonic.Cld:
                flags.Save();
                And(~(int)Rflags.DF);
                break;
            case Mnemonic.Std:
                flags.Save();
                Or((int)Rflags.DF);
                break;
            case Mnemonic.Cli:
                Supervisor(exit);
                And(~(int)Rflags.IF);
                break;
            case Mnemonic.Sti:
                Supervisor(exit);
                // What waits for it is delivered in the interpreter. cmp byte [event held], 0
                code.Bytes(0x41, 0x80, 0xbf);
                code.Int32(ContextLayout.EventHeld);
                code.Bytes(0);
                exit(code.JumpIf(HostEmitter.IfNotEqual));
                Or((int)Rflags.IF);
                break;
            case Mnemonic.Stac:
                Supervisor(exit);
                Or((int)Rflags.AC);
                Switch(ContextLayout.TlbOverride);
                break;
            case Mnemonic.Clac:
                Supervisor(exit);
                And(~(int)Rflags.AC);
                Switch(ContextLayout.TlbSupervisor);
                break;
            case Mnemonic.Swapgs:
                Supervisor(exit);
                code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, ContextLayout.GsBase);
                code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, ContextLayout.KernelGsBase);
                code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.GsBase);
                code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.KernelGsBase);
                break;
            case Mnemonic.Mov:
                Selector(instruction, exit);
                break;
            default:
                Exchange(ref guest, exit);
                break;
        }
        return true;
    }

    private void Carry(byte opcode, RflagsBits reads, RflagsBits live)
    {
        flags.Prepare(FlagResult.Carry, live);
        flags.Need(reads);
        code.Bytes(opcode);
        flags.Written(FlagResult.Carry, live, Register.None);
    }

    /// <summary>Leaves unless the privilege level is 0: others may need IOPL, or fault.</summary>
    private void Supervisor(Action<int> exit)
    {
        flags.Save();
        // The attributes' first byte.
        code.TestContext(ContextLayout.Selector(Register.SS) + sizeof(ushort), Dpl);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
    }

    private void And(int mask)
    {
        // and dword [rflags], imm32
        code.Bytes(0x41, 0x81, 0xa7);
        code.Int32(ContextLayout.Rflags);
        code.Int32(mask);
    }

    private void Or(int bits)
    {
        // or dword [rflags], imm32
        code.Bytes(0x41, 0x81, 0x8f);
        code.Int32(ContextLayout.Rflags);
        code.Int32(bits);
    }

    /// <summary>Takes another bank of the TLB; the interpreter hears of it on the way out.</summary>
    private void Switch(int bank)
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, bank);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.Tlb);
        PrivilegeCode.WriteSwitched(code);
    }

    private void PushFlags(Action<int> exit)
    {
        const int Others = ~(int)(Rflags.Arithmetic | Rflags.VM | Rflags.RF);
        memory.CheckStack(-memory.Slot, write: true, exit);
        flags.Word();
        // mov eax, [rflags]; and eax, imm32; or r11d, eax
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Rflags, wide: false);
        code.Bytes(0x25);
        code.Int32(Others);
        code.Bytes(0x41, 0x09, 0xc3);
        registers.ToMemory(HostRegisters.Second, memory.Slot);
        memory.MoveStack(-memory.Slot);
    }

    private void Selector(in Instruction instruction, Action<int> exit)
    {
        bool isMemory = instruction.Op0Kind == OpKind.Memory;
        if (isMemory)
            memory.Check(instruction, sizeof(ushort), write: true, exit);
        code.Add(Instruction.Create(Code.Movzx_r32_rm16, Register.R11D, new MemoryOperand(Register.R15, ContextLayout.Selector(instruction.Op1Register))));
        if (isMemory)
            registers.ToMemory(HostRegisters.Second, sizeof(ushort));
        else
            registers.Store(instruction.Op0Register, HostRegisters.Second);
    }

    /// <summary>CMPXCHG8B and 16B; the second must be aligned, or it faults in the interpreter.</summary>
    private void Exchange(ref GuestInstruction guest, Action<int> exit)
    {
        Instruction instruction = guest.Instruction;
        int size = instruction.Mnemonic == Mnemonic.Cmpxchg16b ? 16 : 8;
        memory.Check(instruction, size, write: true, exit);
        if (size == 16)
        {
            // test r10b, imm8: pages keep the alignment
            code.Bytes(0x41, 0xf6, 0xc2, (byte)(size - 1));
            exit(code.JumpIf(HostEmitter.IfNotEqual));
        }
        flags.FreeRax();
        code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        RegisterCode.AtAddress(ref instruction);
        instruction.HasLockPrefix = true;
        code.Add(instruction);
        code.Move(HostRegisters.Accumulator, HostRegisters.Rax);
        flags.Written(FlagResult.Zero, guest.Live, Register.None);
    }
}
