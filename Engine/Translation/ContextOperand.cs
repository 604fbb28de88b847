using System.Collections.Concurrent;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>Makes a register operand that lies in the context a memory operand there, where an instruction only reads it.</summary>
internal static class ContextOperand
{
    private static readonly ConcurrentDictionary<Code, Code> _reversed = new();

    /// <summary>Replaces one operand of an instruction that has none in memory; tells whether it did.</summary>
    public static bool Replace(ref Instruction instruction, RegisterMap map)
    {
        if (!IsPlain(instruction.Mnemonic))
            return false;
        Register first = instruction.Op0Register;
        bool compares = instruction.Mnemonic is Mnemonic.Cmp or Mnemonic.Test;
        if (instruction.OpCount >= 2 && instruction.Op1Kind == OpKind.Register && InContext(instruction.Op1Register, map)
            && (compares || HostRegisters.Number(first) != HostRegisters.Number(instruction.Op1Register)))
        {
            Register second = instruction.Op1Register;
            if (instruction.Mnemonic == Mnemonic.Test)
            {
                // The first operand is the one that may lie in memory.
                instruction.Op1Register = first;
                PutInContext(ref instruction, 0, second);
                return true;
            }
            Code code = _reversed.GetOrAdd(instruction.Code, Reverse);
            if (!TakesMemory(code, 1))
                return false;
            instruction.Code = code;
            PutInContext(ref instruction, 1, second);
            return true;
        }
        if (!compares || !InContext(first, map) || !TakesMemory(instruction.Code, 0))
            return false;
        PutInContext(ref instruction, 0, first);
        return true;
    }

    /// <summary>Instructions whose source in memory is read as it would be in a register, and whose destination is read, or written as a whole.</summary>
    private static bool IsPlain(Mnemonic mnemonic) => mnemonic is Mnemonic.Add or Mnemonic.Or or Mnemonic.Adc or Mnemonic.Sbb or Mnemonic.And
        or Mnemonic.Sub or Mnemonic.Xor or Mnemonic.Cmp or Mnemonic.Mov or Mnemonic.Test or Mnemonic.Imul or Mnemonic.Movzx or Mnemonic.Movsx
        or Mnemonic.Movsxd;

    private static bool InContext(Register register, RegisterMap map) => !RegisterCode.IsHigh(register) && map.Home(HostRegisters.Number(register)) < 0;

    private static bool TakesMemory(Code code, int operand) =>
        code.ToOpCode().GetOpKind(operand) is OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem;

    private static void PutInContext(ref Instruction instruction, int operand, Register register)
    {
        int place = ContextLayout.Gpr + 8 * HostRegisters.Number(register);
        instruction.SetOpKind(operand, OpKind.Memory);
        instruction.MemoryBase = Register.RAX + HostRegisters.Context;
        instruction.MemoryIndex = Register.None;
        instruction.MemoryIndexScale = 1;
        instruction.MemoryDisplacement64 = (ulong)place;
        instruction.MemoryDisplSize = place == 0 ? 0 : place <= sbyte.MaxValue ? 1 : 8;
        instruction.SegmentPrefix = Register.None;
    }

    /// <summary>The form of an instruction with its source for the operand that may lie in memory: itself, if it has no other.</summary>
    private static Code Reverse(Code code)
    {
        string[] parts = code.ToString().Split('_');
        return parts.Length == 3 && parts[1].StartsWith("rm", StringComparison.Ordinal) && parts[2] == parts[1].Replace("rm", "r", StringComparison.Ordinal)
            && Enum.TryParse($"{parts[0]}_{parts[2]}_{parts[1]}", out Code reversed) ? reversed : code;
    }
}
