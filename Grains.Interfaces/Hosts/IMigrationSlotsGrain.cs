namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>Counts the cluster's migrations for those who must keep below a limit; key 0.</summary>
[Alias("Godwit.IMigrationSlotsGrain")]
public interface IMigrationSlotsGrain : IGrainWithIntegerKey
{
    /// <summary>True where fewer than <paramref name="limit"/> migrations are under way or promised; one more is promised then.</summary>
    [Alias("TryTake")]
    Task<bool> TryTake(string siloAddress, string vm, int limit);

    /// <summary>The migration has ended, or was not started.</summary>
    [Alias("Release")]
    Task Release(string siloAddress, string vm);
}
