using System.CommandLine;
using System.Net;
using System.Text.Json;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;
using Godwit.Silo.DataPlane;
using Godwit.Silo.Hosting;
using Godwit.Silo.Machines;
using Godwit.Silo.Store;
using Microsoft.AspNetCore.Connections;
using Orleans.Runtime;

namespace Godwit.Silo.Commands;

/// <summary><c>godwit silo</c>: one silo in the foreground until SIGTERM or Ctrl-C.</summary>
internal static class SiloCommand
{
    private const int PortAttempts = 3;

    private const int MaxLabels = 64;

    /// <summary>Guests are idle most of the time; this bounds what threads and interrupts cost, not what runs at once.</summary>
    private const int VcpusPerCore = 64;

    public static Command Create(Func<string, MachineSpec, BackendKind, IMachine> machines, string storeExecutable)
    {
        var store = new Option<string?>("--store") { Description = "The store's address (default: the cluster folder's, started if need be)", HelpName = "HOST:PORT" };
        var storePassword = new Option<string?>("--store-password-file") { Description = $"Holds the store's password, mode 600 (default: ${StoreLogin.PasswordVariable}; the embedded store and one that \"godwit cluster issue store\" set up need neither)", HelpName = "FILE" };
        var storeTls = new Option<bool>("--store-tls") { Description = "Speak TLS to the store, whose certificate must be from the cluster's authority (or, without one, from one that this machine trusts)" };
        var address = new Option<string?>("--address") { Description = "Address of this machine to listen at (default: 127.0.0.1); others need a certificate of the cluster's authority", HelpName = "IP" };
        var identity = new Option<string?>("--identity") { Description = $"This silo's certificate as \"godwit cluster issue silo\" wrote it (default: {Identity.FileName} in the cluster folder)", HelpName = "FILE" };
        var name = new Option<string?>("--name") { Description = "Name of this silo (default: silo- and its port)", HelpName = "N" };
        var siloPort = new Option<int>("--silo-port") { Description = "Port for other silos (default: a free one)", HelpName = "P" };
        var gatewayPort = new Option<int>("--gateway-port") { Description = "Port for clients (default: a free one)", HelpName = "P" };
        var dataPort = new Option<int>("--data-port") { Description = "Port for migrations (default: a free one)", HelpName = "P" };
        var memory = new Option<string?>("--memory") { Description = "Guest memory this silo may hold, e.g. 4G (default: three quarters of this machine's)", HelpName = "CAP" };
        var vcpus = new Option<int>("--vcpus") { Description = $"vCPUs that this silo may hold (default: {VcpusPerCore} for each core)", HelpName = "N", DefaultValueFactory = _ => VcpusPerCore * Environment.ProcessorCount };
        var label = new Option<string[]>("--label") { Description = "A label that VMs can require, e.g. zone=a; may be given again", HelpName = "KEY=VALUE" };
        var lease = new Option<double>("--lease") { Description = "Seconds that a lease on a VM lasts", HelpName = "S", DefaultValueFactory = _ => 5 };
        var margin = new Option<double>("--lease-margin") { Description = "Seconds beyond a lease after which a silo that does not renew it has lost the VM", HelpName = "S", DefaultValueFactory = _ => 1 };
        var checkpoints = new Option<string?>("--checkpoints") { Description = "Folder for checkpoints, the same for all silos that are to take over from one another (default: in the cluster folder)", HelpName = "DIR" };
        var detection = new Option<double>("--failure-detection") { Description = "Seconds until a silo that died is known to be dead, about", HelpName = "S", DefaultValueFactory = _ => 5 };
        var drain = new Option<double>("--drain-timeout") { Description = "Seconds that moving the guests to other silos may take when this one is told to stop; 0: stop them at once", HelpName = "S", DefaultValueFactory = _ => 60 };
        var backend = new Option<BackendKind>("--backend") { Description = "What executes guest code", HelpName = "interpreter|translator", DefaultValueFactory = _ => Backends.Default };
        var protocol = new Option<int>("--protocol") { Description = "Protocol version to speak, for tests of silos of unlike versions", Hidden = true, DefaultValueFactory = _ => ProtocolRange.OfThisBuild.Current };
        var log = new Option<LogLevel>("--log") { Description = "What to log to standard error", DefaultValueFactory = _ => LogLevel.Warning };
        foreach (var port in new[] { siloPort, gatewayPort, dataPort })
        {
            port.Validators.Add(PortRule.Check);
        }

        vcpus.Validators.Add(r => CountRule(r, 1, 100_000));
        lease.Validators.Add(r => SecondsRule(r, 0.5, 600));
        margin.Validators.Add(r => SecondsRule(r, 0.1, 600));
        detection.Validators.Add(r => SecondsRule(r, 1, 600));
        drain.Validators.Add(r => SecondsRule(r, 0, 86400));
        var command = new Command("silo", """
            Runs one silo: it holds VMs and takes part in the cluster. SIGTERM (or Ctrl-C) moves its guests to other silos, stops
            those that cannot move, and ends it; a second one stops at once.

            Examples:
              godwit silo
              godwit silo --name b --memory 2G
              godwit silo --cluster c --address 10.0.0.7 --store 10.0.0.5:6379
              godwit silo --drain-timeout 300
            """)
        { store, storePassword, storeTls, name, address, identity, siloPort, gatewayPort, dataPort, memory, vcpus, label, lease, margin, checkpoints, detection, drain, backend, protocol, log, CommonOptions.Cluster, CommonOptions.Json };
        command.Subcommands.Add(HealthCommand.Create());
        command.SetAction(async (parsed, cancellation) =>
        {
            var folder = new ClusterFolder(parsed.GetValue(CommonOptions.Cluster)!);
            var membership = Membership.OfSilo(folder.Path, parsed.GetValue(identity), TimeProvider.System);
            var ports = ListeningPorts.Require(parsed.GetValue(address), membership, parsed.GetValue(siloPort), parsed.GetValue(gatewayPort), parsed.GetValue(dataPort));
            return await RunAsync(
                new SiloSettings
                {
                    Store = await RequireStoreAsync(parsed.GetValue(store), parsed.GetValue(storePassword), parsed.GetValue(storeTls), membership, folder, storeExecutable, cancellation),
                    Name = RequireName(parsed.GetValue(name) ?? membership.Identity?.Peer.Name ?? $"silo-{ports.Silo}"),
                    Address = ports.Address,
                    SiloPort = ports.Silo,
                    GatewayPort = ports.Gateway,
                    DataPort = ports.Data,
                    MemoryBytes = RequireMemory(parsed.GetValue(memory)),
                    Features = new SiloFeatures(
                        parsed.GetValue(vcpus),
                        parsed.GetValue(backend).ToString().ToLowerInvariant(),
                        [.. CpuLevels.Executed.Select(level => (int)level)],
                        RequireLabels(parsed.GetValue(label) ?? [])),
                    Membership = membership,
                    Lease = TimeSpan.FromSeconds(parsed.GetValue(lease)),
                    LeaseMargin = TimeSpan.FromSeconds(parsed.GetValue(margin)),
                    CheckpointFolder = Path.GetFullPath(parsed.GetValue(checkpoints) ?? folder.CheckpointPath),
                    FailureDetection = TimeSpan.FromSeconds(parsed.GetValue(detection)),
                    DrainTimeout = TimeSpan.FromSeconds(parsed.GetValue(drain)),
                    Protocol = new ProtocolRange(parsed.GetValue(protocol), parsed.GetValue(protocol) - 1),
                    LogLevel = parsed.GetValue(log),
                },
                (vm, spec) => machines(vm, spec, parsed.GetValue(backend)),
                parsed.GetValue(CommonOptions.Json),
                retryPort: parsed.GetValue(siloPort) == 0 && IPAddress.IsLoopback(ports.Address),
                cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(SiloSettings settings, Func<string, MachineSpec, IMachine> machines, bool json, bool retryPort, CancellationToken cancellation)
    {
        using var signals = new StopSignals(ignoreInterrupt: false, cancellation);
        for (var attempt = 1; ; attempt++)
        {
            await using var app = await SiloHost.BuildAsync(settings, machines);
            await JoinCheck.RequireAsync(app.Services, settings.Membership.Guard, cancellation);
            await ProtocolCheck.RequireAsync(app.Services, cancellation);
            try
            {
                var start = app.StartAsync(cancellation);
                if (await Task.WhenAny(start, signals.Stopped) != start)
                {
                    // Told to stop before it was ready: it holds nothing yet.
                    app.Lifetime.StopApplication();
                }

                await start;
            }
            catch (OperationCanceledException) when (signals.Stopped.IsCompleted)
            {
                return 0;
            }
            catch (Exception e) when (retryPort && attempt < PortAttempts && e.GetBaseException() is AddressInUseException or System.Net.Sockets.SocketException { SocketErrorCode: System.Net.Sockets.SocketError.AddressAlreadyInUse })
            {
                // A port that was free a moment ago is not any more.
                settings = settings with { SiloPort = FreePort.Find(settings.Address) };
                continue;
            }

            await SayReadyAsync(app, settings, json);
            var shutdown = app.WaitForShutdownAsync(CancellationToken.None);
            if (await Task.WhenAny(shutdown, signals.Stopped) != shutdown)
            {
                await SiloDeparture.DrainAsync(app.Services, settings.DrainTimeout, signals.StoppedAgain);
                app.Lifetime.StopApplication();
                if (!await SiloDeparture.FarewellAsync(app.Services, shutdown))
                {
                    return 0;
                }
            }

            await shutdown;
            return 0;
        }
    }

    private static async Task SayReadyAsync(WebApplication app, SiloSettings settings, bool json)
    {
        var silo = app.Services.GetRequiredService<SiloIdentity>();
        var gateway = app.Services.GetRequiredService<ILocalSiloDetails>().GatewayAddress?.Endpoint.ToString();
        var data = app.Services.GetRequiredService<DataPlaneAddress>().Find();
        await Console.Out.WriteLineAsync(json
            ? JsonSerializer.Serialize(new { ready = true, name = silo.Name, address = silo.Address, store = settings.Store.Address, gateway, data, pid = Environment.ProcessId, memoryBytes = settings.MemoryBytes }, JsonSerializerOptions.Web)
            : $"silo {silo.Name} ready: store {settings.Store.Address}, gateway {gateway}, data port {data}, {MemorySize.Format(settings.MemoryBytes)} for guests (process {Environment.ProcessId})");
    }

    private static async Task<StoreLogin> RequireStoreAsync(string? given, string? passwordFile, bool tls, Membership membership, ClusterFolder folder, string executable, CancellationToken cancellation)
    {
        if (given is null)
        {
            return await new StoreFinder(folder, executable).FindOrStartAsync(cancellation);
        }

        var login = StoreLogin.Find(folder.Path, given, passwordFile)! with
        {
            Tls = tls,
            Authorities = membership.Identity?.Authorities ?? [],
            Certificate = membership.Identity?.Certificate,
        };
        if (tls && membership.Identity is not null)
        {
            // It proves by its certificate that it is the cluster's, whose silos all know this password.
            login = login with { Password = login.Password ?? membership.Secret.StorePassword };
        }
        else if (!tls && login.Remote)
        {
            await Console.Error.WriteLineAsync($"godwit: the store at {given} is on the network without TLS: its password and who may run which VM cross it in clear (--store-tls).");
        }

        return await login.WhyNotAsync() is { } reason ? throw new IOException(reason) : login;
    }

    private static string RequireName(string name) =>
        name.Length is > 0 and <= 63 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')
            ? name
            : throw new ArgumentException($"\"{name}\" is not a silo name: use 1 to 63 letters, digits, '-', '_' and '.'.");

    private static IReadOnlyDictionary<string, string> RequireLabels(string[] given) =>
        given.Length > MaxLabels ? throw new ArgumentException($"A silo has at most {MaxLabels} labels.")
        : PlacementLabel.TryParse(given, out var labels, out var problem) ? labels
        : throw new ArgumentException(problem);

    private static long RequireMemory(string? text)
    {
        if (text is null)
        {
            return GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 * 3;
        }

        return MemorySize.TryParse(text, out var bytes) && bytes > 0
            ? bytes
            : throw new ArgumentException($"\"{text}\" is not an amount of memory: write 512M or 4G, say.");
    }

    private static void CountRule(System.CommandLine.Parsing.OptionResult result, int least, int most)
    {
        if (result.GetValueOrDefault<int>() is var count && !(count >= least && count <= most))
        {
            result.AddError($"{result.Option.Name} takes {least} to {most}.");
        }
    }

    private static void SecondsRule(System.CommandLine.Parsing.OptionResult result, double least, double most)
    {
        if (result.GetValueOrDefault<double>() is var seconds && !(seconds >= least && seconds <= most))
        {
            result.AddError($"{result.Option.Name} takes {least} to {most} seconds.");
        }
    }
}
