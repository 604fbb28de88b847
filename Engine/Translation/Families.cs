using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>The families of instructions that need more than the guest's own encoding, each with its emitter.</summary>
internal sealed class Families
{
    private readonly DivisionCode _division;
    private readonly RotateCode _rotates;
    private readonly BitCode _bits;
    private readonly StringCode _strings;
    private readonly HighByteCode _highBytes;
    private readonly StateCode _state;
    private readonly StackCode _stack;

    public Families(HostEmitter code, MemoryCode memory, FlagCode flags)
    {
        RegisterCode registers = new(code, memory);
        _division = new DivisionCode(code, memory, flags, registers);
        _rotates = new RotateCode(code, memory, flags, registers);
        _bits = new BitCode(code, memory, flags, registers);
        _strings = new StringCode(code, memory, flags, registers);
        _highBytes = new HighByteCode(code, memory, flags, registers);
        _state = new StateCode(code, memory, flags, registers);
        _stack = new StackCode(code, memory, registers);
    }

    /// <summary>Finds the family of an instruction; there may be none.</summary>
    /// <param name="guest">The instruction without rep prefixes.</param>
    /// <param name="decoded">The same as it was decoded.</param>
    public static void Classify(ref GuestInstruction guest, in Instruction decoded)
    {
        switch (guest.Instruction.Mnemonic)
        {
            case Mnemonic.Div or Mnemonic.Idiv when HostFeatures.HasBmi2 || guest.Instruction.Op0Kind == OpKind.Memory || !RegisterCode.IsHigh(guest.Instruction.Op0Register):
                guest.Form = Form.Division;
                guest.Memory = guest.Instruction.Op0Kind == OpKind.Memory ? MemoryUse.Read : MemoryUse.None;
                break;
            case Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar:
                RotateCode.TryKeepFlags(ref guest);
                break;
            case Mnemonic.Cmpxchg when guest.Instruction.Op0Register.GetFullRegister() != Register.RAX && guest.Instruction.Op0Register.GetSize() != 4:
                guest.UsesAccumulator = true;
                guest.Copy(FlagResult.Arithmetic, MemoryUse.None);
                break;
            case Mnemonic.Pause or Mnemonic.Prefetchnta or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2
                or Mnemonic.Prefetchw or Mnemonic.Lfence or Mnemonic.Sfence or Mnemonic.Endbr32:
                guest.Form = Form.Nothing;
                break;
            default:
                if (!PrivilegeCode.Classify(ref guest) && !BitCode.Classify(ref guest) && !StringCode.Classify(ref guest, decoded) && !StateCode.Classify(ref guest)
                    && !StackCode.Classify(ref guest))
                    HighByteCode.Classify(ref guest);
                break;
        }
        if (guest.Form == Form.Interpreted)
            guest.Flags = FlagResult.None;
    }

    /// <summary>Emits an instruction of a family; false: it cannot be encoded.</summary>
    public bool Emit(ref GuestInstruction guest, Action<int> exit) => guest.Form switch
    {
        Form.Division => _division.Emit(ref guest, exit),
        Form.Rotate => _rotates.Emit(ref guest, exit),
        Form.Bits => _bits.Emit(ref guest, exit),
        Form.String => _strings.Emit(ref guest, exit),
        Form.HighByte => _highBytes.Emit(ref guest, exit),
        Form.State => _state.Emit(ref guest, exit),
        Form.Stack => _stack.Emit(ref guest, exit),
        _ => false,
    };
}
