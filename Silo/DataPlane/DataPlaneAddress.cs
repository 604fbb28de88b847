using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Godwit.Silo.DataPlane;

/// <summary>Where this silo's data port listens, once it does.</summary>
internal sealed class DataPlaneAddress
{
    private readonly IServer _server;

    public DataPlaneAddress(IServer server) => _server = server;

    /// <summary>HOST:PORT, or null before the port is bound.</summary>
    public string? Find() =>
        _server.Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() is { } url && Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Port > 0
            ? uri.Authority
            : null;
}
