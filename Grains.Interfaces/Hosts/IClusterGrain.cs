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
}
