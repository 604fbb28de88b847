using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>Emits PUSH and POP of memory, and XLAT.</summary>
internal sealed class StackCode(HostEmitter code, MemoryCode memory, RegisterCode registers)
{
    public static bool Classify(ref GuestInstruction guest)
    {
        ref Instruction instruction = ref guest.Instruction;
        if (instruction.Code is not (Code.Push_rm64 or Code.Pop_rm64 or Code.Push_rm32 or Code.Pop_rm32) || instruction.Op0Kind != OpKind.Memory)
        {
            if (instruction.Mnemonic != Mnemonic.Xlatb || instruction.MemoryBase is Register.BX)
                return false;
        }
        guest.Form = Form.Stack;
        guest.Memory = instruction.Mnemonic == Mnemonic.Pop ? MemoryUse.Write : MemoryUse.Read;
        return true;
    }

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        Instruction instruction = guest.Instruction;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Push:
                memory.Check(instruction, memory.Slot, write: false, exit);
                Keep();
                memory.CheckStack(-memory.Slot, write: true, exit);
                Give();
                memory.MoveStack(-memory.Slot);
                break;
            case Mnemonic.Pop:
                memory.CheckStack(0, write: false, exit);
                Keep();
                // An address by the stack pointer counts from its value after the pop (SDM 2B, POP).
                if (instruction.MemoryBase.GetFullRegister() == Register.RSP)
                    instruction.MemoryDisplacement64 += (ulong)memory.Slot;
                memory.Check(instruction, memory.Slot, write: true, exit);
                Give();
                memory.MoveStack(memory.Slot);
                break;
            default:
                Translate(instruction, exit);
                break;
        }
        return true;
    }

    /// <summary>XLAT: AL is an index of its own size.</summary>
    private void Translate(Instruction instruction, Action<int> exit)
    {
        instruction.MemoryIndex = Register.None;
        bool wide = instruction.MemoryBase.GetSize() == 8;
        memory.Check(instruction, 1, write: false, exit, () =>
        {
            code.Add(Instruction.Create(Code.Movzx_r32_rm8, Register.R11D, Register.R9L));
            code.Pair(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Second, wide);
        });
        registers.FromMemory(HostRegisters.Second, 1);
        registers.Store(Register.AL, HostRegisters.Second);
    }

    /// <summary>What lies at the address in the first scratch register waits in the context.</summary>
    private void Keep()
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, 0, wide: !memory.Narrow);
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Target);
    }

    private void Give()
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, ContextLayout.Target);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.First, 0, wide: !memory.Narrow);
    }
}
