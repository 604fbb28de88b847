using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits MOVS, STOS, LODS, CMPS and SCAS once, and rep MOVS and STOS page by page. What runs downwards or compares
/// repeatedly is the interpreter's.
/// </summary>
internal sealed class StringCode(HostEmitter code, MemoryCode memory, FlagCode flags, RegisterCode registers)
{
    private const int Rcx = 1, Rsi = 6, Rdi = 7;

    public static bool Classify(ref GuestInstruction guest, in Instruction decoded)
    {
        if (!decoded.IsStringInstruction)
            return false;
        bool repeats = decoded.HasRepPrefix || decoded.HasRepnePrefix;
        bool compares = Compares(decoded.Mnemonic);
        bool known = Moves(decoded.Mnemonic) || Stores(decoded.Mnemonic) || ((Loads(decoded.Mnemonic) || compares) && !repeats);
        // Of FS and GS only the next element's offset is checked.
        bool offsets = repeats && decoded.CodeSize == CodeSize.Code32 && Moves(decoded.Mnemonic) && decoded.MemorySegment is Register.FS or Register.GS;
        if (!known || offsets || AddressBytes(decoded) == 2)
            return true;
        guest.Instruction = decoded;
        guest.Form = Form.String;
        guest.Flags = compares ? FlagResult.Arithmetic : FlagResult.None;
        guest.Kills = compares ? GuestInstruction.Status : RflagsBits.None;
        return true;
    }

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        ref Instruction instruction = ref guest.Instruction;
        int size = instruction.MemorySize.GetSize();
        bool wide = AddressBytes(instruction) == 8;
        flags.Save();
        flags.FreeRax();
        // test dword [rflags], DF
        code.Bytes(0x41, 0xf7, 0x87);
        code.Int32(ContextLayout.Rflags);
        code.Int32((int)Rflags.DF);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        if (instruction.HasRepPrefix || instruction.HasRepnePrefix)
        {
            Repeat(instruction, size, wide, exit);
            return true;
        }
        switch (instruction.Mnemonic)
        {
            case var mnemonic when Stores(mnemonic):
                Check(Rdi, Register.ES, size, wide, write: true, exit);
                registers.ToMemory(HostRegisters.Accumulator, size);
                Advance(Rdi, size, wide);
                break;
            case var mnemonic when Loads(mnemonic):
                Check(Rsi, instruction.MemorySegment, size, wide, write: false, exit);
                registers.FromMemory(HostRegisters.Second, size);
                registers.Store(RegisterCode.Sized(0, size), HostRegisters.Second);
                Advance(Rsi, size, wide);
                break;
            case var mnemonic when Moves(mnemonic):
                Source(instruction, size, wide, exit);
                Check(Rdi, Register.ES, size, wide, write: true, exit);
                code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, ContextLayout.Target);
                registers.ToMemory(HostRegisters.Second, size);
                Advance(Rsi, size, wide);
                Advance(Rdi, size, wide);
                break;
            default:
                Compare(ref guest, size, wide, exit);
                break;
        }
        return true;
    }

    private void Compare(ref GuestInstruction guest, int size, bool wide, Action<int> exit)
    {
        ref Instruction instruction = ref guest.Instruction;
        bool scans = instruction.Mnemonic is Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq;
        if (!scans)
            Source(instruction, size, wide, exit);
        Check(Rdi, Register.ES, size, wide, write: false, exit);
        int left = HostRegisters.Accumulator;
        if (!scans)
        {
            left = HostRegisters.Second;
            code.Memory(HostEmitter.MovLoad, left, HostRegisters.Context, ContextLayout.Target);
        }
        code.Add(Instruction.Create(size switch
        {
            1 => Code.Cmp_r8_rm8,
            2 => Code.Cmp_r16_rm16,
            4 => Code.Cmp_r32_rm32,
            _ => Code.Cmp_r64_rm64,
        }, RegisterCode.Sized(left, size), new MemoryOperand(Register.R10)));
        if (!scans)
            Advance(Rsi, size, wide);
        Advance(Rdi, size, wide);
        flags.Written(FlagResult.Arithmetic, guest.Live, Register.None);
    }

    /// <summary>The element at rSI, kept in the context while the other address is looked up.</summary>
    private void Source(in Instruction instruction, int size, bool wide, Action<int> exit)
    {
        Check(Rsi, instruction.MemorySegment, size, wide, write: false, exit);
        registers.FromMemory(HostRegisters.Second, size);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.Target);
    }

    /// <summary>
    /// The instruction in pieces that lie in one page at each end; registers are right between them, where exit requests
    /// are looked for. An element that crosses a page's end is the interpreter's.
    /// </summary>
    private void Repeat(in Instruction instruction, int size, bool wide, Action<int> exit)
    {
        bool moves = Moves(instruction.Mnemonic);
        // A count of 0 reaches no memory.
        code.Pair(HostEmitter.TestOp, Rcx, Rcx, wide);
        int none = code.JumpIf(HostEmitter.IfEqual);
        int top = code.Offset;
        if (moves)
        {
            Check(Rsi, instruction.MemorySegment, 1, wide, write: false, exit);
            Room(size);
            code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Target);
            code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.TargetCode);
        }
        Check(Rdi, Register.ES, 1, wide, write: true, exit);
        Room(size);
        if (moves)
        {
            MemoryOperand source = new(Register.R15, ContextLayout.TargetCode);
            code.Add(Instruction.Create(Code.Cmp_r64_rm64, Register.RAX, source));
            code.Add(Instruction.Create(Code.Cmova_r64_rm64, Register.RAX, source));
        }
        code.Pair(HostEmitter.CmpOp, HostRegisters.Rax, Rcx, wide);
        code.Add(Instruction.Create(Code.Cmova_r64_rm64, Register.RAX, Register.RCX));
        code.Pair(HostEmitter.TestOp, HostRegisters.Rax, HostRegisters.Rax, wide: false);
        exit(code.JumpIf(HostEmitter.IfEqual));
        // From here on nothing leaves. Guest addresses behind the piece wait in the scratch registers.
        code.Pair(HostEmitter.SubOp, Rcx, HostRegisters.Rax, wide);
        code.Memory(HostEmitter.MovStore, Rcx, HostRegisters.Context, ContextLayout.TargetCode);
        code.Pair(HostEmitter.MovLoad, Rcx, HostRegisters.Rax, wide: false);
        code.Pair(0x87, Rdi, HostRegisters.First);
        code.Memory(HostEmitter.LeaOp, HostRegisters.First, HostRegisters.First, Rcx, Scale(size), 0, wide);
        if (moves)
        {
            code.Memory(HostEmitter.LeaOp, HostRegisters.Second, Rsi, Rcx, Scale(size), 0, wide);
            code.Memory(HostEmitter.MovLoad, Rsi, HostRegisters.Context, ContextLayout.Target);
        }
        else
            code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        // rep movs or stos
        if (size == 2)
            code.Bytes(0x66);
        code.Bytes(0xf3);
        if (size == 8)
            code.Bytes(0x48);
        code.Bytes((byte)((moves ? 0xa4 : 0xaa) + (size == 1 ? 0 : 1)));
        code.Move(Rdi, HostRegisters.First);
        if (moves)
            code.Move(Rsi, HostRegisters.Second);
        code.Memory(HostEmitter.MovLoad, Rcx, HostRegisters.Context, ContextLayout.TargetCode);
        code.Pair(HostEmitter.TestOp, Rcx, Rcx, wide);
        int done = code.JumpIf(HostEmitter.IfEqual);
        // cmp dword [exit request], 0
        code.Bytes(0x41, 0x83, 0xbf);
        code.Int32(ContextLayout.ExitRequest);
        code.Bytes(0);
        code.JumpIf(HostEmitter.IfEqual, top);
        exit(code.JumpLater());
        code.Land(done);
        code.Land(none);
    }

    /// <summary>Elements from the host address in the first scratch register to its page's end, into RAX.</summary>
    private void Room(int size)
    {
        // not eax: of 12 bits, the bytes behind the address but one
        code.Pair(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.First, wide: false);
        code.Bytes(0xf7, 0xd0);
        code.And(HostRegisters.Rax, PageNumber.Size - 1, wide: false);
        code.Memory(HostEmitter.LeaOp, HostRegisters.Rax, HostRegisters.Rax, 1, wide: false);
        if (size > 1)
            code.Shift(5, HostRegisters.Rax, (byte)Scale(size), wide: false);
    }

    private void Check(int register, Register segment, int size, bool wide, bool write, Action<int> exit)
    {
        Instruction operand = new() { MemoryBase = (wide ? Register.RAX : Register.EAX) + register, SegmentPrefix = segment };
        memory.Check(operand, size, write, exit);
    }

    /// <summary>Moves an index register on; no flags are written.</summary>
    private void Advance(int register, int size, bool wide) => code.Memory(HostEmitter.LeaOp, register, register, HostEmitter.None, 0, size, wide);

    private static int Scale(int size) => System.Numerics.BitOperations.Log2((uint)size);

    private static int AddressBytes(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            switch (instruction.GetOpKind(i))
            {
                case OpKind.MemorySegSI or OpKind.MemorySegDI or OpKind.MemoryESDI:
                    return 2;
                case OpKind.MemorySegESI or OpKind.MemorySegEDI or OpKind.MemoryESEDI:
                    return 4;
            }
        }
        return 8;
    }

    private static bool Moves(Mnemonic mnemonic) => mnemonic is Mnemonic.Movsb or Mnemonic.Movsw or Mnemonic.Movsd or Mnemonic.Movsq;

    private static bool Stores(Mnemonic mnemonic) => mnemonic is Mnemonic.Stosb or Mnemonic.Stosw or Mnemonic.Stosd or Mnemonic.Stosq;

    private static bool Loads(Mnemonic mnemonic) => mnemonic is Mnemonic.Lodsb or Mnemonic.Lodsw or Mnemonic.Lodsd or Mnemonic.Lodsq;

    private static bool Compares(Mnemonic mnemonic) => mnemonic is Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq
        or Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq;
}
