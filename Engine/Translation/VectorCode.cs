using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits vector instructions: the guest's own, on the host's vector registers of the same numbers, which
/// <see cref="VectorRegisters"/> has loaded. Memory operands are read and written in place once their page is known.
/// </summary>
internal sealed class VectorCode(HostEmitter code, MemoryCode memory, FlagCode flags)
{
    /// <summary>Bytes from which on operands may have to be aligned.</summary>
    public const int Aligned = 16;

    /// <summary>Emits the instruction; false: it cannot be encoded.</summary>
    public bool Emit(ref GuestInstruction guest, Action<int> exit, Action<int> apart)
    {
        Instruction instruction = guest.Instruction;
        int scratch = HostRegisters.First;
        if (guest.Memory != MemoryUse.None)
        {
            Address(ref guest, ref instruction, exit, apart);
            scratch = HostRegisters.Second;
        }
        int written = -1, home = -1;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) != OpKind.Register || !instruction.GetOpRegister(i).IsGPR())
                continue;
            Register register = instruction.GetOpRegister(i);
            int number = HostRegisters.Number(register);
            if (i == 0)
            {
                // The first operand is written and never read.
                written = number;
                home = memory.Home(number) >= 0 ? memory.Home(number) : scratch;
                if (home == HostRegisters.First)
                    memory.Forget();
                instruction.Op0Register = HostRegisters.OfSize(home, register);
            }
            else
                instruction.SetOpRegister(i, HostRegisters.OfSize(memory.Load(number, scratch), register));
        }
        flags.Prepare(guest.Flags, guest.Live);
        if (guest.UsesAccumulator)
        {
            if (guest.Flags == FlagResult.None)
                flags.FreeRax();
            code.Move(HostRegisters.Rax, HostRegisters.Accumulator);
        }
        if (!code.Copy(instruction))
            return false;
        if (written >= 0)
            memory.Store(written, home);
        flags.Written(guest.Flags, guest.Live, Register.None);
        return true;
    }

    /// <summary>Checks a memory operand and replaces it by its host address.</summary>
    private void Address(ref GuestInstruction guest, ref Instruction instruction, Action<int> exit, Action<int> apart)
    {
        int displacement = memory.Reach(guest, exit, apart);
        int size = instruction.MemorySize.GetSize();
        if (!guest.IsAligned && !guest.IsReached && size >= Aligned && (VectorForms.Of(instruction.Code) & VectorTraits.Aligned) != 0)
            memory.Align(displacement, size, exit);
        memory.Replace(ref instruction, displacement);
    }
}
