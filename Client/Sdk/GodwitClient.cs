using System.Diagnostics;
using System.Net;
using Godwit.Access;
using Godwit.Access.Roles;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Images;
using Godwit.Grains.Interfaces.Vms;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Messaging;

namespace Godwit.Client;

/// <summary>A connection to a Godwit cluster. Safe for concurrent use; keep one for the life of the application.</summary>
public sealed class GodwitClient : IAsyncDisposable
{
    private static readonly TimeSpan _defaultPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan _retryPause = TimeSpan.FromMilliseconds(200);

    private readonly IHost _host;

    private GodwitClient(IHost host, string store)
    {
        _host = host;
        Store = store;
        Calls = new ClusterCalls(host.Services.GetRequiredService<IClusterClient>());
    }

    /// <summary>The store's address, or the silos' that were named.</summary>
    public string Store { get; }

    internal ClusterCalls Calls { get; }

    /// <summary>
    /// Connects to a cluster. Waits for a silo up to <paramref name="patience"/> (10 s by default); throws
    /// <see cref="GodwitException"/> where the store or every silo is silent, or does not let this client in.
    /// </summary>
    public static async Task<GodwitClient> ConnectAsync(ClusterAccess access, TimeSpan? patience = null, CancellationToken cancellation = default)
    {
        await RequireStoreAsync(access);
        var gateways = await access.ResolveGatewaysAsync(cancellation);
        var until = Stopwatch.GetTimestamp() + (long)((patience ?? _defaultPatience).TotalSeconds * Stopwatch.Frequency);
        var host = new HostBuilder()
            .ConfigureLogging(l => l.ClearProviders())
            .UseOrleansClient(client =>
            {
                UseGateways(client, access, gateways);
                client.AddOutgoingGrainCallFilter(new ClientCredentialFilter(access.Credential));
                client.Configure<ClientConnectionOptions>(o => o.Guard(access.Guard));
                client.Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = ("godwit", "godwit"));
                client.Configure<ClientMessagingOptions>(o => o.ResponseTimeout = CallLimits.Look);
                client.Configure<GatewayOptions>(o => o.GatewayListRefreshPeriod = TimeSpan.FromSeconds(2));
                client.UseConnectionRetryFilter((_, stop) => RetryAsync(until, stop));
            })
            .Build();
        try
        {
            await host.StartAsync(cancellation);
            return new GodwitClient(host, access.Where);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            host.Dispose();
            throw access.Guard.LastRefusal is { } refusal
                ? new GodwitException(ClusterError.Denied, $"The cluster does not let this client in: {refusal}.", e)
                : new GodwitException(ClusterError.Unavailable, $"No silo of the cluster at {access.Where} answers; start one with \"godwit silo\".", e);
        }
    }

    /// <summary>A VM by its name; nothing is asked of the cluster yet.</summary>
    public Vm Vm(string name) => new(this, name);

    /// <summary>All VMs by name, from their ownership records.</summary>
    public Task<IReadOnlyList<VmSummary>> VmsAsync(CancellationToken cancellation = default) =>
        Calls.RetryAsync(g => g.GetGrain<IClusterGrain>(0).GetVms(), cancellation);

    /// <summary>The live silos with their hosts' figures; with <paramref name="all"/> also those that have left or died.</summary>
    public Task<IReadOnlyList<SiloInfo>> SilosAsync(bool all = false, CancellationToken cancellation = default) =>
        Calls.RetryAsync(g => g.GetGrain<IClusterGrain>(0).GetSilos(all), cancellation);

    /// <summary>
    /// Keeps VMs from coming to a live silo (name or address) and moves those that it has elsewhere; a job of that silo's.
    /// Where a drain is under way already this is the way to watch it.
    /// </summary>
    public async Task<DrainHandle> DrainSiloAsync(string silo, DrainRequest? request = null, CancellationToken cancellation = default) =>
        new(this, await Calls.RetryAsync(g => g.GetGrain<IClusterGrain>(0).Drain(silo, request ?? new DrainRequest()), cancellation));

    /// <summary>The silo takes VMs again; migrations that its drain has begun go on.</summary>
    public Task UndrainSiloAsync(string silo, CancellationToken cancellation = default) =>
        Calls.OnceAsync(g => g.GetGrain<IClusterGrain>(0).Undrain(silo), cancellation);

    /// <summary>Silos with their figures, the store as they see it, migrations under way.</summary>
    public Task<ClusterStatus> StatusAsync(CancellationToken cancellation = default) =>
        Calls.RetryAsync(g => g.GetGrain<IClusterGrain>(0).GetStatus(), cancellation);

    /// <summary>The moves that a rebalance would make now.</summary>
    public Task<RebalancePlan> PlanRebalanceAsync(CancellationToken cancellation = default) =>
        Calls.RetryAsync(g => g.GetGrain<IRebalanceGrain>(0).Plan(), cancellation);

    /// <summary>Evens out the silos by live migrations, a job of the cluster's; where one is under way already this is the way to watch it.</summary>
    public async Task<RebalanceHandle> RebalanceAsync(RebalanceRequest? request = null, CancellationToken cancellation = default) =>
        new(this, await Calls.RetryAsync(g => g.GetGrain<IRebalanceGrain>(0).Start(request ?? new RebalanceRequest()), cancellation));

    /// <summary>Ends the rebalance that is under way; migrations that it has begun go on.</summary>
    public Task CancelRebalanceAsync(CancellationToken cancellation = default) =>
        Calls.OnceAsync(g => g.GetGrain<IRebalanceGrain>(0).Cancel(), cancellation);

    /// <summary>Uploads a boot image unless the cluster has it; returns its SHA-256 as lower-case hex.</summary>
    public async Task<string> UploadImageAsync(ReadOnlyMemory<byte> image, IProgress<long>? uploaded = null, CancellationToken cancellation = default)
    {
        if (image.Length is 0 || image.Length > ImageChunk.MaxImage)
        {
            throw new GodwitException(ClusterError.Invalid, $"An image has 1 byte to {MemorySize.Format(ImageChunk.MaxImage)}.");
        }

        var hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(image.Span));
        if (await Calls.RetryAsync(g => g.GetGrain<IImageGrain>(hash).Exists(), cancellation))
        {
            return hash;
        }

        for (var i = 0; (long)i * ImageChunk.Size < image.Length; i++)
        {
            var index = i;
            var start = i * ImageChunk.Size;
            var chunk = image.Slice(start, Math.Min(ImageChunk.Size, image.Length - start)).ToArray();
            await Calls.RetryAsync(g => g.GetGrain<IImageGrain>(hash).WriteChunk(index, chunk), cancellation);
            uploaded?.Report(start + chunk.Length);
        }

        await Calls.RetryAsync(g => g.GetGrain<IImageGrain>(hash).Complete(image.Length), cancellation);
        return hash;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }

    private static void UseGateways(IClientBuilder client, ClusterAccess access, IPEndPoint[] gateways)
    {
        if (access.Store is { } store)
        {
            client.UseRedisClustering(o => o.ConfigurationOptions = store.Options());
        }
        else
        {
            client.Services.AddSingleton<IGatewayListProvider>(new ReachableGateways(gateways, access.Guard));
        }
    }

    private static async Task RequireStoreAsync(ClusterAccess access)
    {
        try
        {
            if (access.Store is { } store && await store.WhyNotAsync() is { } reason)
            {
                throw new GodwitException(ClusterError.Unavailable, reason);
            }
        }
        catch (ArgumentException e)
        {
            throw new GodwitException(ClusterError.Invalid, e.Message, e);
        }
    }

    private static async Task<bool> RetryAsync(long until, CancellationToken stop)
    {
        if (Stopwatch.GetTimestamp() >= until)
        {
            return false;
        }

        using var pause = new PeriodicTimer(_retryPause);
        return await pause.WaitForNextTickAsync(stop);
    }
}
