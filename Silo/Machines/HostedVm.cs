using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Checkpoints;
using Godwit.Silo.Migrations;

namespace Godwit.Silo.Machines;

/// <summary>One machine that this silo holds, with the silo's hold on its ownership record.</summary>
internal sealed class HostedVm : IAsyncDisposable
{
    private const int ConsolePiece = 256 * 1024;

    private readonly CancellationTokenSource _gone = new();
    private readonly TaskCompletionSource _served = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _input = new(1);
    private readonly CapacityReservation _reserved;
    private readonly RunLog _log;
    private Task _events = Task.CompletedTask;
    private ConsoleChunk? _keptConsole;
    private bool _inputClosed;
    private int _ending;
    private int _disposed;

    public HostedVm(string name, VmDefinition definition, IMachine machine, CapacityReservation reserved, RunLog log)
    {
        Name = name;
        Definition = definition;
        Machine = machine;
        _reserved = reserved;
        _log = log;
        Restart = definition.Restart ?? RestartPolicy.None;
    }

    public string Name { get; }

    public VmDefinition Definition { get; }

    public IMachine Machine { get; }

    /// <summary>The policy as it was last read: it may be changed while the VM runs.</summary>
    public RestartPolicy Restart { get; set; }

    public VmCheckpoints Checkpoints { get; } = new();

    /// <summary>vCPUs of it that are busy, as the <see cref="LoadMeter"/> has it.</summary>
    public double Load
    {
        get => _reserved.Load;
        set => _reserved.Load = value;
    }

    /// <summary>Null until it is claimed, or committed here by a migration.</summary>
    public Tenure? Tenure { get; set; }

    /// <summary>A migration out of here, running or the last one.</summary>
    public MigrationJob? Job { get; set; }

    /// <summary>False while it is being built or received: nothing of it may be seen before the record says that it runs here.</summary>
    public bool Serving => _served.Task.IsCompletedSuccessfully;

    /// <summary>The guest has ended; only its console is left.</summary>
    public bool Ended { get; private set; }

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

    /// <summary>False where its ending has begun already.</summary>
    public bool TryBeginEnding() => Interlocked.Exchange(ref _ending, 1) == 0;

    /// <summary>Stops the guest, keeps its console, and frees its memory.</summary>
    public async Task FinishAsync()
    {
        if (await Machine.GetStatusAsync(_gone.Token) is { Phase: MachinePhase.Running })
        {
            // Stopped first: what it printed last is kept too.
            await Machine.PauseAsync(_gone.Token);
        }

        _keptConsole = await ReadWholeConsoleAsync();
        await Machine.StopAsync(_gone.Token);
        Ended = true;
        _reserved.Dispose();
    }

    /// <summary>Console bytes from an offset on, of the machine or of what is left of it.</summary>
    public Task<ConsoleChunk> ReadConsoleAsync(long offset, int maxBytes, CancellationToken cancellation)
    {
        if (_keptConsole is not { } kept)
        {
            return Machine.ReadConsoleAsync(offset, maxBytes, cancellation);
        }

        var from = Math.Clamp(offset - kept.Offset, 0, kept.Bytes.Length);
        var bytes = kept.Bytes.AsSpan((int)from, (int)Math.Min(maxBytes, kept.Bytes.Length - from)).ToArray();
        return Task.FromResult(new ConsoleChunk(kept.Offset + from, bytes, bytes.Length == 0));
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await _gone.CancelAsync();
        await Machine.DisposeAsync();
        _reserved.Dispose();

        // The machine's end closes its events: what it did last is recorded before anyone is told that it is gone.
        await _events;
    }

    /// <summary>All that the ring holds; the guest does not run any more.</summary>
    private async Task<ConsoleChunk> ReadWholeConsoleAsync()
    {
        var end = (await Machine.GetStatusAsync(_gone.Token)).ConsoleEnd;
        using var whole = new MemoryStream();
        long first = 0;
        for (long at = 0; at < end;)
        {
            var chunk = await Machine.ReadConsoleAsync(at, ConsolePiece, _gone.Token);
            if (chunk.Bytes.Length == 0)
            {
                break;
            }

            first = whole.Length == 0 ? chunk.Offset : first;
            whole.Write(chunk.Bytes);
            at = chunk.Offset + chunk.Bytes.Length;
        }

        return new ConsoleChunk(whole.Length == 0 ? end : first, whole.ToArray(), true);
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
