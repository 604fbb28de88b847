using Godwit.Engine.Cpu;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Godwit.Engine.Paravirt.BuiltinGuest;

namespace Godwit.Engine.Machine;

/// <summary>Loads a machine's boot images and puts its processor where they begin.</summary>
internal static class GuestLoader
{
    /// <summary>Throws <see cref="MachineException"/> with one line for images that cannot be booted.</summary>
    public static void Load(MachineSpec spec, GuestMemory memory, BootImages images, GuestPhysicalAddress rsdp, Vcpu vcpu)
    {
        try
        {
            BootRequest request = new()
            {
                Kernel = images.Kernel,
                KernelName = spec.Boot.Kernel ?? "kernel",
                Initrd = images.Initrd,
                CommandLine = spec.Boot.CommandLine,
                AcpiRsdp = rsdp,
            };
            BootEntry entry = spec.Boot.Protocol switch
            {
                BootProtocol.Linux => LinuxBootLoader.Load(memory, request),
                BootProtocol.Multiboot => MultibootLoader.Load(memory, request),
                _ => BuiltinGuestLoader.Load(memory, spec.Boot.CommandLine, spec.TscHz),
            };
            Enter(entry, vcpu);
        }
        catch (BootException problem)
        {
            throw new MachineException(problem.Message, problem);
        }
    }

    private static void Enter(BootEntry entry, Vcpu vcpu)
    {
        ref CpuState state = ref vcpu.State;
        state.Rip = entry.Rip;
        vcpu[Gpr.RSP] = entry.Rsp;
        vcpu[Gpr.RAX] = entry.Rax;
        vcpu[Gpr.RBX] = entry.Rbx;
        vcpu[Gpr.RSI] = entry.Rsi;
        vcpu[Gpr.RDX] = 0;
        state.Cr0 = entry.Cr0;
        state.Cr3 = entry.Cr3;
        state.Cr4 = entry.Cr4;
        state.Efer = entry.Efer;
        state.Gdtr = new DescriptorTable { Base = entry.Gdt.Value, Limit = entry.GdtLimit };
        state.Idtr = default;
        state.Cs = Flat(entry.CodeSelector, entry.CodeDescriptor);
        Segment data = Flat(entry.DataSelector, entry.DataDescriptor);
        state.Ds = data;
        state.Es = data;
        state.Fs = data;
        state.Gs = data;
        state.Ss = data;
    }

    // What the processor would have loaded from the descriptor (Intel SDM vol. 3, 3.4.5).
    private static Segment Flat(ushort selector, ulong descriptor)
    {
        uint limit = (uint)(descriptor & 0xffff) | (uint)(descriptor >> 32) & 0xf0000;
        ushort attributes = (ushort)((descriptor >> 40) & 0xf0ff);
        return new Segment
        {
            Selector = selector,
            Base = (descriptor >> 16) & 0xffffff | (descriptor >> 32) & 0xff000000,
            Limit = (attributes & Segment.G) != 0 ? limit << 12 | 0xfff : limit,
            Attributes = attributes,
        };
    }
}
