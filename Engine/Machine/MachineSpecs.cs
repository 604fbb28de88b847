using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine;

/// <summary>Makes and checks machine specs.</summary>
public static class MachineSpecs
{
    /// <summary>The least RAM that any guest can start in: 1 MiB for the PC's low memory and 1 MiB above it.</summary>
    public const ulong MinMemoryBytes = 2UL << 20;

    /// <summary>RAM ends where the device hole begins; a second bank above 4 GiB is not built yet.</summary>
    public const ulong MaxMemoryBytes = PhysicalMemoryMap.DeviceHole;

    /// <summary>Threads that a machine may ask of its host.</summary>
    public const int MaxVcpus = 16;

    /// <summary>One tick a nanosecond: guest time and TSC are the same number.</summary>
    public const ulong DefaultTscHz = 1_000_000_000;

    /// <summary>A checked spec; without a kernel, the built-in guest. Throws <see cref="MachineException"/> with one line.</summary>
    public static MachineSpec Create(ulong memoryBytes, int vcpus, ClockMode clock, string? kernelName, ReadOnlyMemory<byte> kernel, string? initrdName, string commandLine, CpuLevel level = CpuLevels.Default)
    {
        BootProtocol protocol;
        try
        {
            protocol = kernelName is null ? BootProtocol.Builtin : BootImageFormat.Detect(kernel.Span, kernelName);
        }
        catch (BootException problem)
        {
            throw new MachineException(problem.Message, problem);
        }
        MachineSpec spec = new()
        {
            MemoryBytes = memoryBytes,
            VcpuCount = vcpus,
            CpuLevel = level,
            Clock = clock,
            TscHz = DefaultTscHz,
            Boot = new BootSource { Protocol = protocol, Kernel = kernelName, Initrd = initrdName, CommandLine = commandLine },
        };
        Validate(spec);
        return spec;
    }

    /// <summary>Throws <see cref="MachineException"/> with one line for a spec that this build or this host cannot run.</summary>
    public static void Validate(MachineSpec spec)
    {
        if (spec.MemoryBytes < MinMemoryBytes)
            throw new MachineException($"a machine needs at least {MinMemoryBytes >> 20} MiB of memory, not {Size(spec.MemoryBytes)}");
        if (spec.MemoryBytes % PageNumber.Size != 0)
            throw new MachineException($"memory of {spec.MemoryBytes} bytes is not a multiple of {PageNumber.Size}");
        if (spec.MemoryBytes > MaxMemoryBytes)
            throw new MachineException($"memory of {Size(spec.MemoryBytes)} is more than the {Size(MaxMemoryBytes)} that a machine can have so far");
        ulong host = (ulong)GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (spec.MemoryBytes > host)
            throw new MachineException($"memory of {Size(spec.MemoryBytes)} is more than this host has ({Size(host)})");
        if (spec.VcpuCount is < 1 or > MaxVcpus)
            throw new MachineException($"{spec.VcpuCount} vCPUs asked for: a machine has 1 to {MaxVcpus}");
        if (spec.VcpuCount != 1 && spec.Clock == ClockMode.InstructionCount)
            throw new MachineException("counted time (--clock icount) is one vCPU's: several run at once, and no run repeats another");
        if (CpuLevels.Refusal(spec.CpuLevel) is { } refusal)
            throw new MachineException(refusal);
        if (!Enum.IsDefined(spec.Clock))
            throw new MachineException($"clock mode {(int)spec.Clock} does not exist");
        if (spec.TscHz is < 1_000_000 or > 10_000_000_000)
            throw new MachineException($"a TSC of {spec.TscHz} Hz is outside 1 MHz to 10 GHz");
        if (spec.Boot is null || !Enum.IsDefined(spec.Boot.Protocol) || spec.Boot.CommandLine is null)
            throw new MachineException("the machine's boot source is not valid");
    }

    private static string Size(ulong bytes) => bytes >= 1 << 20 ? $"{bytes >> 20} MiB" : $"{bytes} bytes";
}
