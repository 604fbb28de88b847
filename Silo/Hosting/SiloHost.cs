using Godwit.Access;
using Godwit.Access.Roles;
using Godwit.Engine.Machine;
using Godwit.Grains.Hosts;
using Godwit.Grains.Images;
using Godwit.Grains.Ownership;
using Godwit.Grains.Placement;
using Godwit.Silo.Checkpoints;
using Godwit.Silo.DataPlane;
using Godwit.Silo.Drains;
using Godwit.Silo.Failover;
using Godwit.Silo.Machines;
using Godwit.Silo.Migrations;
using Godwit.Silo.Store;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Godwit.Silo.Hosting;

/// <summary>Puts a silo together: Orleans on the store, the VM host, the data port.</summary>
public static class SiloHost
{
    /// <summary>Orleans' names of the cluster; the store's address tells clusters apart.</summary>
    public const string ClusterId = "godwit";

    /// <summary>What complains of every silo and store that does not answer, with stacks.</summary>
    private static readonly string[] _noisy = ["Orleans.Messaging", "Orleans.Runtime.GrainCallCancellationManager", "Orleans.Runtime.GrainDirectory", "Orleans.Runtime.MembershipService", "Polly"];

    /// <summary>Far more than the migrations that a silo can take part in; strangers beyond it are closed at once.</summary>
    private const int MaxDataConnections = 256;

    /// <param name="machines">Makes an empty machine of that name that takes no other spec; the engine's, or a test's.</param>
    public static async Task<WebApplication> BuildAsync(SiloSettings settings, Func<string, MachineSpec, IMachine> machines)
    {
        var store = await StoreConnection.OpenAsync(settings.Store);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().SetMinimumLevel(settings.LogLevel);
        if (settings.LogLevel == LogLevel.Warning)
        {
            // Orleans warns of what is normal here (a process without server GC), and shows each call to a silo that is
            // dead or out of reach with its stack, once a moment while it lasts. A silo's own end is FatalEnd's to tell.
            builder.Logging.AddFilter("Orleans", LogLevel.Error);
            foreach (var category in _noisy)
            {
                builder.Logging.AddFilter(category, LogLevel.Critical);
            }
        }

        builder.Logging.AddConsole(o => o.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxConcurrentConnections = MaxDataConnections;
            kestrel.Listen(settings.Address, settings.DataPort, listen => listen.UseConnectionHandler<DataPlaneHandler>());
        });
        builder.Host.UseOrleans(silo => ConfigureOrleans(silo, settings));
        AddGodwit(builder.Services, settings, store, machines);
        builder.Services.Replace(ServiceDescriptor.Singleton<IFatalErrorHandler>(new FatalEnd(settings.Name)));
        return builder.Build();
    }

    private static void ConfigureOrleans(ISiloBuilder silo, SiloSettings settings)
    {
        var siloPort = settings.SiloPort != 0 ? settings.SiloPort : FreePort.Find(settings.Address);
        var gatewayPort = settings.GatewayPort != 0 ? settings.GatewayPort : FreePort.Find(settings.Address);
        silo.UseRedisClustering(o => o.ConfigurationOptions = StoreConnection.Options(settings.Store));
        silo.AddRedisGrainStorageAsDefault(o => o.ConfigurationOptions = StoreConnection.Options(settings.Store));
        silo.ConfigureEndpoints(settings.Address, siloPort, gatewayPort);
        silo.Configure<SiloConnectionOptions>(o =>
        {
            o.ConfigureSiloInboundConnection(c => c.UseGuardToAccept(settings.Membership.Guard, ClusterPort.Silo));
            o.ConfigureSiloOutboundConnection(c => c.UseGuardToConnect(settings.Membership.Guard, ClusterPort.Silo));
            o.ConfigureGatewayInboundConnection(c => c.UseGuardToAccept(settings.Membership.Guard, ClusterPort.Gateway));
        });
        silo.Configure<ClusterOptions>(o => (o.ClusterId, o.ServiceId) = (ClusterId, ClusterId));
        silo.Configure<SiloOptions>(o => o.SiloName = settings.Name);
        silo.Configure<ClusterMembershipOptions>(o =>
        {
            // A silo is dead after three probes in a row without an answer, by the word of one other (two silos have no more).
            const int probes = 3;
            o.ProbeTimeout = settings.FailureDetection / (probes + 1);
            o.NumMissedProbesLimit = probes;
            o.NumVotesForDeathDeclaration = 1;
            o.TableRefreshTimeout = settings.FailureDetection;
            o.IAmAliveTablePublishTimeout = settings.FailureDetection;
        });
    }

    private static void AddGodwit(IServiceCollection services, SiloSettings settings, StoreConnection store, Func<string, MachineSpec, IMachine> machines)
    {
        services.AddSingleton(_ => store);
        services.AddSingleton(settings.Membership.Guard);
        services.AddSingleton(settings.Membership.Callers);
        services.AddSingleton<IIncomingGrainCallFilter, RoleFilter>();
        services.AddSingleton<IOutgoingGrainCallFilter>(new SiloCredentialFilter(settings.Membership.Secret));
        services.AddSingleton(machines);
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton(new ClusterToken(settings.Membership.Secret.DataToken));
        services.AddSingleton(p =>
        {
            var details = p.GetRequiredService<ILocalSiloDetails>();
            return new SiloIdentity(details.Name, details.SiloAddress.ToParsableString(), settings.Protocol);
        });
        services.Configure<OwnershipOptions>(o => (o.Lease, o.Margin) = (settings.Lease, settings.LeaseMargin));
        services.AddSingleton<IOwnershipStore, RedisOwnershipStore>();
        services.AddSingleton<IImageStore, RedisImageStore>();
        services.AddSingleton<IStoreProbe, StoreProbe>();
        services.AddSingleton<SiloDirectory>();
        services.AddSingleton(new CapacityLedger(settings.Name, settings.MemoryBytes, settings.Features));
        services.AddSingleton<HostedVms>();
        services.AddSingleton<RecoveryTroubles>();
        services.AddSingleton<Admission>();
        services.AddSingleton<ICheckpointStore>(_ => new FolderCheckpoints(settings.CheckpointFolder));
        services.AddSingleton<Checkpointer>();
        services.AddSingleton<VmEndings>();
        services.AddSingleton<VmLifecycle>();
        services.AddSingleton(p => new TransferFiles(p.GetRequiredService<TimeProvider>(), 2 * settings.MemoryBytes));
        services.AddSingleton<DataPlaneAddress>();
        services.AddSingleton<DataPlaneHandler>();
        services.AddSingleton<IncomingMigrations>();
        services.AddSingleton<OutgoingMigrations>();
        services.AddSingleton(p => new MigrationSource(
            p.GetRequiredService<IOwnershipStore>(),
            p.GetRequiredService<TimeProvider>(),
            p.GetRequiredService<IOptions<OwnershipOptions>>().Value,
            p.GetRequiredService<IGrainFactory>(),
            settings.Membership.Secret.DataToken,
            settings.Membership.Guard,
            p.GetRequiredService<ILogger<MigrationSource>>()));
        services.AddSingleton<VmHost>();
        services.AddSingleton<IVmHost>(p => p.GetRequiredService<VmHost>());
        services.AddSingleton<MoveSlots>();
        services.AddSingleton<SiloDrains>();
        services.AddSingleton<ISiloDrain>(p => p.GetRequiredService<SiloDrains>());

        // SIGTERM and Ctrl-C are the command's: it drains first.
        services.AddSingleton<IHostLifetime, SilentLifetime>();

        // Hosted services stop in reverse: no drain any more, and leases are kept until the machines have stopped.
        services.AddHostedService<LeaseKeeper>();
        services.AddHostedService<EngineWarmUpService>();
        services.AddHostedService<CheckpointKeeper>();
        services.AddHostedService<LeaseReaper>();
        services.AddHostedService<LoadMeter>();
        services.AddHostedService(p => p.GetRequiredService<VmHost>());
        services.AddHostedService(p => p.GetRequiredService<SiloDrains>());
        services.AddPlacementDirector<HostPlacement, HostPlacementDirector>();
        services.AddPlacementDirector<OwnerPlacement, OwnerPlacementDirector>();
    }
}
