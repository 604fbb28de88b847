using System.Net;
using System.Net.Sockets;

namespace Godwit.Silo.Hosting;

/// <summary>Finds ports for listeners that must know theirs before they listen.</summary>
public static class FreePort
{
    /// <summary>A loopback port that was free a moment ago: another process may still take it, and the listener then fails.</summary>
    public static int Find()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }
}
