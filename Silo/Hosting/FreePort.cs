using System.Net;
using System.Net.Sockets;

namespace Godwit.Silo.Hosting;

/// <summary>Finds ports for listeners that must know theirs before they listen.</summary>
public static class FreePort
{
    /// <summary>A loopback port that was free a moment ago: another process may still take it, and the listener then fails.</summary>
    public static int Find() => Find(IPAddress.Loopback);

    /// <summary>As <see cref="Find()"/>, at another address of this machine.</summary>
    public static int Find(IPAddress address)
    {
        using var probe = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(address, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }
}
