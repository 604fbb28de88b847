using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Tells which memory operands of a loop's block stay near where they were the turn before: those whose registers move by
/// steps, or are cut to small numbers. Others, loaded pointers and hashes, are in another page each time.
/// </summary>
internal sealed class LoopOperands
{
    private const ulong Small = 4095;

    private readonly InstructionInfoFactory _registers = new();
    private readonly Place[] _places = new Place[16];

    /// <summary>What is known of a register's value.</summary>
    private enum Place
    {
        /// <summary>It stays, or moves by steps.</summary>
        Steady,

        /// <summary>Any.</summary>
        Wild,
    }

    public void Find(Span<GuestInstruction> loop)
    {
        Array.Fill(_places, Place.Steady);
        // What the turn before has left is known only after a turn, and what that makes of copies after another.
        for (int turn = 0; turn < 3; turn++)
            for (int i = 0; i < loop.Length; i++)
            {
                ref readonly Instruction instruction = ref loop[i].Instruction;
                loop[i].Wanders = loop[i].Memory != MemoryUse.None && (IsWild(instruction.MemoryBase) || IsWild(instruction.MemoryIndex));
                Follow(instruction);
            }
        Fix(loop);
    }

    /// <summary>Finds operands whose registers nothing writes.</summary>
    private void Fix(Span<GuestInstruction> loop)
    {
        uint written = 0;
        foreach (ref readonly GuestInstruction guest in loop)
            foreach (UsedRegister used in _registers.GetInfo(guest.Instruction).GetUsedRegisters())
                if (used.Register.IsGPR() && used.Access is not (OpAccess.Read or OpAccess.CondRead or OpAccess.None or OpAccess.NoMemAccess))
                    written |= 1u << HostRegisters.Number(used.Register);
        byte place = 0;
        foreach (ref GuestInstruction guest in loop)
        {
            ref readonly Instruction instruction = ref guest.Instruction;
            guest.IsFixed = place < MemoryCode.Places && guest.Form is Form.Copied or Form.Vector && guest.Memory != MemoryUse.None
                && !IsWritten(instruction.MemoryBase) && !IsWritten(instruction.MemoryIndex);
            if (guest.IsFixed)
                guest.Place = place++;
        }

        bool IsWritten(Register register) => register.IsGPR() && (written >> HostRegisters.Number(register) & 1) != 0;
    }

    private bool IsWild(Register register) => register.IsGPR() && _places[register.GetFullRegister() - Register.RAX] == Place.Wild;

    private void Follow(in Instruction instruction)
    {
        foreach (UsedRegister used in _registers.GetInfo(instruction).GetUsedRegisters())
        {
            if (!used.Register.IsGPR() || used.Access is OpAccess.Read or OpAccess.CondRead or OpAccess.None or OpAccess.NoMemAccess)
                continue;
            Register full = used.Register.GetFullRegister();
            ref Place place = ref _places[full - Register.RAX];
            if (instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register && instruction.Op0Register.GetFullRegister() == full)
                place = instruction.Op0Register.GetSize() >= 4 ? After(instruction, place) : Place.Wild;
            else if (full != Register.RSP)
                place = Place.Wild;
        }
    }

    private Place After(in Instruction instruction, Place before)
    {
        bool constant = instruction.OpCount == 2 && instruction.Op1Kind is >= OpKind.Immediate8 and <= OpKind.Immediate32to64;
        bool register = instruction.OpCount == 2 && instruction.Op1Kind == OpKind.Register;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Inc or Mnemonic.Dec:
                return before;
            case Mnemonic.Add or Mnemonic.Sub:
                return constant || (register && !IsWild(instruction.Op1Register)) ? before : Place.Wild;
            case Mnemonic.And when constant && instruction.GetImmediate(1) <= Small:
                return Place.Steady;
            case Mnemonic.Movzx when instruction.Op1Kind == OpKind.Memory ? instruction.MemorySize.GetSize() == 1 : instruction.Op1Register.GetSize() == 1:
                return Place.Steady;
            case Mnemonic.Mov when constant:
                return Place.Steady;
            case Mnemonic.Mov or Mnemonic.Movsxd or Mnemonic.Movzx when register:
                return IsWild(instruction.Op1Register) ? Place.Wild : Place.Steady;
            case Mnemonic.Lea:
                return IsWild(instruction.MemoryBase) || IsWild(instruction.MemoryIndex) ? Place.Wild : Place.Steady;
            default:
                return Place.Wild;
        }
    }
}
