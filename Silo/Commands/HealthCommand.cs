using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Silo.Hosting;

namespace Godwit.Silo.Commands;

/// <summary>
/// <c>godwit silo health</c>: for the probes of container engines. A silo answers at its gateway's port from when it is
/// active, so a handshake there says more than that a process is alive or a port open.
/// </summary>
internal static class HealthCommand
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(5);

    public static Command Create()
    {
        var address = new Option<string>("--address") { Description = "Where the silo listens", HelpName = "IP", DefaultValueFactory = _ => IPAddress.Loopback.ToString() };
        var port = new Option<int>("--gateway-port") { Description = "Its port for clients", HelpName = "P", DefaultValueFactory = _ => ListeningPorts.DefaultGateway };
        port.Validators.Add(PortRule.Check);
        var command = new Command("health", """
            Asks a silo of this cluster folder at its gateway. Exit code 0: it is active and lets this folder's owner in; 1: it
            is not, for the reason on standard error.

            Examples:
              godwit silo health --cluster a --address 10.0.0.1
            """)
        { address, port, CommonOptions.Cluster };
        command.SetAction((parsed, cancellation) => RunAsync(
            parsed.GetValue(CommonOptions.Cluster)!,
            IPAddress.TryParse(parsed.GetValue(address), out var at) ? at : throw new ArgumentException($"\"{parsed.GetValue(address)}\" is not an address: write one such as 10.0.0.2."),
            parsed.GetValue(port),
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(string cluster, IPAddress address, int port, CancellationToken cancellation)
    {
        // A probe must not make the secret of a cluster that is not there.
        if (!Directory.Exists(cluster))
        {
            throw new IOException($"There is no cluster folder {cluster}.");
        }

        var guard = Membership.OfSilo(cluster, identityFile: null, TimeProvider.System).Guard;
        var gateway = new IPEndPoint(address, port);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(_limit);
        try
        {
            using var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(gateway, limit.Token);
            await using var raw = new NetworkStream(socket);
            await using var guarded = await guard.ConnectAsync(raw, ClusterPort.Gateway, gateway, limit.Token);
            return 0;
        }
        catch (AccessRefusedException e)
        {
            throw new IOException($"What listens at {gateway} and this folder's owner are not of one cluster: {e.Message}.");
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            throw new IOException($"No silo is active at {gateway}: {e.Message}");
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"No silo is active at {gateway}: no answer within {_limit.TotalSeconds:0} s.");
        }
    }
}
