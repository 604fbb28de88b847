using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Iced.Intel;
using Register = Iced.Intel.Register;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits SYSCALL and SYSRET of 64-bit code, as <see cref="Syscalls"/> has them, where the way is known by RIP on the other
/// side and nothing waits there: no event that IF has held back, no single step, no check of alignment. All else is the
/// interpreter's. TLB bank and jump cache of the other privilege are ready in the context.
/// </summary>
internal sealed unsafe class PrivilegeCode(HostEmitter code, MemoryCode memory, FlagCode flags, EdgeCode edges)
{
    private const int Rcx = 1, R11 = 11;
    private const ushort User = 3 << 5;

    /// <summary>DPL, of a segment's attributes.</summary>
    private const byte Dpl = 0x60;

    /// <summary>Bits of RFLAGS that <see cref="VcpuContext.SetRflags"/> takes.</summary>
    private const int Settable = 0x3f7fd5;

    public static bool Classify(ref GuestInstruction guest)
    {
        if (guest.Instruction.Mnemonic is not (Mnemonic.Syscall or Mnemonic.Sysretq) || guest.Instruction.CodeSize != CodeSize.Code64)
            return false;
        guest.Form = Form.Privilege;
        return true;
    }

    /// <summary>Notes that the interpreter has to select banks anew.</summary>
    public static void WriteSwitched(HostEmitter code)
    {
        // mov byte [switched], 1
        code.Bytes(0x41, 0xc6, 0x87);
        code.Int32(ContextLayout.Switched);
        code.Bytes(1);
    }

    /// <summary>Emits the instruction, with which its run ends. The flags are settled.</summary>
    /// <param name="instruction">SYSCALL or SYSRETQ.</param>
    /// <param name="next">The RIP of the instruction behind it.</param>
    /// <param name="exit">Takes a jump out of the code.</param>
    public void Emit(in Instruction instruction, ulong next, Action<int> exit)
    {
        // test byte [efer], SCE
        code.TestContext(ContextLayout.Efer, (byte)Efer.SCE);
        exit(code.JumpIf(HostEmitter.IfEqual));
        if (instruction.Mnemonic == Mnemonic.Syscall)
            Enter(next, exit);
        else
            Return(exit);
        WriteSwitched(code);
        edges.GoRemembered();
    }

    private void Enter(ulong next, Action<int> exit)
    {
        // A kernel whose alignment would be checked, or that SMAP does not hold back at once.
        code.TestContext(ContextLayout.Fmask + 2, (byte)(Rflags.AC >> 16));
        exit(code.JumpIf(HostEmitter.IfEqual));
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, ContextLayout.Lstar);
        edges.FindIndirect(exit, ContextLayout.JumpsSupervisor);
        edges.Remember();
        flags.Word();
        const int Others = ~(int)(Rflags.Arithmetic | Rflags.VM | Rflags.RF);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Rflags, wide: false);
        code.And(HostRegisters.Rax, Others, wide: false);
        code.Pair(Or, HostRegisters.Second, HostRegisters.Rax, wide: false);
        memory.Store(R11, HostRegisters.Second);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Fmask, wide: false);
        // not eax
        code.Bytes(0xf7, 0xd0);
        code.Pair(And, HostRegisters.Rax, HostRegisters.Second, wide: false);
        SetFlags(Settable);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, ContextLayout.Star + 4, wide: false);
        code.And(HostRegisters.Second, 0xfffc, wide: false);
        Segment(Register.CS, 0, Segments.Flat(0, Cpu.Segment.Code | Cpu.Segment.L).Attributes);
        Segment(Register.SS, 8, Segments.Flat(0, Cpu.Segment.DB).Attributes);
        code.Place(HostRegisters.First, next);
        memory.Store(Rcx, HostRegisters.First);
        Switch(ContextLayout.TlbSupervisor, ContextLayout.JumpsSupervisor);
    }

    private void Return(Action<int> exit)
    {
        code.TestContext(ContextLayout.Selector(Register.SS) + sizeof(ushort), Dpl);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        memory.Copy(R11, HostRegisters.Second);
        TestSecond((int)(Rflags.TF | Rflags.AC));
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        TestSecond((int)Rflags.IF);
        int closed = code.JumpIf(HostEmitter.IfEqual);
        code.TestContext(ContextLayout.EventHeld, 0xff);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        code.Land(closed);
        foreach (int field in (ReadOnlySpan<int>)[ContextLayout.TlbUser, ContextLayout.JumpsUser])
        {
            code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, field);
            code.Pair(HostEmitter.TestOp, HostRegisters.First, HostRegisters.First);
            exit(code.JumpIf(HostEmitter.IfEqual));
        }
        memory.Copy(Rcx, HostRegisters.First);
        // What is found there is canonical.
        edges.FindIndirect(exit, ContextLayout.JumpsUser);
        edges.Remember();
        flags.FreeRax();
        memory.Copy(R11, HostRegisters.Rax);
        SetFlags(Settable & ~(int)(Rflags.RF | Rflags.VM));
        // movzx r11d, word [star + 6]; or r11d, 3
        code.Bytes(0x45, 0x0f, 0xb7, 0x9f);
        code.Int32(ContextLayout.Star + 6);
        code.Bytes(0x41, 0x83, 0xcb, 3);
        Segment(Register.SS, 8, Segments.Flat(0, Cpu.Segment.DB | User).Attributes);
        Segment(Register.CS, 16, Segments.Flat(0, Cpu.Segment.Code | User | Cpu.Segment.L).Attributes);
        Switch(ContextLayout.TlbUser, ContextLayout.JumpsUser);
    }

    private const byte Or = 0x0b, And = 0x23;

    /// <summary>RFLAGS become some bits of RAX; the image of the status flags is in RAX after that. Destroys the second scratch register.</summary>
    private void SetFlags(int bits)
    {
        code.And(HostRegisters.Rax, bits, wide: false);
        // or eax, 2
        code.Bytes(0x83, 0xc8, (byte)Rflags.Reserved1);
        code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Rflags);
        // mov r11d, eax; shr r11d, 11; and r11d, 1; and eax, SF ZF AF PF CF; shl eax, 8; or eax, r11d
        code.Bytes(0x41, 0x89, 0xc3, 0x41, 0xc1, 0xeb, 11, 0x41, 0x83, 0xe3, 1);
        code.And(HostRegisters.Rax, 0xd5, wide: false);
        code.Bytes(0xc1, 0xe0, 8, 0x44, 0x09, 0xd8);
    }

    /// <summary>Loads a flat segment whose selector is the second scratch register's and some more.</summary>
    private void Segment(Register segment, int more, ushort attributes)
    {
        const int BaseToSelector = 12, LimitToSelector = 4;
        int selector = ContextLayout.Selector(segment);
        int from = HostRegisters.Second;
        if (more != 0)
        {
            from = HostRegisters.First;
            code.Memory(HostEmitter.LeaOp, from, HostRegisters.Second, more, wide: false);
        }
        code.StoreConstant(0, HostRegisters.Context, selector - BaseToSelector);
        code.StoreConstant(-1, HostRegisters.Context, selector - LimitToSelector, wide: false);
        code.Bytes(0x66);
        code.Memory(HostEmitter.MovStore, from, HostRegisters.Context, selector, wide: false);
        // mov word [attributes], imm16
        code.Bytes(0x66, 0x41, 0xc7, 0x87);
        code.Int32(selector + sizeof(ushort));
        code.Bytes((byte)attributes, (byte)(attributes >> 8));
    }

    private void Switch(int bank, int jumps)
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, bank);
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Tlb);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, jumps);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.Jumps);
    }

    /// <summary>test r11d, imm32</summary>
    private void TestSecond(int bits)
    {
        code.Bytes(0x41, 0xf7, 0xc3);
        code.Int32(bits);
    }
}
