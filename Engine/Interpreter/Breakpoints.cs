using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>The breakpoints of DR0 to DR3 (Intel SDM 3B, 17.2.4): which of them an instruction or an access meets. I/O breakpoints are not kept.</summary>
internal static class Breakpoints
{
    private const ulong Enables = 0xff;
    private const int Execute = 0, Write = 1, ReadWrite = 3;

    /// <summary>Whether any breakpoint is on.</summary>
    public static bool AreOn(in CpuState state) => (state.Dr7 & Enables) != 0;

    /// <summary>The DR6 bits of the instruction breakpoints at a linear address.</summary>
    public static ulong AtInstruction(in CpuState state, ulong linear)
    {
        ulong hits = 0;
        for (int i = 0; i < 4; i++)
            if (IsOn(state, i) && Kind(state, i) == Execute && Address(state, i) == linear)
                hits |= 1ul << i;
        return hits;
    }

    /// <summary>The DR6 bits of the data breakpoints that an access touches.</summary>
    public static ulong AtData(in CpuState state, ulong linear, int size, bool write)
    {
        ulong hits = 0;
        for (int i = 0; i < 4; i++)
        {
            if (!IsOn(state, i) || !(Kind(state, i) == ReadWrite || (write && Kind(state, i) == Write)))
                continue;
            ulong length = Length(state, i), start = Address(state, i) & ~(length - 1);
            if (linear < start + length && start < linear + (ulong)size)
                hits |= 1ul << i;
        }
        return hits;
    }

    private static bool IsOn(in CpuState state, int i) => (state.Dr7 >> (i * 2) & 3) != 0;

    private static int Kind(in CpuState state, int i) => (int)(state.Dr7 >> (16 + i * 4)) & 3;

    /// <summary>1, 2, 8 or 4 bytes, by the field's value.</summary>
    private static ulong Length(in CpuState state, int i) => (state.Dr7 >> (18 + i * 4) & 3) switch
    {
        0 => 1,
        1 => 2,
        2 => 8,
        _ => 4,
    };

    private static ulong Address(in CpuState state, int i) => i switch
    {
        0 => state.Dr0,
        1 => state.Dr1,
        2 => state.Dr2,
        _ => state.Dr3,
    };
}
