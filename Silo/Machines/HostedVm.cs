using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Migrations;

namespace Godwit.Silo.Machines;

/// <summary>One machine that this silo holds, with the silo's hold on its ownership record.</summary>
internal sealed class HostedVm : IAsyncDisposable
{
    private readonly CancellationTokenSource _gone = new();
    private readonly TaskCompletionSource _served = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _input = new(1);
    private readonly MemoryReservation _memory;
    private readonly RunLog _log;
    private Task _events = Task.CompletedTask;
    private bool _inputClosed;
    private int _disposed;

    public HostedVm(string name, VmDefinition definition, IMachine machine, MemoryReservation memory, RunLog log)
    {
        Name = name;
        Definition = definition;
        Machine = machine;
        _memory = memory;
        _log = log;
    }

    public string Name { get; }

    public VmDefinition Definition { get; }

    public IMachine Machine { get; }

    /// <summary>Null until it is claimed, or committed here by a migration.</summary>
    public Tenure? Tenure { get; set; }

    /// <summary>A migration out of here, running or the last one.</summary>
    public MigrationJob? Job { get; set; }

    /// <summary>False while it is being built or received: nothing of it may be seen before the record says that it runs here.</summary>
    public bool Serving => _served.Task.IsCompletedSuccessfully;

    /// <summary>The guest has ended; only its console is left.</summary>
    public bool Ended { get; private set; }

    /// <summary>Why it is being ended from outside; what the machine itself says of its end comes second.</summary>
    public string? StopReason { get; set; }

    /// <summary>Cancelled when this silo lets go of the machine.</summary>
    public CancellationToken Gone => _gone.Token;

    public bool MigrationUnderWay => Job is { Finished: false };

    /// <summary>The record says that it runs here: callers may see it.</summary>
    public void Serve() => _served.TrySetResult();

    /// <summary>Waits until it is served; false where that does not come in time, or it is dropped instead.</summary>
    public async Task<bool> WaitServedAsync(TimeSpan limit)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(_gone.Token);
        patience.CancelAfter(limit);
        try
        {
            await _served.Task.WaitAsync(patience.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Begins to follow what happens in the machine.</summary>
    public void Follow(Func<MachineEnded, Task> ended, Action? started = null) => _events = FollowAsync(ended, started);

    /// <summary>Gives the machine the right to run as long as the lease lasts.</summary>
    public void Grant()
    {
        if (Tenure is { Lost: false } tenure)
        {
            Machine.Grant(tenure.Epoch, tenure.LeaseEnds);
        }
    }

    /// <summary>Types at the console; refused once a move has begun, since the state may have been sent already.</summary>
    public async Task WriteConsoleAsync(byte[] bytes)
    {
        await _input.WaitAsync(_gone.Token);
        try
        {
            if (_inputClosed)
            {
                throw new ClusterException(ClusterError.Moved, $"VM \"{Name}\" is between two silos.");
            }

            await Machine.WriteConsoleAsync(bytes, _gone.Token);
        }
        finally
        {
            _input.Release();
        }
    }

    /// <summary>No input after this until it is opened again; input that was taken is in the machine.</summary>
    public async Task SetInputAsync(bool open)
    {
        await _input.WaitAsync(_gone.Token);
        _inputClosed = !open;
        _input.Release();
    }

    /// <summary>The guest is over and its memory released; the console stays readable.</summary>
    public void MarkEnded()
    {
        Ended = true;
        _memory.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await _gone.CancelAsync();
        await Machine.DisposeAsync();
        _memory.Dispose();

        // The machine's end closes its events: what it did last is recorded before anyone is told that it is gone.
        await _events;
    }

    private async Task FollowAsync(Func<MachineEnded, Task> ended, Action? started)
    {
        await foreach (var what in Machine.Events)
        {
            _log.Add(what);
            if (what is RunStarted)
            {
                started?.Invoke();
            }
            else if (what is MachineEnded end)
            {
                // Not awaited: what follows an ending may dispose this machine, which waits for this loop.
                _ = ended(end);
            }
        }
    }
}
