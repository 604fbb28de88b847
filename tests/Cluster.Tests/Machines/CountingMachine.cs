using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Threading.Channels;
using Godwit.Engine.Checkpoint;
using Godwit.Engine.Machine;
using Godwit.Engine.Migration;

namespace Godwit.Cluster.Tests.Machines;

/// <summary>
/// A machine whose guest is a counter: it prints each value, only while it is granted the right to run. Its whole state is
/// the counter and the console, and it moves over the real stream with the real authority. Its command line names
/// barriers (<see cref="Barriers"/>) at which it waits for the test.
/// </summary>
internal sealed class CountingMachine : IMachine
{
    private readonly Channel<MachineEvent> _events = Channel.CreateUnbounded<MachineEvent>();
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _disposed = new();
    private readonly Task _guest;
    private CounterState _state = new();
    private MachinePhase _phase;
    private long _busyTicks;
    private long _runningSince;
    private string? _endReason;
    private long _epoch;
    private long _expires;
    private bool _entered;
    private long _keptCheckpoint;
    private long _lastCheckpoint;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public CountingMachine() => _guest = Task.Run(RunGuestAsync);

    public IAsyncEnumerable<MachineEvent> Events => _events.Reader.ReadAllAsync();

    public Task CreateAsync(MachineSpec spec, BootImages images, CancellationToken cancellation)
    {
        if (spec.Boot.CommandLine.Contains("unbootable", StringComparison.Ordinal))
        {
            throw new MachineException("the kernel cannot be booted");
        }

        lock (_lock)
        {
            _state = new CounterState { CommandLine = spec.Boot.CommandLine };
            Become(MachinePhase.Created);
        }

        return Task.CompletedTask;
    }

    public async Task RestoreAsync(Stream snapshot, CancellationToken cancellation)
    {
        try
        {
            var state = await JsonSerializer.DeserializeAsync<CounterState>(snapshot, cancellationToken: cancellation);
            lock (_lock)
            {
                _state = state!;
                Become(MachinePhase.Paused);
            }
        }
        catch (JsonException)
        {
            throw new MachineException("the file is not a snapshot");
        }
    }

    public void Grant(long epoch, long expiresAtTimestamp)
    {
        lock (_lock)
        {
            if (epoch >= _epoch)
            {
                (_epoch, _expires) = (epoch, expiresAtTimestamp);
            }
        }
    }

    public Task RunAsync(CancellationToken cancellation) => Change(MachinePhase.Running, "run", MachinePhase.Created, MachinePhase.Paused);

    public Task PauseAsync(CancellationToken cancellation)
    {
        var done = Change(MachinePhase.Paused, "pause", MachinePhase.Running);
        Leave("paused");
        return done;
    }

    public Task StopAsync(CancellationToken cancellation)
    {
        End("stopped by command");
        return Task.CompletedTask;
    }

    public Task<MachineStatus> GetStatusAsync(CancellationToken cancellation)
    {
        lock (_lock)
        {
            return Task.FromResult(new MachineStatus(_phase, _endReason, null, _phase == MachinePhase.Ended ? 0 : 4096, _state.Text.Length, _state.Counter, _state.Counter, _epoch) { BusyNanoseconds = Busy() });
        }
    }

    public async Task SnapshotAsync(Stream destination, CancellationToken cancellation)
    {
        byte[] bytes;
        lock (_lock)
        {
            bytes = JsonSerializer.SerializeToUtf8Bytes(_state);
        }

        await destination.WriteAsync(bytes, cancellation);
    }

    /// <summary>Each is the whole counter; only the order in which they continue one another is as in a real machine.</summary>
    public async Task<CheckpointReport> CheckpointAsync(CheckpointRequest request, Stream destination, CancellationToken cancellation)
    {
        if (request.Kept != 0 && request.Kept != _keptCheckpoint && request.Kept != _lastCheckpoint)
        {
            throw new MachineException($"there is no checkpoint {request.Kept} to continue");
        }

        (_keptCheckpoint, _lastCheckpoint) = (request.Kept, request.Number);
        byte[] bytes;
        long consoleEnd;
        string commandLine;
        lock (_lock)
        {
            bytes = JsonSerializer.SerializeToUtf8Bytes(_state);
            (consoleEnd, commandLine) = (_state.Text.Length, _state.CommandLine);
        }

        await destination.WriteAsync(bytes, cancellation);
        await new Barriers(commandLine).ReachAsync("checkpoint", cancellation);
        return new CheckpointReport
        {
            Number = request.Number,
            Since = request.Since,
            Pages = 1,
            ZeroPages = 0,
            Bytes = bytes.Length,
            Pause = TimeSpan.FromMilliseconds(1),
            Duration = TimeSpan.FromMilliseconds(2),
            Digest = Convert.ToHexStringLower(SHA256.HashData(bytes))[..32],
            ConsoleEnd = consoleEnd,
        };
    }

    public async Task<long> RestoreCheckpointAsync(IReadOnlyList<Stream> chain, string digest, CancellationToken cancellation)
    {
        using var last = new MemoryStream();
        foreach (var file in chain)
        {
            last.SetLength(0);
            await file.CopyToAsync(last, cancellation);
        }

        if (Convert.ToHexStringLower(SHA256.HashData(last.ToArray()))[..32] != digest)
        {
            throw new MachineException("the checkpoint has another digest");
        }

        last.Position = 0;
        await RestoreAsync(last, cancellation);
        return _state.Text.Length;
    }

    public async Task<ConsoleChunk> ReadConsoleAsync(long offset, int maxBytes, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (_state.Text.Length > offset)
                {
                    var part = _state.Text.ToString((int)offset, (int)Math.Min(maxBytes, _state.Text.Length - offset));
                    return new ConsoleChunk(offset, Encoding.Latin1.GetBytes(part), false);
                }

                if (_phase == MachinePhase.Ended)
                {
                    return new ConsoleChunk(_state.Text.Length, [], true);
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellation);
        }
    }

    public Task WriteConsoleAsync(ReadOnlyMemory<byte> input, CancellationToken cancellation)
    {
        var text = Encoding.Latin1.GetString(input.Span);
        lock (_lock)
        {
            Print($"<{text}>\n");
        }

        if (text == "poweroff")
        {
            End("the guest powered off");
        }

        return Task.CompletedTask;
    }

    public async Task<MigrationReport> MigrateOutAsync(Stream link, MigrationOptions options, IMigrationSourceAuthority authority, IProgress<MigrationProgress> progress, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var barriers = new Barriers(_state.CommandLine);
        var moving = false;
        try
        {
            progress.Report(Step(MigrationStage.Copy, 1, clock.Elapsed));
            await barriers.ReachAsync("copy", cancellation);
            Pause();
            progress.Report(Step(MigrationStage.Stop, 1, clock.Elapsed));
            moving = true;
            if (!await authority.BeginMoveAsync(cancellation))
            {
                throw new MigrationFailedException("the record is not ours any more", sourceRuns: false);
            }

            progress.Report(Step(MigrationStage.Moving, 1, clock.Elapsed));
            await barriers.ReachAsync("moving", cancellation);
            await SendAsync(link, cancellation);
            var answer = new byte[1];
            await link.ReadExactlyAsync(answer, cancellation);
            progress.Report(Step(MigrationStage.Done, 1, clock.Elapsed));
            return new MigrationReport
            {
                Rounds = [new RoundReport(1, 1, 0, 4096, clock.Elapsed, 0, true, 0)],
                Total = clock.Elapsed,
                Blackout = TimeSpan.FromMilliseconds(1),
                Verification = TimeSpan.Zero,
                Bytes = 4096,
                SourceHash = "",
                TargetHash = "",
                GuestWasReady = false,
                FreePagesSkipped = 0,
                Epoch = _epoch + 1,
                Stages = [new StageEntry(MigrationStage.Done, clock.Elapsed)],
            };
        }
        catch (Exception e) when (e is not MigrationFailedException)
        {
            var stays = !moving || !await authority.ResolveMoveAsync(CancellationToken.None);
            if (stays && _phase == MachinePhase.Paused)
            {
                await RunAsync(CancellationToken.None);
            }

            throw new MigrationFailedException(e is OperationCanceledException ? "cancelled" : $"the link was lost: {e.Message}", stays, e);
        }
    }

    public async Task<MigrationReport> MigrateInAsync(Stream link, IMigrationTargetAuthority authority, Func<long, long> grant, CancellationToken cancellation)
    {
        var length = new byte[4];
        await link.ReadExactlyAsync(length, cancellation);
        var bytes = new byte[BitConverter.ToInt32(length)];
        await link.ReadExactlyAsync(bytes, cancellation);
        var state = JsonSerializer.Deserialize<CounterState>(bytes)!;
        var barriers = new Barriers(state.CommandLine);
        await barriers.ReachAsync("verify", cancellation);
        if (await authority.CommitMoveAsync(cancellation) is not { } epoch)
        {
            throw new MigrationFailedException("the source took it back", sourceRuns: true);
        }

        await barriers.ReachAsync("committed", cancellation);
        lock (_lock)
        {
            _state = state;
            Become(MachinePhase.Paused);
        }

        Grant(epoch, grant(epoch));
        await RunAsync(cancellation);
        await link.WriteAsync(new byte[] { 1 }, cancellation);
        await link.FlushAsync(cancellation);
        return new MigrationReport { Rounds = [], Total = default, Blackout = default, Verification = default, Bytes = bytes.Length, SourceHash = "", TargetHash = "", GuestWasReady = false, FreePagesSkipped = 0, Epoch = epoch, Stages = [] };
    }

    public async ValueTask DisposeAsync()
    {
        End("disposed");
        await _disposed.CancelAsync();
        await _guest;
        _events.Writer.TryComplete();
    }

    private static MigrationProgress Step(MigrationStage stage, int round, TimeSpan elapsed) =>
        new(0, stage, round, 1, 0, 4096, 0, TimeSpan.Zero, elapsed, stage.ToString());

    private async Task RunGuestAsync()
    {
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(2));
        try
        {
            while (await tick.WaitForNextTickAsync(_disposed.Token))
            {
                Tick();
            }
        }
        catch (OperationCanceledException)
        {
            Leave("disposed");
        }
    }

    private void Tick()
    {
        lock (_lock)
        {
            var now = Stopwatch.GetTimestamp();
            if (_phase != MachinePhase.Running)
            {
                return;
            }

            if (now >= _expires)
            {
                LeaveLocked(now, "the lease ran out");
                return;
            }

            if (!_entered)
            {
                _entered = true;
                _events.Writer.TryWrite(new RunStarted(now, _epoch));
            }

            _state.Counter++;
            Print($"{_state.Counter}\n");
        }
    }

    private void Pause()
    {
        lock (_lock)
        {
            if (_phase != MachinePhase.Running)
            {
                throw new MachineException("it does not run");
            }

            Become(MachinePhase.Paused);
        }

        Leave("stopped for a move");
    }

    private Task Change(MachinePhase to, string what, params MachinePhase[] from)
    {
        lock (_lock)
        {
            if (!from.Contains(_phase))
            {
                throw new MachineException($"cannot {what} while {_phase}");
            }

            Become(to);
        }

        return Task.CompletedTask;
    }

    /// <summary>A counter counts all the time: to placement it is a busy guest, however the host fares.</summary>
    private void Become(MachinePhase phase)
    {
        var now = Stopwatch.GetTimestamp();
        if (_phase == MachinePhase.Running)
        {
            _busyTicks += now - _runningSince;
        }

        (_phase, _runningSince) = (phase, now);
    }

    private ulong Busy() =>
        (ulong)Stopwatch.GetElapsedTime(0, _busyTicks + (_phase == MachinePhase.Running ? Stopwatch.GetTimestamp() - _runningSince : 0)).TotalNanoseconds;

    private void Leave(string reason)
    {
        lock (_lock)
        {
            LeaveLocked(Stopwatch.GetTimestamp(), reason);
        }
    }

    private void LeaveLocked(long now, string reason)
    {
        if (_entered)
        {
            _entered = false;
            _events.Writer.TryWrite(new RunStopped(now, _epoch, reason));
        }
    }

    private void End(string reason)
    {
        lock (_lock)
        {
            if (_phase == MachinePhase.Ended)
            {
                return;
            }

            LeaveLocked(Stopwatch.GetTimestamp(), reason);
            _endReason = reason;
            Become(MachinePhase.Ended);
            _events.Writer.TryWrite(new MachineEnded(Stopwatch.GetTimestamp(), reason, reason.Contains("powered off", StringComparison.Ordinal) ? 0 : null));
            Signal();
        }
    }

    private void Print(string text)
    {
        _state.Text.Append(text);
        Signal();
    }

    private void Signal()
    {
        _changed.TrySetResult();
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private async Task SendAsync(Stream link, CancellationToken cancellation)
    {
        byte[] bytes;
        lock (_lock)
        {
            bytes = JsonSerializer.SerializeToUtf8Bytes(_state);
        }

        await link.WriteAsync(BitConverter.GetBytes(bytes.Length), cancellation);
        await link.WriteAsync(bytes, cancellation);
        await link.FlushAsync(cancellation);
    }
}

/// <summary>All that a counting machine is.</summary>
internal sealed record CounterState
{
    public string CommandLine { get; set; } = "";

    public ulong Counter { get; set; }

    public string Console
    {
        get => Text.ToString();
        init => Text = new StringBuilder(value);
    }

    /// <summary>The console as it grows: five hundred lines a second, for as long as a test takes.</summary>
    [JsonIgnore]
    public StringBuilder Text { get; private init; } = new();
}
