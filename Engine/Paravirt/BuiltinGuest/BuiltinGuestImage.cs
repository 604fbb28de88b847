using Godwit.Engine.Machine;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>
/// The built-in guest, ready to be copied to RAM. The CPU enters it in 64-bit mode: CR0 PE, PG; CR4 PAE; EFER LME, LMA; CR3 = <see cref="PageTables"/>; RIP = <see cref="Entry"/>; flat 64-bit code segment and flat data segments at
/// CPL 0; RFLAGS 2 (interrupts off). It expects nothing of the other registers and brings its own GDT, IDT, task and stack.
/// </summary>
public sealed record BuiltinGuestImage
{
    /// <summary>The image, from <see cref="LoadAddress"/> on.</summary>
    public required ReadOnlyMemory<byte> Bytes { get; init; }

    public required GuestPhysicalAddress LoadAddress { get; init; }

    /// <summary>First instruction; addresses are mapped to themselves.</summary>
    public required GuestVirtualAddress Entry { get; init; }

    /// <summary>The value of CR3.</summary>
    public required GuestPhysicalAddress PageTables { get; init; }

    /// <summary>Builds the guest for a machine; the same arguments give the same bytes.</summary>
    /// <param name="ramBytes">The machine's RAM in bytes.</param>
    /// <param name="tscHz">Its TSC's frequency, for a machine without kvmclock.</param>
    /// <exception cref="MachineException">The parameters do not fit in RAM.</exception>
    public static BuiltinGuestImage Build(BuiltinGuestParameters parameters, ulong ramBytes, ulong tscHz)
    {
        BuiltinGuestLayout layout = BuiltinGuestLayout.For(parameters, ramBytes);
        byte[] image = new byte[layout.ImageEnd - BuiltinGuestLayout.Load];
        BuiltinGuestKernel kernel = new(parameters, layout, TscScale.For(tscHz));
        kernel.WriteTo(At(image, BuiltinGuestLayout.Load, BuiltinGuestLayout.CodeBytes), At(image, BuiltinGuestLayout.Idt, BuiltinGuestTables.IdtBytes));
        BuiltinGuestTables.WriteDescriptors(
            At(image, BuiltinGuestLayout.Descriptors, PageNumber.Size),
            BuiltinGuestLayout.Descriptors,
            BuiltinGuestLayout.Idt,
            BuiltinGuestLayout.FaultStack);
        BuiltinGuestTables.WritePageTables(
            At(image, BuiltinGuestLayout.PageTables, layout.ImageEnd - BuiltinGuestLayout.PageTables),
            BuiltinGuestLayout.PageTables,
            ramBytes);
        return new BuiltinGuestImage
        {
            Bytes = image,
            LoadAddress = new GuestPhysicalAddress(BuiltinGuestLayout.Load),
            Entry = new GuestVirtualAddress(BuiltinGuestLayout.Load),
            PageTables = new GuestPhysicalAddress(BuiltinGuestLayout.PageTables),
        };
    }

    private static Span<byte> At(byte[] image, ulong address, ulong bytes) =>
        image.AsSpan((int)(address - BuiltinGuestLayout.Load), (int)bytes);
}
