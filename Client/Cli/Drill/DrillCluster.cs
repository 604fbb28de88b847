using Godwit.Access;
using Godwit.Client;

namespace Godwit.Cli.Drill;

/// <summary>A throw-away cluster: the embedded store and silos as processes of their own, in a folder of its own.</summary>
internal sealed class DrillCluster : IAsyncDisposable
{
    private static readonly TimeSpan s_membersLimit = TimeSpan.FromSeconds(30);

    private readonly string _folder = Directory.CreateTempSubdirectory("godwit-drill-").FullName;
    private readonly List<DrillSilo> _silos = [];
    private readonly DrillBackend _backend;
    private readonly string _executable;
    private readonly string[] _siloOptions;
    private DrillProcess? _store;
    private int _started;

    private DrillCluster(DrillBackend backend, string executable, string[] siloOptions)
    {
        _backend = backend;
        _executable = executable;
        _siloOptions = siloOptions;
    }

    public GodwitClient Client { get; private set; } = null!;

    /// <summary>The silos whose processes have not been taken away, in the order in which they were started.</summary>
    public IReadOnlyList<DrillSilo> Silos => _silos;

    /// <summary>The store's HOST:PORT.</summary>
    public string StoreAddress => _store!.Ready.GetProperty("address").GetString()!;

    /// <summary>The store's process.</summary>
    public DrillProcess Store => _store!;

    /// <param name="siloOptions">Options that every silo gets beside its name and back end.</param>
    public static async Task<DrillCluster> StartAsync(int silos, DrillBackend backend, string executable, CancellationToken cancellation, params string[] siloOptions)
    {
        DrillCluster cluster = new(backend, executable, siloOptions);
        try
        {
            cluster._store = await DrillProcess.StartAsync(executable, ["store", "--cluster", cluster._folder, "--json"], cancellation).ConfigureAwait(false);
            // All at once: most of a silo's start is waiting.
            Task<DrillSilo>[] starts = [.. Enumerable.Range(0, silos).Select(i => cluster.LaunchSiloAsync(((char)('A' + i)).ToString(), cancellation))];
            foreach (Task<DrillSilo> start in starts)
                await start.ContinueWith(done => { if (done.IsCompletedSuccessfully) cluster._silos.Add(done.Result); }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
            await Task.WhenAll(starts).ConfigureAwait(false);
            cluster.Client = await GodwitClient.ConnectAsync(ClusterAccess.Open(cluster._folder, cluster.StoreAddress), cancellation: cancellation).ConfigureAwait(false);
            await cluster.WaitForMembersAsync(cancellation).ConfigureAwait(false);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Starts one more silo; it is a member when this returns. Silos end at once on SIGTERM, unless the options say otherwise (<c>--drain-timeout</c>).</summary>
    public async Task<DrillSilo> AddSiloAsync(string name, CancellationToken cancellation, params string[] options)
    {
        DrillSilo silo = await LaunchSiloAsync(name, cancellation, options).ConfigureAwait(false);
        _silos.Add(silo);
        await WaitForMembersAsync(cancellation).ConfigureAwait(false);
        return silo;
    }

    /// <summary>Ends a silo in good order (SIGTERM) and waits for its process, however long it drains; returns its exit code.</summary>
    public async Task<int> EndSiloAsync(DrillSilo silo, CancellationToken cancellation)
    {
        _silos.Remove(silo);
        await using (silo.Process.ConfigureAwait(false))
            return await silo.Process.EndAsync(cancellation).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (Client is not null)
            await Client.DisposeAsync().ConfigureAwait(false);
        await Task.WhenAll(_silos.Select(silo => silo.Process.DisposeAsync().AsTask())).ConfigureAwait(false);
        if (_store is not null)
            await _store.DisposeAsync().ConfigureAwait(false);
        Directory.Delete(_folder, recursive: true);
    }

    // A silo says that it is ready before the others have heard of it.
    private async Task WaitForMembersAsync(CancellationToken cancellation)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(s_membersLimit);
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(100));
        try
        {
            do
            {
                HashSet<string> known = [.. (await Client.SilosAsync(cancellation: limit.Token).ConfigureAwait(false)).Where(silo => silo.Host is not null).Select(silo => silo.Address)];
                if (_silos.TrueForAll(silo => known.Contains(silo.Address)))
                    return;
            }
            while (await look.WaitForNextTickAsync(limit.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new DrillException($"the silos did not find one another within {s_membersLimit.TotalSeconds:0} s");
        }
    }

    private async Task<DrillSilo> LaunchSiloAsync(string name, CancellationToken cancellation, params string[] options)
    {
        string backend = _backend.Of(_started++);
        string[] drain = _siloOptions.Concat(options).Contains("--drain-timeout") ? [] : ["--drain-timeout", "0"];
        DrillProcess process = await DrillProcess.StartAsync(
            _executable,
            ["silo", "--cluster", _folder, "--store", StoreAddress, "--name", name, "--backend", backend, "--json", .. drain, .. _siloOptions, .. options],
            cancellation).ConfigureAwait(false);
        return new DrillSilo(name, process);
    }
}

/// <summary>A silo of the drill's cluster.</summary>
internal sealed record DrillSilo(string Name, DrillProcess Process)
{
    /// <summary>Its address with its generation, as it said when it was ready.</summary>
    public string Address => Process.Ready.GetProperty("address").GetString()!;
}
