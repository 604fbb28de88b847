using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Grains.Hosts;

/// <summary>The silo-resident owner of drains; see IHostGrain for what each call does.</summary>
public interface ISiloDrain
{
    DrainTicket Start(DrainRequest request);

    Task<DrainUpdate> WatchAsync(string job, long afterSequence, TimeSpan wait);

    void Undrain();
}
