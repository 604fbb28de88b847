using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Grains.Hosts;

/// <summary>Whether the store answers this silo.</summary>
public interface IStoreProbe
{
    /// <summary>Answers within some seconds, whatever the store does.</summary>
    Task<StoreHealth> AskAsync();
}
