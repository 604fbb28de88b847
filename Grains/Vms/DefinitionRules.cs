using Godwit.Engine.Machine;
using Godwit.Grains.Hosts;
using Godwit.Grains.Images;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;

namespace Godwit.Grains.Vms;

/// <summary>What a definition must satisfy before a VM is created from it; each refusal is one line.</summary>
internal static class DefinitionRules
{
    private const long MinMemory = (long)MachineSpecs.MinMemoryBytes;
    private const long MaxMemory = (long)MachineSpecs.MaxMemoryBytes;
    private const int MaxVcpus = MachineSpecs.MaxVcpus;
    private const int MaxCommandLine = 2047;

    public static async Task RequireAsync(string name, VmDefinition definition, IReadOnlyList<HostInfo> hosts, IImageStore images)
    {
        RequireShape(definition);
        if (hosts.Count == 0)
        {
            throw new ClusterException(ClusterError.Unavailable, "No live silo answers.");
        }

        _ = SiloDirectory.Serving(hosts);
        var largest = hosts.MaxBy(h => h.MemoryCapacity)!;
        if (definition.MemoryBytes > largest.MemoryCapacity)
        {
            throw new ClusterException(ClusterError.NoRoom, $"Memory of {MemorySize.Format(definition.MemoryBytes)} is more than any silo has (the largest, {largest.Name}, has {MemorySize.Format(largest.MemoryCapacity)}).");
        }

        Require(definition.MemoryBytes <= MaxMemory, $"Memory of {MemorySize.Format(definition.MemoryBytes)} is more than the {MemorySize.Format(MaxMemory)} that a VM can have so far.");
        PlacementPolicy.RequireFeasible(VmDemand.Of(name, definition), [.. hosts.Select(SiloRoom.Of)]);
        foreach (var hash in new[] { definition.Kernel, definition.Initrd }.OfType<string>())
        {
            if (!await images.ExistsAsync(hash, CancellationToken.None))
            {
                throw new ClusterException(ClusterError.NotFound, $"The image store has no image {hash}; upload it first.");
            }
        }
    }

    private static void RequireShape(VmDefinition d)
    {
        Require(d.MemoryBytes > 0, $"Memory of {d.MemoryBytes} bytes is none: a VM needs at least {MemorySize.Format(MinMemory)}.");
        Require(d.MemoryBytes >= MinMemory, $"Memory of {MemorySize.Format(d.MemoryBytes)} is too little: a VM needs at least {MemorySize.Format(MinMemory)}.");
        Require(d.MemoryBytes % 4096 == 0, $"Memory of {d.MemoryBytes} bytes is not a multiple of 4096.");
        Require(d.VcpuCount is >= 1 and <= MaxVcpus, $"{d.VcpuCount} vCPUs asked for: a VM has 1 to {MaxVcpus}.");
        Require(d.VcpuCount == 1 || d.Clock != VmClock.InstructionCount, "Counted time (--clock icount) is one vCPU's: several run at once, and no run repeats another.");
        Require(d.CpuLevel is >= 1 and <= 3, $"CPU level {d.CpuLevel} does not exist: use 1 to 3 (x86-64-v1 to v3).");
        Require(Enum.IsDefined(d.Clock) && Enum.IsDefined(d.Boot), "The definition names an unknown clock or boot protocol.");
        Require(d.CommandLine is not null && d.CommandLine.Length <= MaxCommandLine, $"The command line is longer than {MaxCommandLine} characters.");
        Require(!d.CommandLine!.Any(char.IsControl), "The command line contains control characters.");
        Require((d.Boot == VmBoot.Builtin) == (d.Kernel is null), d.Boot == VmBoot.Builtin ? "The built-in guest takes no kernel." : "A kernel image is needed.");
        Require(d.Boot != VmBoot.Builtin || d.Initrd is null, "The built-in guest takes no initramfs.");
        RequireConstraints(d.Constraints ?? PlacementConstraints.None);
        RequireRestart(d.Restart ?? RestartPolicy.None);
        Require(IsHash(d.Kernel) && IsHash(d.Initrd), "An image is named by its SHA-256 as 64 lower-case hex digits.");
    }

    private static void RequireConstraints(PlacementConstraints c)
    {
        const int most = PlacementConstraints.MaxEntries;
        Require(c.Labels is { Count: <= most } && c.AntiAffinity is { Count: <= most }, $"A VM can require at most {most} labels and be in at most {most} anti-affinity groups.");
        Require(c.Labels.All(l => PlacementLabel.IsWord(l.Key) && PlacementLabel.IsWord(l.Value)), "A required label is KEY=VALUE, each of 1 to 63 letters, digits, '-', '_', '.' and '/'.");
        Require(c.AntiAffinity.All(PlacementLabel.IsWord) && c.AntiAffinity.Distinct().Count() == c.AntiAffinity.Count, "An anti-affinity group is named by 1 to 63 letters, digits, '-', '_', '.' and '/', and only once.");
        Require(c.Silo is null || PlacementLabel.IsWord(c.Silo), "The silo that the VM is to run on has no name that a silo can have.");
    }

    /// <summary>Throws <see cref="ClusterException"/> for a policy that cannot be kept.</summary>
    public static void RequireRestart(RestartPolicy policy)
    {
        Require(Enum.IsDefined(policy.Mode), "The restart policy is unknown: use none, restart or checkpoint.");
        Require(
            policy.CheckpointEvery >= RestartPolicy.LeastInterval && policy.CheckpointEvery <= RestartPolicy.MostInterval,
            $"Checkpoints every {policy.CheckpointEvery.TotalSeconds:0.###} s cannot be had: {RestartPolicy.LeastInterval.TotalSeconds:0} s to a day.");
    }

    private static bool IsHash(string? hash) => hash is null || (hash.Length == 64 && hash.All(char.IsAsciiHexDigitLower));

    private static void Require(bool held, string otherwise)
    {
        if (!held)
        {
            throw new ClusterException(ClusterError.Invalid, otherwise);
        }
    }
}
