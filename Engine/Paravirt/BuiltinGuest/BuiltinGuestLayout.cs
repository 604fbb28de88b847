using Godwit.Engine.Machine;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>Where the built-in guest keeps what, in guest physical addresses (equal to virtual ones).</summary>
internal sealed record BuiltinGuestLayout
{
    /// <summary>The image begins here, with the code; its first byte is the entry.</summary>
    public const ulong Load = 0x10_0000;

    public const ulong CodeBytes = 0x4000;

    /// <summary>GDT and task state.</summary>
    public const ulong Descriptors = Load + CodeBytes;

    public const ulong Idt = Descriptors + PageNumber.Size;

    /// <summary>Variables, the line buffer, kvmclock's page, the free list.</summary>
    public const ulong Data = Idt + PageNumber.Size;

    public const ulong DataBytes = 2 * PageNumber.Size;

    /// <summary>The page of the Subscribe hypercall.</summary>
    public const ulong SharedPage = Data + DataBytes;

    private const ulong StackBytes = 2 * PageNumber.Size;

    /// <summary>Top of the stack of the program and its interrupts.</summary>
    public const ulong Stack = SharedPage + PageNumber.Size + StackBytes;

    /// <summary>Top of the stack of exceptions, so that they can be told even where the other one is broken.</summary>
    public const ulong FaultStack = Stack + StackBytes;

    public const ulong PageTables = FaultStack;

    /// <summary>RAM in bytes.</summary>
    public required ulong RamBytes { get; init; }

    /// <summary>First address after the image.</summary>
    public required ulong ImageEnd { get; init; }

    public required int WorkingSetPages { get; init; }

    public required int FreePages { get; init; }

    public ulong WorkingSet => ImageEnd;

    /// <summary>A quadword for each page of the working set.</summary>
    public ulong Generations => WorkingSet + (ulong)WorkingSetPages * PageNumber.Size;

    /// <summary>The free pages are the last of RAM.</summary>
    public ulong FreeStart => RamBytes - (ulong)FreePages * PageNumber.Size;

    /// <summary>Lays the guest out, or throws <see cref="MachineException"/> where RAM is too small for its parameters.</summary>
    public static BuiltinGuestLayout For(BuiltinGuestParameters parameters, ulong ramBytes)
    {
        ulong ramPages = ramBytes / PageNumber.Size;
        BuiltinGuestLayout layout = new()
        {
            RamBytes = ramBytes,
            ImageEnd = PageTables + BuiltinGuestTables.PageTableBytes(ramBytes),
            WorkingSetPages = parameters.WorkingSetPages ?? (int)Math.Min(ramPages / 4, int.MaxValue),
            FreePages = parameters.FreePages ?? (int)Math.Min(ramPages / 2, int.MaxValue),
        };
        ulong free = (ulong)layout.FreePages * PageNumber.Size;
        ulong needed = layout.Generations + (ulong)layout.WorkingSetPages * sizeof(ulong) + free;
        return needed <= ramBytes
            ? layout
            : throw new MachineException(
                $"the built-in guest needs {(needed + (1 << 20) - 1) >> 20} MiB for a working set of {(ulong)layout.WorkingSetPages * PageNumber.Size >> 20} MiB and {free >> 20} MiB of free pages, but has {ramBytes >> 20} MiB");
    }
}
