using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Checkpoints;

/// <summary>Takes the checkpoints of this silo's VMs when they are due, a few at a time, and follows changes of their policies.</summary>
internal sealed partial class CheckpointKeeper : BackgroundService
{
    /// <summary>Copying memory takes a core: the guests want the others.</summary>
    private const int AtOnce = 2;

    private static readonly TimeSpan _look = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan _policyAge = TimeSpan.FromSeconds(2);

    private readonly HashSet<string> _busy = [];
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _slots = new(AtOnce);
    private readonly HostedVms _vms;
    private readonly Checkpointer _checkpointer;
    private readonly IOwnershipStore _store;
    private readonly TimeProvider _time;
    private readonly ILogger<CheckpointKeeper> _log;

    public CheckpointKeeper(HostedVms vms, Checkpointer checkpointer, IOwnershipStore store, TimeProvider time, ILogger<CheckpointKeeper> log)
    {
        _vms = vms;
        _checkpointer = checkpointer;
        _store = store;
        _time = time;
        _log = log;
    }

    public override void Dispose()
    {
        _slots.Dispose();
        base.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(_look, _time);
        List<Task> running = [];
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                running.RemoveAll(t => t.IsCompleted);
                running.AddRange(_vms.All.Where(TryBegin).Select(vm => TendAsync(vm, stoppingToken)));
            }
        }
        catch (OperationCanceledException)
        {
            // The silo goes down.
        }

        await Task.WhenAll(running);
    }

    private bool TryBegin(HostedVm vm)
    {
        if (vm.Ended || !vm.Serving || vm.Tenure is not { Lost: false })
        {
            return false;
        }

        lock (_lock)
        {
            return _busy.Add(vm.Name);
        }
    }

    private async Task TendAsync(HostedVm vm, CancellationToken cancellation)
    {
        try
        {
            await FollowPolicyAsync(vm, cancellation);
            if (vm.Restart.Mode != RestartMode.Checkpoint)
            {
                if (vm.Tenure?.Record.Checkpoint is not null)
                {
                    await _checkpointer.ForgetAsync(vm, cancellation);
                }

                return;
            }

            if (vm.Checkpoints.Begun is { } begun && _time.GetElapsedTime(begun) < vm.Restart.CheckpointEvery)
            {
                return;
            }

            await _slots.WaitAsync(cancellation);
            try
            {
                vm.Checkpoints.Begun = _time.GetTimestamp();
                await Task.Run(() => _checkpointer.TakeAsync(vm, cancellation), cancellation);
            }
            finally
            {
                _slots.Release();
            }
        }
        catch (OperationCanceledException)
        {
            // The silo goes down, or lets go of the VM.
        }
        catch (Exception e)
        {
            // The edge of a task that nobody awaits: the guest runs on, and the next one is tried.
            LogBroken(vm.Name, e);
        }
        finally
        {
            lock (_lock)
            {
                _busy.Remove(vm.Name);
            }
        }
    }

    private async Task FollowPolicyAsync(HostedVm vm, CancellationToken cancellation)
    {
        if (vm.Checkpoints.PolicyRead is { } read && _time.GetElapsedTime(read) < _policyAge)
        {
            return;
        }

        vm.Checkpoints.PolicyRead = _time.GetTimestamp();
        if (await _store.ReadDefinitionAsync(vm.Name, cancellation) is { } definition)
        {
            vm.Restart = definition.Restart ?? RestartPolicy.None;
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The checkpoint of VM {Vm} broke")]
    private partial void LogBroken(string vm, Exception exception);
}
