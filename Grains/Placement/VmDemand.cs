using System.Globalization;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Placement;

/// <summary>What a VM needs of a silo.</summary>
/// <param name="Load">vCPUs that it keeps busy: measured, or all of them for one that has not run yet.</param>
public sealed record VmDemand(string Name, long MemoryBytes, int Vcpus, int CpuLevel, PlacementConstraints Constraints, double Load)
{
    /// <summary>A VM that starts: a guest that boots is busy.</summary>
    public static VmDemand Of(string name, VmDefinition definition) => Of(name, definition, definition.VcpuCount);

    public static VmDemand Of(string name, VmDefinition definition, double load) =>
        new(name, definition.MemoryBytes, definition.VcpuCount, definition.CpuLevel, definition.Constraints ?? PlacementConstraints.None, load);

    /// <summary>A VM that a silo holds.</summary>
    public static VmDemand Of(HostedVmInfo vm) =>
        new(vm.Name, vm.MemoryBytes, vm.Vcpus, vm.CpuLevel, vm.Constraints ?? PlacementConstraints.None, vm.Load);

    /// <summary>As refusals name it.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"VM \"{Name}\" ({MemorySize.Format(MemoryBytes)}, {Vcpus} vCPU{(Vcpus == 1 ? "" : "s")})");
}
