using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits SSE and SSE2 instructions that neither read nor write MXCSR: whole-register moves, bitwise and packed integer
/// operations. Guest XMM registers stay in the context; host XMM0 and XMM1 are scratch.
/// </summary>
internal sealed class VectorCode(HostEmitter code, MemoryCode memory)
{
    private const int Bytes = 16;
    private const byte LoadOp = 0x10, StoreOp = 0x11;
    private const byte EmulationOrTaskSwitched = 0x0c;

    /// <summary>CR4.OSFXSR in the register's second byte.</summary>
    private const byte OsFxsr = 2;

    public static bool IsMove(Mnemonic mnemonic) => IsUnaligned(mnemonic) || mnemonic is Mnemonic.Movaps or Mnemonic.Movapd or Mnemonic.Movdqa;

    /// <summary>Whether an instruction is one of those here, in its XMM form.</summary>
    public static bool Knows(in Instruction instruction)
    {
        bool store = instruction.Op0Kind == OpKind.Memory;
        if (store ? !IsMove(instruction.Mnemonic) || !instruction.Op1Register.IsXMM() : instruction.Op1Kind == OpKind.Register && !instruction.Op1Register.IsXMM())
            return false;
        if (instruction.Mnemonic == Mnemonic.Pmovmskb)
            return instruction.Op0Register.IsGPR();
        return (store || instruction.Op0Register.IsXMM()) && (IsMove(instruction.Mnemonic) || IsOperation(instruction.Mnemonic));
    }

    /// <summary>Emits the instruction; false: it cannot be encoded.</summary>
    public bool Emit(Instruction instruction, Action<int> exit)
    {
        Ready(exit);
        if (instruction.Op0Kind == OpKind.Memory)
        {
            Address(instruction, write: true, exit);
            Context(LoadOp, 1, instruction.Op1Register);
            Host(StoreOp, 1);
            return true;
        }
        if (instruction.Op1Kind == OpKind.Memory)
        {
            Address(instruction, write: false, exit);
            Host(LoadOp, 1);
        }
        else
            Context(LoadOp, 1, instruction.Op1Register);
        Register destination = instruction.Op0Register;
        if (IsMove(instruction.Mnemonic))
        {
            Context(StoreOp, 1, destination);
            return true;
        }
        instruction.Op1Kind = OpKind.Register;
        instruction.Op1Register = Register.XMM1;
        instruction.SegmentPrefix = Register.None;
        if (destination.IsGPR())
        {
            instruction.Op0Register = Register.EAX;
            if (instruction.Code == Code.Pmovmskb_r64_xmm)
                instruction.Code = Code.Pmovmskb_r32_xmm;
            if (!code.Copy(instruction))
                return false;
            memory.Store(HostRegisters.Number(destination), HostRegisters.Rax);
            return true;
        }
        Context(LoadOp, 0, destination);
        instruction.Op0Register = Register.XMM0;
        if (!code.Copy(instruction))
            return false;
        Context(StoreOp, 0, destination);
        return true;
    }

    private static bool IsUnaligned(Mnemonic mnemonic) => mnemonic is Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu;

    private static bool IsOperation(Mnemonic mnemonic) => mnemonic is Mnemonic.Pxor or Mnemonic.Por or Mnemonic.Pand or Mnemonic.Pandn
        or Mnemonic.Xorps or Mnemonic.Xorpd or Mnemonic.Andps or Mnemonic.Andpd or Mnemonic.Orps or Mnemonic.Orpd or Mnemonic.Andnps or Mnemonic.Andnpd
        or Mnemonic.Pcmpeqb or Mnemonic.Pcmpeqw or Mnemonic.Pcmpeqd or Mnemonic.Pcmpgtb or Mnemonic.Pcmpgtw or Mnemonic.Pcmpgtd
        or Mnemonic.Paddb or Mnemonic.Paddw or Mnemonic.Paddd or Mnemonic.Paddq or Mnemonic.Psubb or Mnemonic.Psubw or Mnemonic.Psubd or Mnemonic.Psubq
        or Mnemonic.Pminub or Mnemonic.Pmaxub or Mnemonic.Pshufd
        or Mnemonic.Punpcklbw or Mnemonic.Punpcklwd or Mnemonic.Punpckldq or Mnemonic.Punpcklqdq
        or Mnemonic.Punpckhbw or Mnemonic.Punpckhwd or Mnemonic.Punpckhdq or Mnemonic.Punpckhqdq;

    /// <summary>As VectorState.SseReady: what refuses leaves to the interpreter.</summary>
    private void Ready(Action<int> exit)
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Cr0);
        // test al, imm8
        code.Bytes(0xa8, EmulationOrTaskSwitched);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        // test byte [cr4 + 1], imm8
        code.Bytes(0x41, 0xf6, 0x87);
        code.Int32(ContextLayout.Cr4 + 1);
        code.Bytes(OsFxsr);
        exit(code.JumpIf(HostEmitter.IfEqual));
    }

    private void Address(in Instruction instruction, bool write, Action<int> exit)
    {
        memory.Check(instruction, Bytes, write, exit);
        if (IsUnaligned(instruction.Mnemonic))
            return;
        // test r10b, 15: pages keep the alignment. What is not aligned faults in the interpreter.
        code.Bytes(0x41, 0xf6, 0xc2, Bytes - 1);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
    }

    /// <summary>MOVUPS between a host register and a guest's, in the context.</summary>
    private void Context(byte opcode, int register, Register guest)
    {
        code.Bytes(0x41, 0x0f, opcode, (byte)(0x87 | register << 3));
        code.Int32(Registers.OffsetOf(guest));
    }

    /// <summary>MOVUPS between a host register and the address in R10.</summary>
    private void Host(byte opcode, int register) => code.Bytes(0x41, 0x0f, opcode, (byte)(0x02 | register << 3));
}
