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
    private static readonly TimeSpan _others = TimeSpan.FromSeconds(1);

    /// <summary>How long all have; then none answers, and Orleans tries what there is.</summary>
    private static readonly TimeSpan _all = TimeSpan.FromSeconds(5);

    /// <summary>So many questions in a row without an answer, and a gateway is passed over until it answers again.</summary>
    private const int Silences = 2;

    /// <summary>For each gateway, how many questions in a row it has not answered.</summary>
    private readonly Dictionary<IPEndPoint, int> _silent = named.Distinct().ToDictionary(g => g, _ => Silences);

    public TimeSpan MaxStaleness { get; } = TimeSpan.FromSeconds(2);

    public bool IsUpdatable => true;

    public Task InitializeGatewayListProvider() => Task.CompletedTask;

    /// <summary>
    /// Asked again with every look that Orleans takes: a machine that is cut off breaks no connection, so that nothing else
    /// would tell. All that were named where none answers.
    /// </summary>
    public async Task<IList<Uri>> GetGateways()
    {
        if (_silent.Count > 1)
        {
            using var stop = new CancellationTokenSource(_all);
            var answers = await Task.WhenAll(_silent.Keys.Select(async gateway =>
            {
                var answered = await AnswersAsync(gateway, stop.Token);
                if (answered)
                {
                    stop.CancelAfter(_others);
                }

                return (gateway, answered);
            }));
            foreach (var (gateway, answered) in answers)
            {
                _silent[gateway] = answered ? 0 : _silent[gateway] + 1;
            }
        }

        var reachable = _silent.Where(g => g.Value < Silences).Select(g => g.Key).ToList();
        return [.. (reachable.Count > 0 ? reachable : [.. _silent.Keys]).Select(g => g.ToGatewayUri())];
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
