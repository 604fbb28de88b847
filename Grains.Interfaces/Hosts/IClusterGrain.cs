using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>The cluster as a whole; key 0. Stateless.</summary>
[Alias("Godwit.IClusterGrain")]
public interface IClusterGrain : IGrainWithIntegerKey
{
    /// <summary>Live silos; with <paramref name="all"/> also those that have left or died.</summary>
    [Alias("GetSilos")]
    Task<IReadOnlyList<SiloInfo>> GetSilos(bool all);

    [Alias("GetVms")]
    Task<IReadOnlyList<VmSummary>> GetVms();

    /// <summary>Starts to drain a live silo (name or address); where that is under way already, its ticket.</summary>
    [Alias("Drain")]
    Task<DrainTicket> Drain(string silo, DrainRequest request);

    /// <summary>The silo takes VMs again.</summary>
    [Alias("Undrain")]
    Task Undrain(string silo);

    [Alias("GetStatus"), ResponseTimeout(CallLimits.Watch)]
    Task<ClusterStatus> GetStatus();
}
