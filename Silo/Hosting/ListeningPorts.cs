using System.Net;
using Godwit.Access;
using Godwit.Access.Certificates;

namespace Godwit.Silo.Hosting;

/// <summary>Where a silo listens. On loopback a port that is not given is a free one (0: chosen later); elsewhere it is always the same, for firewalls.</summary>
internal sealed record ListeningPorts(IPAddress Address, int Silo, int Gateway, int Data)
{
    public const int DefaultSilo = 7401;
    public const int DefaultGateway = 7402;
    public const int DefaultData = 7403;

    /// <summary>Throws <see cref="IOException"/> with one line where a silo may not listen there, <see cref="ArgumentException"/> where it is no address.</summary>
    /// <param name="address">Null: loopback.</param>
    /// <param name="silo">0: not given; the others likewise.</param>
    public static ListeningPorts Require(string? address, Membership membership, int silo, int gateway, int data)
    {
        if (!IPAddress.TryParse(address ?? "127.0.0.1", out var at) || at.Equals(IPAddress.Any) || at.Equals(IPAddress.IPv6Any))
        {
            throw new ArgumentException($"\"{address}\" is not an address at which others can reach this silo: write one of this machine's, such as 10.0.0.2.");
        }

        if (membership.Identity is { } identity)
        {
            if (identity.Peer.Addresses.Count > 0 && !identity.Peer.Addresses.Contains(at))
            {
                throw new IOException($"The certificate of silo {identity.Peer.Name} is for {string.Join(", ", identity.Peer.Addresses)}, not for {at}.");
            }
        }
        else if (!IPAddress.IsLoopback(at))
        {
            throw new IOException($"A silo listens at {at} only with a certificate of its cluster's authority: make it with \"godwit cluster issue silo NAME --address {at}\" and name its folder with --cluster.");
        }

        return IPAddress.IsLoopback(at)
            ? new ListeningPorts(at, silo != 0 ? silo : FreePort.Find(at), gateway, data)
            : new ListeningPorts(at, silo != 0 ? silo : DefaultSilo, gateway != 0 ? gateway : DefaultGateway, data != 0 ? data : DefaultData);
    }
}
