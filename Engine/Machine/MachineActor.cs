using System.Diagnostics;
using Godwit.Engine.Checkpoint;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Snapshot;

namespace Godwit.Engine.Machine;

/// <summary>
/// A machine in this process, behind the interface that its host uses. Commands that change its phase run one after
/// another; a migration or a snapshot under way refuses those that would disturb it.
/// </summary>
/// <param name="name">Names the machine's threads and errors.</param>
/// <param name="expected">What a snapshot or a migration must bring, its clock rate aside; null: anything well-formed.</param>
/// <param name="backend">Makes what executes the guest's code.</param>
public sealed class MachineActor(string name, MachineSpec? expected, Func<Vcpu, IVcpuBackend> backend) : IMachine
{
    private readonly SemaphoreSlim _commands = new(1, 1);
    private readonly EventLog _events = new();
    private readonly RunPermit _permit = new();
    private volatile VirtualMachine? _machine;
    private volatile MachineStatus? _last;
    private readonly CancellationTokenSource _closing = new();
    private volatile LongCommand? _busy;
    private CheckpointSource? _checkpoints;
    private volatile bool _moved;
    private MachinePhase _phase = MachinePhase.Empty;

    /// <summary>The same with a back end of a kind, or the default one of this host.</summary>
    public MachineActor(string name = "vm", MachineSpec? expected = null, BackendKind? backend = null)
        : this(name, expected, Backends.OfMachine(backend ?? Backends.Default))
    {
    }

    public IAsyncEnumerable<MachineEvent> Events => _events.ReadAllAsync();

    public Task CreateAsync(MachineSpec spec, BootImages images, CancellationToken cancellation) => CommandAsync(async () =>
    {
        RequirePhase("create", MachinePhase.Empty);
        VirtualMachine machine = new(spec, _permit, _events, name, backend);
        try
        {
            await Task.Run(() => machine.Boot(images), cancellation).ConfigureAwait(false);
        }
        catch
        {
            await machine.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        Adopt(machine, MachinePhase.Created);
    }, cancellation);

    public Task RestoreAsync(Stream snapshot, CancellationToken cancellation) => CommandAsync(async () =>
    {
        RequirePhase("restore", MachinePhase.Empty);
        VirtualMachine machine = (VirtualMachine)await SnapshotReader.ReadAsync(snapshot, Prepare, cancellation).ConfigureAwait(false);
        // Whatever move was announced to the guest is not this machine's any more.
        machine.Guest.Announce(MigrationEvent.None);
        Adopt(machine, MachinePhase.Paused);
    }, cancellation);

    public void Grant(long epoch, long expiresAtTimestamp)
    {
        _permit.Grant(epoch, expiresAtTimestamp);
        _machine?.LookUp();
    }

    public Task RunAsync(CancellationToken cancellation) => CommandAsync(async () =>
    {
        RequirePhase("run", MachinePhase.Created, MachinePhase.Paused);
        await Machine().RunAsync().ConfigureAwait(false);
        _phase = MachinePhase.Running;
    }, cancellation);

    public Task PauseAsync(CancellationToken cancellation) => CommandAsync(async () =>
    {
        RequirePhase("pause", MachinePhase.Running);
        RefuseWhileBusy("pause");
        await Machine().PauseAsync().ConfigureAwait(false);
        _phase = MachinePhase.Paused;
    }, cancellation);

    public Task StopAsync(CancellationToken cancellation) => CommandAsync(() =>
    {
        RefuseWhileBusy("stop");
        return ReleaseAsync("stopped by command");
    }, cancellation);

    public Task<MachineStatus> GetStatusAsync(CancellationToken cancellation) => Task.FromResult(Status());

    public async Task SnapshotAsync(Stream destination, CancellationToken cancellation)
    {
        VirtualMachine machine = await BeginLongAsync("snapshot", cancellation, MachinePhase.Created, MachinePhase.Paused, MachinePhase.Running).ConfigureAwait(false);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closing.Token);
        try
        {
            bool running = _phase == MachinePhase.Running;
            if (running)
                await machine.PauseAsync().ConfigureAwait(false);
            try
            {
                await SnapshotWriter.WriteAsync(machine, destination, either.Token).ConfigureAwait(false);
            }
            finally
            {
                if (running)
                    machine.Resume(TimeSpan.Zero);
            }
        }
        finally
        {
            EndLong();
        }
    }

    public async Task<CheckpointReport> CheckpointAsync(CheckpointRequest request, Stream destination, CancellationToken cancellation)
    {
        VirtualMachine machine = await BeginLongAsync("checkpoint", cancellation, MachinePhase.Created, MachinePhase.Paused, MachinePhase.Running).ConfigureAwait(false);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closing.Token);
        try
        {
            _checkpoints ??= new CheckpointSource(machine);
            return await _checkpoints.WriteAsync(request, _phase == MachinePhase.Running, destination, either.Token).ConfigureAwait(false);
        }
        catch (SnapshotException failure)
        {
            throw new MachineException(failure.Message, failure);
        }
        finally
        {
            EndLong();
        }
    }

    public async Task<long> RestoreCheckpointAsync(IReadOnlyList<Stream> chain, string digest, CancellationToken cancellation)
    {
        long consoleEnd = 0;
        await CommandAsync(async () =>
        {
            RequirePhase("restore", MachinePhase.Empty);
            VirtualMachine machine = (VirtualMachine)await CheckpointReader.ReadAsync(chain, digest, Prepare, cancellation).ConfigureAwait(false);
            // Whatever move was announced to the guest is not this machine's any more.
            machine.Guest.Announce(MigrationEvent.None);
            consoleEnd = machine.ConsoleEnd;
            Adopt(machine, MachinePhase.Paused);
        }, cancellation).ConfigureAwait(false);
        return consoleEnd;
    }

    public Task<ConsoleChunk> ReadConsoleAsync(long offset, int maxBytes, CancellationToken cancellation) =>
        _machine is { } machine
            ? machine.Console.ReadAsync(offset, maxBytes, cancellation)
            : _moved ? throw new ObjectDisposedException(name, "the machine has moved away") : Task.FromResult(new ConsoleChunk(offset, [], true));

    public Task WriteConsoleAsync(ReadOnlyMemory<byte> input, CancellationToken cancellation)
    {
        if (_machine is not { } machine || machine.Ended.IsCompleted)
            throw new MachineException("the machine has no console any more");
        int taken = machine.TypeAtConsole(input.Span);
        return taken == input.Length
            ? Task.CompletedTask
            : throw new MachineException($"the guest does not read its console: {input.Length - taken} of {input.Length} bytes were not taken");
    }

    public async Task<MigrationReport> MigrateOutAsync(Stream link, MigrationOptions options, IMigrationSourceAuthority authority, IProgress<MigrationProgress> progress, CancellationToken cancellation)
    {
        VirtualMachine machine = await BeginLongAsync("migrate", cancellation, MachinePhase.Running).ConfigureAwait(false);
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closing.Token);
        try
        {
            return await MigrationSource.RunAsync(machine, link, options, authority, progress, either.Token, LeaveAsync).ConfigureAwait(false);
        }
        catch (MigrationFailedException failure) when (failure.OwnerUnknown)
        {
            // Stopped, and kept: this may be the only copy.
            _phase = MachinePhase.Paused;
            throw;
        }
        catch (MigrationFailedException failure) when (!failure.SourceRuns)
        {
            await LeaveAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            EndLong();
        }
    }

    public async Task<MigrationReport> MigrateInAsync(Stream link, IMigrationTargetAuthority authority, Func<long, long> grant, CancellationToken cancellation)
    {
        await _commands.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            RequirePhase("receive a migration", MachinePhase.Empty);
            VirtualMachine? prepared = null;
            return await MigrationTarget.RunAsync(
                link,
                spec => prepared = Prepare(spec),
                authority,
                epoch =>
                {
                    _permit.Grant(epoch, grant(epoch));
                    Adopt(prepared!, MachinePhase.Running);
                    return Task.CompletedTask;
                },
                progress: null,
                cancellation).ConfigureAwait(false);
        }
        finally
        {
            _commands.Release();
        }
    }

    /// <summary>A digest of the whole state (CPU, devices, RAM), as hex. Paused or ended machines only.</summary>
    public Task<string> DigestAsync(CancellationToken cancellation)
    {
        VirtualMachine machine = Machine();
        if (_phase == MachinePhase.Running && !machine.Ended.IsCompleted)
            throw new MachineException("cannot take the digest of a running machine: pause it first");
        return Task.Run(() => $"{RamHash.ToHex(StateSections.Digest(machine.SaveState()))}{RamHash.ToHex(RamHash.Compute(machine.Memory, cancellation))}", cancellation);
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        if (_busy is { } running)
            await running.Done.Task.ConfigureAwait(false);
        await _commands.WaitAsync().ConfigureAwait(false);
        await ReleaseAsync("disposed").ConfigureAwait(false);
        _events.Complete();
        _commands.Release();
    }

    // The spec of a snapshot or a stream is a stranger's: memory was set aside for the one that was expected.
    private VirtualMachine Prepare(MachineSpec spec) => expected is null || spec with { TscHz = expected.TscHz } == expected
        ? new(spec, _permit, _events, name, backend)
        : throw new MachineException($"it is another machine than the one expected: {Describe(spec)}, not {Describe(expected)}");

    private static string Describe(MachineSpec spec) =>
        $"{spec.MemoryBytes >> 20} MiB, {spec.VcpuCount} vCPU, clock {spec.Clock}, {spec.Boot.Protocol} kernel {spec.Boot.Kernel ?? "none"}";

    private void Adopt(VirtualMachine machine, MachinePhase phase)
    {
        _phase = phase;
        _machine = machine;
    }

    private Task LeaveAsync()
    {
        // Whoever reads the console here must go on reading where the machine is now, not be told that it has ended.
        _moved = true;
        _machine?.Console.Leave();
        return ReleaseAsync("moved away");
    }

    private async Task ReleaseAsync(string reason)
    {
        if (_machine is not { } machine)
        {
            _phase = MachinePhase.Ended;
            return;
        }
        bool endedItself = machine.Ended.IsCompleted;
        MachineStatus before = Status();
        _last = before with { Phase = MachinePhase.Ended, EndReason = before.EndReason ?? reason, ResidentBytes = 0 };
        _machine = null;
        _phase = MachinePhase.Ended;
        _checkpoints?.Dispose();
        await machine.DisposeAsync().ConfigureAwait(false);
        if (!endedItself)
            _events.Add(new MachineEnded(Stopwatch.GetTimestamp(), reason, null));
    }

    private MachineStatus Status()
    {
        if (_machine is not { } machine)
            return _last ?? new MachineStatus(_phase, null, null, 0, 0, 0, 0, _permit.Epoch);
        MachineUsage usage = machine.Usage;
        MachineEnding? ending = machine.Ended.IsCompletedSuccessfully ? machine.Ended.Result : null;
        return new MachineStatus(
            ending is null ? _phase : MachinePhase.Ended,
            ending?.Reason,
            ending?.ExitCode,
            usage.ResidentBytes,
            machine.Console.Length,
            usage.RetiredInstructions,
            usage.GuestNanoseconds,
            _permit.Epoch)
        {
            BusyNanoseconds = usage.BusyNanoseconds,
            TimerDelays = usage.TimerDelays,
        };
    }

    private VirtualMachine Machine() => _machine ?? throw new MachineException("the machine has ended");

    private async Task<VirtualMachine> BeginLongAsync(string command, CancellationToken cancellation, params MachinePhase[] phases)
    {
        await _commands.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            RequirePhase(command, phases);
            RefuseWhileBusy(command);
            VirtualMachine machine = Machine();
            _busy = new LongCommand(command, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            return machine;
        }
        finally
        {
            _commands.Release();
        }
    }

    private void EndLong()
    {
        TaskCompletionSource done = _busy!.Done;
        _busy = null;
        done.SetResult();
    }

    private void RefuseWhileBusy(string command)
    {
        if (_busy is { } other)
            throw new MachineException($"cannot {command}: a {(other.Name == "migrate" ? "migration" : other.Name)} of this machine is under way");
    }

    private void RequirePhase(string command, params MachinePhase[] allowed)
    {
        MachinePhase phase = Status().Phase;
        if (Array.IndexOf(allowed, phase) < 0)
            throw new MachineException($"cannot {command} a machine that {Describe(phase)}");
    }

    private static string Describe(MachinePhase phase) => phase switch
    {
        MachinePhase.Empty => "has not been created",
        MachinePhase.Created => "has never run",
        MachinePhase.Running => "is running",
        MachinePhase.Paused => "is paused",
        _ => "has ended",
    };

    private async Task CommandAsync(Func<Task> command, CancellationToken cancellation)
    {
        await _commands.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            await command().ConfigureAwait(false);
        }
        catch (Exception damaged) when (damaged is InvalidStateException or SnapshotException)
        {
            throw new MachineException(damaged.Message, damaged);
        }
        finally
        {
            _commands.Release();
        }
    }

    // A command that goes on while others are refused.
    private sealed record LongCommand(string Name, TaskCompletionSource Done);
}
