using System.Collections.Concurrent;
using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// How flags that were destroyed are made again: by the comparison that made them, by a test of a result, or by taking an
/// addition back and doing it once more. It holds as long as the registers in it are not written.
/// </summary>
internal readonly struct FlagRecipe : IEquatable<FlagRecipe>
{
    private static readonly ConcurrentDictionary<Code, Code> _inverses = new();

    private FlagRecipe(in Instruction instruction, Instruction? inverse, FlagResult result)
    {
        Instruction = instruction;
        Inverse = inverse;
        Result = result;
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Register)
                Registers |= 1u << HostRegisters.Number(instruction.GetOpRegister(i));
    }

    /// <summary>The instruction that makes the flags, with host registers.</summary>
    public Instruction Instruction { get; }

    /// <summary>What comes before it.</summary>
    public Instruction? Inverse { get; }

    /// <summary>How the flags that it makes are to be read: Arithmetic or Logic. None: there is no recipe.</summary>
    public FlagResult Result { get; }

    /// <summary>The host registers that it uses, a bit each.</summary>
    public uint Registers { get; }

    public bool Exists => Result != FlagResult.None;

    /// <summary>The recipe of an instruction on host registers, which has run; there may be none.</summary>
    public static FlagRecipe Of(in Instruction instruction, FlagResult result)
    {
        if (result is not (FlagResult.Arithmetic or FlagResult.Logic) || instruction.OpCount != 2 || instruction.Op0Kind != OpKind.Register || !IsHome(instruction.Op0Register))
            return default;
        // Of what has made a logical result nothing is asked.
        bool isLogic = instruction.Mnemonic is Mnemonic.And or Mnemonic.Or or Mnemonic.Xor;
        if (!isLogic && (instruction.Op1Kind == OpKind.Memory || (instruction.Op1Kind == OpKind.Register && !IsHome(instruction.Op1Register))))
            return default;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Cmp or Mnemonic.Test:
                return new FlagRecipe(instruction, null, result);
            case Mnemonic.And or Mnemonic.Or or Mnemonic.Xor:
                return new FlagRecipe(FlagCode.Test(instruction.Op0Register), null, result);
            case Mnemonic.Add or Mnemonic.Sub when instruction.Op1Kind != OpKind.Register || HostRegisters.Number(instruction.Op0Register) != HostRegisters.Number(instruction.Op1Register):
                Instruction inverse = instruction;
                inverse.Code = _inverses.GetOrAdd(instruction.Code, Invert);
                return new FlagRecipe(instruction, inverse, result);
            default:
                return default;
        }
    }

    public bool Equals(FlagRecipe other) =>
        Result == other.Result && (!Exists || (Instruction.Equals(other.Instruction) && Nullable.Equals(Inverse, other.Inverse)));

    public override bool Equals(object? obj) => obj is FlagRecipe other && Equals(other);

    public override int GetHashCode() => HashCode.Combine(Result, Registers);

    private static bool IsHome(Register register) =>
        register.IsGPR() && HostRegisters.Number(register) is not (HostRegisters.Rax or HostRegisters.First or HostRegisters.Second or HostRegisters.Context);

    private static Code Invert(Code code)
    {
        string name = code.ToString();
        return Enum.Parse<Code>(name.StartsWith("Add", StringComparison.Ordinal) ? "Sub" + name[3..] : "Add" + name[3..]);
    }
}
