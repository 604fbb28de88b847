using Godwit.Access;
using Godwit.Client;

namespace Godwit.Cli.Drill;

/// <summary>A throw-away cluster: a store and silos as processes of their own, in a folder of its own.</summary>
internal sealed class DrillCluster : IAsyncDisposable
{
    private static readonly TimeSpan s_membersLimit = TimeSpan.FromSeconds(30);

    private readonly string _folder = Directory.CreateTempSubdirectory("godwit-drill-").FullName;
    private readonly List<DrillSilo> _silos = [];
    private readonly DrillBackend _backend;
    private readonly string _executable;
    private readonly string[] _siloOptions;
    private DrillStore? _store;
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
    public string StoreAddress => _store!.Address;

    /// <param name="siloOptions">Options that every silo gets beside its name and back end.</param>
    /// <param name="store">A kind of <see cref="DrillStore"/>.</param>
    public static async Task<DrillCluster> StartAsync(int silos, string store, DrillBackend backend, string executable, CancellationToken cancellation, params string[] siloOptions)
    {
        DrillCluster cluster = new(backend, executable, siloOptions);
        try
        {
            cluster._store = await DrillStore.StartAsync(store, executable, cluster._folder, cancellation).ConfigureAwait(false);
            // All at once: most of a silo's start is waiting.
            Task<DrillSilo>[] starts = [.. Enumerable.Range(0, silos).Select(i => cluster.LaunchSiloAsync(((char)('A' + i)).ToString(), cancellation))];
            foreach (Task<DrillSilo> start in starts)
                await start.ContinueWith(done => { if (done.IsCompletedSuccessfully) cluster._silos.Add(done.Result); }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
            await Task.WhenAll(starts).ConfigureAwait(false);
            if (silos == 0)
                return cluster;
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

    /// <summary>Starts one more silo that reaches the store by another address. A cluster that was started without silos has its client with the first.</summary>
    public async Task<DrillSilo> AddSiloBehindAsync(string name, string storeAddress, CancellationToken cancellation)
    {
        DrillSilo silo = await LaunchSiloAsync(name, storeAddress, cancellation).ConfigureAwait(false);
        _silos.Add(silo);
        Client ??= await GodwitClient.ConnectAsync(ClusterAccess.Open(_folder, StoreAddress), cancellation: cancellation).ConfigureAwait(false);
        return silo;
    }

    /// <summary>Kills a silo (kill -9), or forgets one that has ended.</summary>
    public async Task KillSiloAsync(DrillSilo silo)
    {
        _silos.Remove(silo);
        await using (silo.Process.ConfigureAwait(false))
            await silo.Process.KillAsync().ConfigureAwait(false);
    }

    /// <summary>Files that a VM's checkpoints have on the disk now.</summary>
    public int CheckpointFiles(string vm) =>
        Directory.Exists(Path.Combine(_folder, "checkpoints", vm)) ? Directory.GetFiles(Path.Combine(_folder, "checkpoints", vm)).Length : 0;

    /// <summary>A planted fault: files that no checkpoint names, of an epoch that is still to come.</summary>
    public void LeaveCheckpointFiles(string vm)
    {
        string folder = Directory.CreateDirectory(Path.Combine(_folder, "checkpoints", vm)).FullName;
        for (int i = 0; i < 3; i++)
            File.WriteAllText(Path.Combine(folder, $"999999-1-{Guid.NewGuid():N}"), "left over");
    }

    /// <summary>Waits until all silos know one another.</summary>
    public Task MeetAsync(CancellationToken cancellation) => WaitForMembersAsync(cancellation);

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

    private Task<DrillSilo> LaunchSiloAsync(string name, CancellationToken cancellation, params string[] options) =>
        LaunchSiloAsync(name, StoreAddress, cancellation, options);

    private async Task<DrillSilo> LaunchSiloAsync(string name, string storeAddress, CancellationToken cancellation, params string[] options)
    {
        string backend = _backend.Of(_started++);
        string[] drain = _siloOptions.Concat(options).Contains("--drain-timeout") ? [] : ["--drain-timeout", "0"];
        DrillProcess process = await DrillProcess.StartAsync(
            _executable,
            ["silo", "--cluster", _folder, "--store", storeAddress, "--name", name, "--backend", backend, "--json", .. drain, .. _siloOptions, .. options],
            cancellation,
            storeAddress == StoreAddress ? null : ClusterSecret.TryRead(_folder)?.StorePassword).ConfigureAwait(false);
        return new DrillSilo(name, process);
    }
}

/// <summary>A silo of the drill's cluster.</summary>
internal sealed record DrillSilo(string Name, DrillProcess Process)
{
    /// <summary>Its address with its generation, as it said when it was ready.</summary>
    public string Address => Process.Ready.GetProperty("address").GetString()!;
}
