using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.GuestCode;

/// <summary>Hands out addresses in a program's data, below 2 GiB so that code may name them directly.</summary>
internal sealed class VariableArea(ulong start, ulong length)
{
    private readonly ulong _end = start + length;
    private ulong _next = start;

    /// <summary>A quadword.</summary>
    public Variable Quadword() => new(Reserve(sizeof(ulong), sizeof(ulong)));

    /// <summary>Bytes with an alignment, a power of two.</summary>
    public ulong Reserve(ulong bytes, ulong alignment)
    {
        ulong address = (_next + alignment - 1) & ~(alignment - 1);
        if (address + bytes > _end)
            throw new InvalidOperationException($"the guest program's data area, which ends at 0x{_end:x}, is used up");
        _next = address + bytes;
        return address;
    }
}

/// <summary>A quadword of guest data at a fixed address.</summary>
internal readonly record struct Variable(ulong Address)
{
    public static implicit operator AssemblerMemoryOperand(Variable variable) => __qword_ptr[variable.Address];
}
