using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>Emits LOOP, LOOPE, LOOPNE, JRCXZ and JECXZ, each of which ends its block.</summary>
internal sealed class LoopCode(HostEmitter code, FlagCode flags, EdgeCode edges)
{
    private const int Rcx = 1;

    /// <summary>Whether an instruction is one of those here; those that count in CX are not.</summary>
    public static bool Classify(ref GuestInstruction guest)
    {
        Mnemonic mnemonic = guest.Instruction.Mnemonic;
        if (mnemonic is not (Mnemonic.Loop or Mnemonic.Loope or Mnemonic.Loopne or Mnemonic.Jrcxz or Mnemonic.Jecxz)
            || guest.Instruction.Op0Kind is not (OpKind.NearBranch64 or OpKind.NearBranch32) || CountBytes(guest.Instruction) == 2)
            return false;
        guest.Form = Form.Loop;
        guest.Reads = mnemonic is Mnemonic.Loope or Mnemonic.Loopne ? RflagsBits.ZF : RflagsBits.None;
        return true;
    }

    /// <summary>Emits the branch; the flags that it reads are in the host's, and those of the guest are settled.</summary>
    /// <param name="instruction">The branch.</param>
    /// <param name="target">Where it goes to.</param>
    /// <param name="next">The RIP of the instruction behind it.</param>
    public void Emit(in Instruction instruction, ulong target, ulong next)
    {
        bool wide = CountBytes(instruction) == 8;
        int over = -1;
        if (instruction.Mnemonic is not (Mnemonic.Jrcxz or Mnemonic.Jecxz))
            code.Memory(HostEmitter.LeaOp, Rcx, Rcx, -1, wide);
        if (instruction.Mnemonic is Mnemonic.Loope or Mnemonic.Loopne)
            over = code.JumpIf(instruction.Mnemonic == Mnemonic.Loope ? HostEmitter.IfNotEqual : HostEmitter.IfEqual);
        flags.Save();
        code.Pair(HostEmitter.TestOp, Rcx, Rcx, wide);
        edges.FollowIf(instruction.Mnemonic is Mnemonic.Jrcxz or Mnemonic.Jecxz ? HostEmitter.IfEqual : HostEmitter.IfNotEqual, target, instruction.IP);
        if (over >= 0)
            code.Land(over);
        edges.Follow(next, instruction.IP);
    }

    private static int CountBytes(in Instruction instruction) => instruction.Mnemonic switch
    {
        Mnemonic.Jrcxz => 8,
        Mnemonic.Jecxz => 4,
        _ => instruction.OpCode.AddressSize / 8,
    };
}
