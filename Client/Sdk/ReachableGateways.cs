using System.Net;
using System.Net.Sockets;
using Godwit.Access;
using Orleans.Messaging;
using Orleans.Runtime;

namespace Godwit.Client;

/// <summary>
/// Of the gateways that were named, those that answer. A machine that is off, cut off or frozen says nothing, and a call
/// sent by way of it would wait for its whole limit; so each is asked before it is used, all at once.
/// </summary>
internal sealed class ReachableGateways(IReadOnlyList<IPEndPoint> named, ConnectionGuard guard) : IGatewayListProvider
{
    /// <summary>How long a gateway has when another has answered already.</summary>
    private static readonly TimeSpan _others = TimeSpan.FromMilliseconds(500);

    /// <summary>How long all have; then none answers, and Orleans tries what there is.</summary>
    private static readonly TimeSpan _all = TimeSpan.FromSeconds(5);

    private readonly HashSet<IPEndPoint> _answered = [];

    public TimeSpan MaxStaleness { get; } = TimeSpan.FromSeconds(2);

    public bool IsUpdatable => true;

    public Task InitializeGatewayListProvider() => Task.CompletedTask;

    /// <summary>One that has answered once stays: Orleans itself finds out when its connections break, and tries again.</summary>
    public async Task<IList<Uri>> GetGateways()
    {
        if (named.Count > 1)
        {
            var asked = named.Where(g => !_answered.Contains(g)).ToList();
            using var stop = new CancellationTokenSource(_answered.Count > 0 ? _others : _all);
            await Task.WhenAll(asked.Select(async gateway =>
            {
                if (await AnswersAsync(gateway, stop.Token))
                {
                    lock (_answered)
                    {
                        _answered.Add(gateway);
                    }

                    stop.CancelAfter(_others);
                }
            }));
        }

        return [.. named.Where(g => _answered.Count == 0 || _answered.Contains(g)).Select(g => g.ToGatewayUri())];
    }

    private async Task<bool> AnswersAsync(IPEndPoint gateway, CancellationToken stop)
    {
        try
        {
            using var socket = new Socket(gateway.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(gateway, stop);
            await using var raw = new NetworkStream(socket);
            await using var guarded = await guard.ConnectAsync(raw, ClusterPort.Gateway, gateway, stop);
            return true;
        }
        catch (Exception e) when (e is SocketException or IOException or OperationCanceledException or AccessRefusedException)
        {
            return false;
        }
    }
}
