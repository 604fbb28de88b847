using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits instructions with AH to DH, which cannot be named together with the host's upper registers: on copies in the
/// scratch registers.
/// </summary>
internal sealed class HighByteCode(HostEmitter code, MemoryCode memory, FlagCode flags, RegisterCode registers)
{
    /// <summary>The instruction with AL to DL for AH to DH must be one that is copied.</summary>
    public static void Classify(ref GuestInstruction guest)
    {
        if (!HostFeatures.HasBmi2 || guest.Instruction.Mnemonic == Mnemonic.Cmpxchg)
            return;
        bool any = false;
        Instruction low = guest.Instruction;
        for (int i = 0; i < low.OpCount; i++)
        {
            if (low.GetOpKind(i) != OpKind.Register || !RegisterCode.IsHigh(low.GetOpRegister(i)))
                continue;
            low.SetOpRegister(i, low.GetOpRegister(i) - Register.AH + Register.AL);
            any = true;
        }
        if (!any)
            return;
        GuestInstruction like = GuestInstruction.Of(low);
        if (like.Form != Form.Copied || like.Flags == FlagResult.Unlike)
            return;
        like.Instruction = guest.Instruction;
        like.Form = Form.HighByte;
        like.Stays = like.Memory == MemoryUse.None;
        guest = like;
    }

    public bool Emit(ref GuestInstruction guest, Action<int> exit)
    {
        ref Instruction original = ref guest.Instruction;
        Instruction instruction = original;
        int scratch = HostRegisters.First;
        if (guest.Memory != MemoryUse.None)
        {
            memory.Check(instruction, instruction.MemorySize.GetSize(), guest.Memory == MemoryUse.Write, exit);
            RegisterCode.AtAddress(ref instruction);
            scratch = HostRegisters.Second;
        }
        flags.Prepare(guest.Flags, guest.Live);
        flags.Need(guest.Reads);
        int first = -1, second = -1;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) != OpKind.Register)
                continue;
            Register register = instruction.GetOpRegister(i);
            int host = registers.Load(register, scratch);
            if (host == scratch)
                scratch++;
            if (RegisterCode.IsHigh(register))
                (first, second) = i == 0 ? (host, second) : (first, host);
            instruction.SetOpRegister(i, HostRegisters.OfSize(host, register));
        }
        if (guest.UsesAccumulator)
        {
            if (guest.Flags == FlagResult.None)
                flags.FreeRax();
            code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        }
        if (!code.Copy(instruction))
            return false;
        if (guest.UsesAccumulator)
            code.Move(HostRegisters.Accumulator, HostRegisters.Rax);
        flags.Written(guest.Flags, guest.Live, guest.Flags != FlagResult.Product ? Register.None
            : HostRegisters.OfSize(HostRegisters.Accumulator, Register.AL));
        if (original.Mnemonic is Mnemonic.Cmp or Mnemonic.Test || guest.UsesAccumulator)
            return true;
        // The first operand goes last: of XADD with one register for both the sum stays. Storing takes the other scratch
        // register, so that with two copies the first waits in the context.
        if (second >= 0 && original.Mnemonic is Mnemonic.Xchg or Mnemonic.Xadd)
        {
            if (first >= 0)
                code.Memory(HostEmitter.MovStore, first, HostRegisters.Context, ContextLayout.Target);
            registers.Store(original.Op1Register, second);
            if (first >= 0)
                code.Memory(HostEmitter.MovLoad, first, HostRegisters.Context, ContextLayout.Target);
        }
        if (first >= 0)
            registers.Store(original.Op0Register, first);
        return true;
    }
}
