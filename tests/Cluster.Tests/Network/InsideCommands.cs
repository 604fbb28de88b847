using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Client;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cluster.Tests.Network;

/// <summary>What tests have this executable do on a machine of a <see cref="NetworkLab"/>, where their own process cannot go.</summary>
internal static class InsideCommands
{
    public const string Runs = "runs";
    public const string Knock = "knock";
    public const string Watch = "watch";

    /// <summary>Any HTTP server, Redis or silo without TLS would answer this.</summary>
    private static readonly byte[] _plainWords = [.. Enumerable.Repeat("PING\r\n"u8.ToArray(), 64).SelectMany(w => w)];

    /// <summary>What has not been said by then is not said.</summary>
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(2);

    /// <summary>Prints what silos remember of a VM's runs, as a JSON array of <see cref="RunInterval"/>, oldest first.</summary>
    public static async Task<int> RunsAsync(string cluster, string gateway, string vm, string[] silos)
    {
        await using var client = await GodwitClient.ConnectAsync(ClusterAccess.Open(cluster, gateways: [gateway]));
        var intervals = new List<RunInterval>();
        foreach (var silo in silos)
        {
            intervals.AddRange((await client.Vm(vm).RunsAtAsync(silo)).Intervals);
        }

        await Console.Out.WriteLineAsync(JsonSerializer.Serialize(intervals.OrderBy(i => i.Started)));
        return 0;
    }

    /// <summary>Answers questions about the cluster on a Unix socket, which knows no network namespaces: a VM's name, and back comes its <see cref="VmInfo"/> with the silos that hold a machine of it, or the refusal.</summary>
    public static async Task<int> WatchAsync(string cluster, string socket)
    {
        await using var client = await GodwitClient.ConnectAsync(ClusterAccess.Open(cluster));
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(socket));
        listener.Listen();
        await Console.Out.WriteLineAsync("{\"ready\":true}");
        while (true)
        {
            using var asked = await listener.AcceptAsync();
            await using var stream = new NetworkStream(asked);
            using var reader = new StreamReader(stream);
            await using var writer = new StreamWriter(stream);
            await writer.WriteLineAsync(await AnswerAsync(client, (await reader.ReadLineAsync())!));
        }
    }

    private static async Task<string> AnswerAsync(GodwitClient client, string vm)
    {
        try
        {
            var silos = await client.SilosAsync();
            return JsonSerializer.Serialize(new VmSight(
                [.. silos.Where(s => s.Host is not null).Select(s => s.Name)],
                [.. silos.Where(s => s.Host is { } h && h.Vms.Any(v => v.Name == vm)).Select(s => s.Name)],
                vm.Length == 0 ? null : await client.Vm(vm).ShowAsync()));
        }
        catch (GodwitException e)
        {
            return JsonSerializer.Serialize(new VmSight([], [], null) { Refusal = e.Message });
        }
    }

    /// <summary>Prints for each port, as JSON, what comes of speaking to it without TLS, with TLS but no certificate, and with another authority's certificate: "" where nothing does.</summary>
    public static async Task<int> KnockAsync(string cluster, string stranger, string[] ports)
    {
        var other = Identity.TryRead(Path.Combine(cluster, stranger, Identity.FileName))!;
        var answers = new Dictionary<string, string[]>();
        foreach (var port in ports)
        {
            var at = IPEndPoint.Parse(port);
            answers[port] = [await PlainAsync(at), await SecuredAsync(at, null), await SecuredAsync(at, other.Certificate)];
        }

        await Console.Out.WriteLineAsync(JsonSerializer.Serialize(answers));
        return 0;
    }

    /// <summary>What comes back for words without TLS, printable letters only.</summary>
    public static async Task<string> PlainAsync(IPEndPoint at)
    {
        using var client = new TcpClient(at.AddressFamily);
        await client.ConnectAsync(at);
        await client.GetStream().WriteAsync(_plainWords);
        return await HeardAsync(client.GetStream());
    }

    /// <summary>The same with TLS, whoever the other end is.</summary>
    public static async Task<string> SecuredAsync(IPEndPoint at, X509Certificate2? certificate)
    {
        using var client = new TcpClient(at.AddressFamily);
        await client.ConnectAsync(at);
        await using var secured = new SslStream(client.GetStream());
        using var limit = new CancellationTokenSource(_limit);
        try
        {
            await secured.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions
                {
                    TargetHost = "any",
                    RemoteCertificateValidationCallback = (_, shown, _, _) => shown is not null,
                    ClientCertificates = certificate is null ? null : [certificate],
                    LocalCertificateSelectionCallback = (_, _, _, _, _) => certificate!,
                },
                limit.Token);
            await secured.WriteAsync(_plainWords);
            return await HeardAsync(secured);
        }
        catch (Exception e) when (e is IOException or AuthenticationException or OperationCanceledException)
        {
            return "";
        }
    }

    /// <summary>Printable letters that come before the end; what TLS says in an alert has none.</summary>
    private static async Task<string> HeardAsync(Stream stream)
    {
        using var limit = new CancellationTokenSource(_limit);
        var heard = new List<byte>();
        var buffer = new byte[4096];
        try
        {
            for (int read; (read = await stream.ReadAsync(buffer, limit.Token)) > 0;)
            {
                heard.AddRange(buffer.AsSpan(0, read));
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // Closed on us, as it should be; or silent.
        }

        return string.Concat(heard.Where(b => b is >= (byte)' ' and < 127).Select(b => (char)b));
    }
}

/// <summary>What a client sees of a VM.</summary>
/// <param name="Active">Silos that answer.</param>
/// <param name="Holders">Those of them that hold a machine of the VM.</param>
internal sealed record VmSight(IReadOnlyList<string> Active, IReadOnlyList<string> Holders, VmInfo? Vm)
{
    public string? Refusal { get; init; }
}
