using System.Collections.Concurrent;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Ownership;
using Godwit.Grains.Placement;
using Godwit.Silo.Machines;
using Microsoft.Extensions.Options;

namespace Godwit.Silo.Migrations;

/// <summary>Migrations that this silo has promised to receive, and their receiving.</summary>
internal sealed partial class IncomingMigrations : IDisposable
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, IncomingMigration> _expected = new();
    private readonly ConcurrentDictionary<string, CancellationTokenSource> _receiving = new();
    private readonly ConcurrentDictionary<string, Task> _running = new();
    private readonly CancellationTokenSource _closing = new();
    private readonly HostedVms _vms;
    private readonly IOwnershipStore _store;
    private readonly OwnershipOptions _ownership;
    private readonly TimeProvider _time;
    private readonly SiloIdentity _silo;
    private readonly VmEndings _endings;
    private readonly ILogger<IncomingMigrations> _log;
    private int _open;

    public IncomingMigrations(HostedVms vms, IOwnershipStore store, IOptions<OwnershipOptions> ownership, TimeProvider time, SiloIdentity silo, VmEndings endings, ILogger<IncomingMigrations> log)
    {
        _vms = vms;
        _store = store;
        _ownership = ownership.Value;
        _time = time;
        _silo = silo;
        _endings = endings;
        _log = log;
    }

    /// <summary>Sets room aside and waits for the data connection, for a while. Throws <see cref="ClusterException"/> where there is no room.</summary>
    public void Expect(IncomingRequest request)
    {
        var attempt = new IncomingMigration(request, _vms.Capacity.Reserve(VmDemand.Of(request.Vm, request.Definition, request.Load)), () => Interlocked.Decrement(ref _open));
        Interlocked.Increment(ref _open);
        _expected[request.Attempt] = attempt;
        attempt.ExpireAfter(_patience, _time, () => Cancel(request.Attempt));
    }

    /// <summary>Takes an expected migration out of waiting; null where there is none such.</summary>
    public IncomingMigration? Take(string vm, string attempt)
    {
        if (!_expected.TryGetValue(attempt, out var expected) || expected.Request.Vm != vm || !_expected.TryRemove(attempt, out expected))
        {
            return null;
        }

        expected.Taken();
        return expected;
    }

    /// <summary>A migration is expected, or being received.</summary>
    public bool Any => Volatile.Read(ref _open) > 0;

    public bool IsReceiving(string attempt) => _expected.ContainsKey(attempt) || _running.ContainsKey(attempt);

    /// <summary>The source gave it up: no more waiting, and an end to receiving where that has begun.</summary>
    public void Cancel(string attempt)
    {
        if (_expected.TryRemove(attempt, out var expected))
        {
            expected.Dispose();
        }

        if (_receiving.TryGetValue(attempt, out var receiving))
        {
            receiving.Cancel();
        }
    }

    /// <summary>Receives the machine over the stream and runs it here; returns when that is done or has failed.</summary>
    public async Task ReceiveAsync(IncomingMigration attempt, Stream stream)
    {
        var run = ReceiveHereAsync(attempt, stream);
        _running[attempt.Request.Attempt] = run;
        try
        {
            await run;
        }
        finally
        {
            _running.TryRemove(attempt.Request.Attempt, out _);
        }
    }

    /// <summary>The silo goes down: nothing more is received.</summary>
    public async Task CloseAsync()
    {
        await _closing.CancelAsync();
        foreach (var attempt in _expected.Keys)
        {
            Cancel(attempt);
        }

        await Task.WhenAll(_running.Values);
    }

    public void Dispose() => _closing.Dispose();

    private async Task ReceiveHereAsync(IncomingMigration attempt, Stream stream)
    {
        using var given = attempt;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        var request = attempt.Request;
        _receiving[request.Attempt] = stop;
        var vm = _vms.Build(request.Vm, request.Definition, attempt.HandOverMemory());
        try
        {
            if (!_vms.TryAdd(vm))
            {
                throw new ClusterException(ClusterError.WrongState, $"silo {_silo.Name} holds a machine of VM \"{request.Vm}\" already");
            }

            await RunHereAsync(vm, request, stream, stop.Token);
        }
        catch (Exception e)
        {
            LogFailed(request.Vm, request.SourceName, e.Message);
            await HandBackAsync(vm);
            await _vms.DropAsync(vm);
        }
        finally
        {
            _receiving.TryRemove(request.Attempt, out _);
        }
    }

    private async Task RunHereAsync(HostedVm vm, IncomingRequest request, Stream stream, CancellationToken cancellation)
    {
        var authority = new MoveTarget(_store, _time, _ownership, request.Vm, request.Attempt, _silo.Address, _silo.Name, tenure => vm.Tenure = tenure);
        var running = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        vm.Follow(end => _endings.OnMachineEndedAsync(vm, end.Reason, end.ExitCode), () => running.TrySetResult());
        var confirmed = ConfirmAsync(vm, authority, running.Task);
        try
        {
            await vm.Machine.MigrateInAsync(stream, authority, _ => vm.Tenure!.LeaseEnds, cancellation);
            running.TrySetResult();
        }
        catch
        {
            running.TrySetCanceled(CancellationToken.None);
            throw;
        }

        if (!await confirmed)
        {
            throw new ClusterException(ClusterError.WrongState, "the source took the VM back before this silo could report that it runs");
        }
    }

    /// <summary>
    /// The record says that it runs here as soon as it does; the engine goes on talking to the source meanwhile. Only then
    /// anything of it is shown: what the guest did before could still be taken back.
    /// </summary>
    private static async Task<bool> ConfirmAsync(HostedVm vm, MoveTarget authority, Task running)
    {
        try
        {
            await running;
        }
        catch (OperationCanceledException)
        {
            return false;
        }

        if (!await authority.ConfirmAsync(CancellationToken.None))
        {
            return false;
        }

        vm.Grant();
        vm.Serve();
        return true;
    }

    /// <summary>Committed, but not able to run it: the lease ends at once, so that the source may take the VM back.</summary>
    private static async Task HandBackAsync(HostedVm vm)
    {
        if (vm.Tenure is { Lost: false } tenure)
        {
            await vm.Machine.DisposeAsync();
            await tenure.ChangeAsync(r => r.Confirmed ? null : r with { Lease = TimeSpan.Zero }, CancellationToken.None);
            tenure.GiveUp();
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Receiving VM {Vm} from {Source} failed: {Error}")]
    private partial void LogFailed(string vm, string source, string error);
}

/// <summary>One promised migration: its memory is set aside until it is taken or given up.</summary>
internal sealed class IncomingMigration : IDisposable
{
    private readonly CapacityReservation _memory;
    private readonly Action _over;
    private ITimer? _expiry;
    private bool _handedOver;
    private int _disposed;

    /// <param name="over">Called once, when it has come, failed or been given up.</param>
    public IncomingMigration(IncomingRequest request, CapacityReservation memory, Action over)
    {
        Request = request;
        _memory = memory;
        _over = over;
    }

    public IncomingRequest Request { get; }

    public void ExpireAfter(TimeSpan patience, TimeProvider time, Action expire) =>
        _expiry = time.CreateTimer(_ => expire(), null, patience, Timeout.InfiniteTimeSpan);

    public void Taken() => _expiry?.Dispose();

    /// <summary>The memory belongs to the machine from now on.</summary>
    public CapacityReservation HandOverMemory()
    {
        _handedOver = true;
        return _memory;
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _expiry?.Dispose();
        if (!_handedOver)
        {
            _memory.Dispose();
        }

        _over();
    }
}
