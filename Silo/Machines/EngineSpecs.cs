using Godwit.Engine.Machine;
using Godwit.Grains.Images;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Silo.Machines;

/// <summary>From a cluster's definition of a VM to the engine's.</summary>
internal static class EngineSpecs
{
    public static MachineSpec ToSpec(VmDefinition definition) => new()
    {
        MemoryBytes = (ulong)definition.MemoryBytes,
        VcpuCount = definition.VcpuCount,
        CpuLevel = (CpuLevel)definition.CpuLevel,
        Clock = definition.Clock == VmClock.InstructionCount ? ClockMode.InstructionCount : ClockMode.Host,
        TscHz = MachineSpecs.DefaultTscHz,
        Boot = new BootSource
        {
            Protocol = definition.Boot switch
            {
                VmBoot.Linux => BootProtocol.Linux,
                VmBoot.Multiboot => BootProtocol.Multiboot,
                _ => BootProtocol.Builtin,
            },
            Kernel = definition.Kernel,
            Initrd = definition.Initrd,
            CommandLine = definition.CommandLine,
        },
    };

    /// <summary>The boot images, from the store; their hashes are checked there.</summary>
    public static async Task<BootImages> LoadAsync(VmDefinition definition, IImageStore images, CancellationToken cancellation) =>
        new(await LoadAsync(definition.Kernel, images, cancellation), await LoadAsync(definition.Initrd, images, cancellation));

    private static async Task<ReadOnlyMemory<byte>> LoadAsync(string? hash, IImageStore images, CancellationToken cancellation)
    {
        if (hash is null)
        {
            return default;
        }

        try
        {
            return await images.ReadAsync(hash, cancellation)
                ?? throw new ClusterException(ClusterError.NotFound, $"The image store has no image {hash} any more; upload it again.");
        }
        catch (InvalidDataException e)
        {
            throw new ClusterException(ClusterError.Failed, e.Message);
        }
    }
}
