using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>Loads the built-in guest for <see cref="BootProtocol.Builtin"/>.</summary>
public static class BuiltinGuestLoader
{
    /// <summary>Copies the guest to RAM and tells how to enter it.</summary>
    /// <param name="commandLine">The guest's parameters (docs/builtin-guest.md).</param>
    /// <param name="tscHz">The TSC's frequency, for a machine without kvmclock.</param>
    /// <exception cref="MachineException">A parameter is wrong, or does not fit in RAM.</exception>
    public static BootEntry Load(GuestMemory memory, string commandLine, ulong tscHz)
    {
        BuiltinGuestImage image = BuiltinGuestImage.Build(BuiltinGuestParameters.Parse(commandLine), memory.Size, tscHz);
        if (!memory.TryWrite(image.LoadAddress, image.Bytes.Span))
            throw new InvalidOperationException("the built-in guest was laid out beyond RAM");
        return new BootEntry
        {
            Mode = BootMode.LongMode64,
            Rip = image.Entry.Value,
            Cr0 = BootDescriptors.Cr0Protected | BootDescriptors.Cr0Paging,
            Cr3 = image.PageTables.Value,
            Cr4 = BootDescriptors.Cr4Pae,
            Efer = BootDescriptors.EferLongMode,
            Gdt = new GuestPhysicalAddress(BuiltinGuestLayout.Descriptors),
            GdtLimit = BuiltinGuestTables.GdtBytes - 1,
            CodeSelector = BuiltinGuestTables.CodeSelector,
            CodeDescriptor = BootDescriptors.Code64,
            DataSelector = BuiltinGuestTables.DataSelector,
            DataDescriptor = BootDescriptors.Data,
        };
    }
}
