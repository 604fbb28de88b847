namespace Godwit.Grains.Ownership;

/// <summary>Leases of this silo.</summary>
public sealed class OwnershipOptions
{
    /// <summary>How long a renewal lets a machine run. Default 5 s; renewed every third of it.</summary>
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// What a taker waits beyond the lease: covers clocks that run at unlike rates (NTP slews by at most 500 ppm, 5 ms in
    /// 10 s) and the time a vCPU takes to notice its end, many times over. Default 1 s.
    /// </summary>
    public TimeSpan Margin { get; set; } = TimeSpan.FromSeconds(1);
}
