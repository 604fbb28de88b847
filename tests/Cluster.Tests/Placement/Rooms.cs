using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>Silos and VMs as placement sees them.</summary>
internal static class Rooms
{
    public const long MiB = 1 << 20;

    /// <summary>1 GiB, 16 vCPUs on 4 cores, x86-64-v1, empty.</summary>
    public static SiloRoom Silo(string name) => new()
    {
        Name = name,
        Address = "address-of-" + name,
        Serving = HostDuty.Serving,
        MemoryCapacity = 1024 * MiB,
        MemoryReserved = 0,
        VcpuCapacity = 16,
        VcpusReserved = 0,
        Cores = 4,
        Load = 0,
        CpuLevels = [1],
        Labels = new Dictionary<string, string>(),
        Groups = SiloRoom.NoGroups,
    };

    public static VmDemand Vm(string name, long mebibytes = 64, double load = 0, PlacementConstraints? constraints = null) =>
        new(name, mebibytes * MiB, 1, 1, constraints ?? PlacementConstraints.None, load);
}
