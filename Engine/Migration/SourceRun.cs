using System.Buffers.Binary;
using System.Diagnostics;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>One move as the source goes through it, stage by stage; and the way back from each stage.</summary>
internal sealed class SourceRun : IDisposable
{
    // What saving, sending and loading CPU and device state may take, beside two round trips; only a prediction.
    private static readonly TimeSpan s_stateTime = TimeSpan.FromMilliseconds(5);

    private readonly IMigratableMachine _machine;
    private readonly FrameLink _link;
    private readonly MigrationOptions _options;
    private readonly IMigrationSourceAuthority _authority;
    private readonly Timeline _timeline;
    private readonly FaultInjection _fault;
    private readonly GuestConversation _guest;
    private readonly RamSender _ram;
    private readonly IDisposable _memoryHold;
    private TimeSpan _roundTrip = TimeSpan.MaxValue;
    private Right _right = Right.Running;
    private bool _paused;
    private long _clockStopped;
    private TimeSpan _sourceBlackout;
    private TimeSpan _verification;
    private string _stopReason = "";
    private string _sourceHash = "";
    private string _targetHash = "";
    private bool _finalSent;
    private bool _verified;
    private long _epoch;

    public SourceRun(IMigratableMachine machine, FrameLink link, MigrationOptions options, IMigrationSourceAuthority authority, Timeline timeline)
    {
        _machine = machine;
        _link = link;
        _options = options;
        _authority = authority;
        _timeline = timeline;
        _fault = new FaultInjection(options.Inject);
        _memoryHold = machine.Memory.Hold();
        _ram = new RamSender(machine.Memory, link, timeline);
        _guest = new GuestConversation(machine, options);
    }

    // What the ownership record is known to say.
    private enum Right
    {
        // Running here.
        Running,

        // Asked to be moving, or moving: only a compare-and-swap tells.
        Moving,

        // Not ours.
        Lost,
    }

    public async Task<MigrationReport> RunAsync(Func<Task>? release, CancellationToken cancellation)
    {
        RunningFrame? running;
        try
        {
            running = await MoveAsync(cancellation).ConfigureAwait(false);
            // The record decides, never the stream: what the target reported must be true there.
            if (await _authority.AbandonMoveAsync(CancellationToken.None).ConfigureAwait(false))
            {
                _right = Right.Running;
                throw new LinkException("protocol error: the target reported running without having committed");
            }
        }
#pragma warning disable CA1031 // the move's edge: whatever went wrong, the machine goes on where the record allows it
        catch (Exception cause)
#pragma warning restore CA1031
        {
            running = await RecoverAsync(cause, cancellation).ConfigureAwait(false);
        }
        return await FinishAsync(running, release).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _guest.Dispose();
        _ram.Dispose();
        _memoryHold.Dispose();
    }

    private async Task<RunningFrame> MoveAsync(CancellationToken cancellation)
    {
        await NegotiateAsync(cancellation).ConfigureAwait(false);
        _timeline.Enter(MigrationStage.Announce, _guest.Cooperates ? "the guest is told" : "the guest is not asked to help");
        await _guest.AnnounceAsync(cancellation).ConfigureAwait(false);
        await CopyAsync(cancellation).ConfigureAwait(false);
        await _guest.StopSoonAsync(enough => SendRoundAsync(enough, cancellation), cancellation).ConfigureAwait(false);
        await StopAsync(cancellation).ConfigureAwait(false);
        await BeginMoveAsync(cancellation).ConfigureAwait(false);
        await SendFinalAsync(cancellation).ConfigureAwait(false);
        return await AwaitRunningAsync(cancellation).ConfigureAwait(false);
    }

    private async Task NegotiateAsync(CancellationToken cancellation)
    {
        _timeline.Enter(MigrationStage.Negotiate, "asking the target");
        byte[] hello = new byte[Wire.Magic.Length + 4];
        Wire.Magic.CopyTo(hello);
        BinaryPrimitives.WriteUInt16LittleEndian(hello.AsSpan(8), Wire.Version);
        BinaryPrimitives.WriteUInt16LittleEndian(hello.AsSpan(10), Wire.Version);
        await _link.SendAsync(FrameType.Hello, hello, cancellation).ConfigureAwait(false);
        using (Frame answer = await _link.ExpectAsync(FrameType.Hello, hello.Length, cancellation).ConfigureAwait(false))
            if (!answer.Payload.SequenceEqual(hello))
                throw new LinkException("the target does not speak version 1 of the migration protocol");

        byte[] ping = new byte[sizeof(uint)];
        for (int i = 0; i < Wire.Pings; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(ping, i);
            long sent = Stopwatch.GetTimestamp();
            await _link.SendAsync(FrameType.Ping, ping, cancellation).ConfigureAwait(false);
            using Frame pong = await _link.ExpectAsync(FrameType.Pong, ping.Length, cancellation).ConfigureAwait(false);
            if (!pong.Payload.SequenceEqual(ping))
                throw new LinkException("protocol error: a ping came back changed");
            TimeSpan took = Stopwatch.GetElapsedTime(sent, pong.ReceivedAt);
            _roundTrip = took < _roundTrip ? took : _roundTrip;
        }

        Offer offer = new(_options.VerifyAllMemory, _options.Inject, _machine.Spec);
        await _link.SendAsync(FrameType.Offer, offer.Encode(), cancellation).ConfigureAwait(false);
        using Frame accept = await _link.ExpectAsync(FrameType.Accept, 0, cancellation).ConfigureAwait(false);
    }

    private async Task CopyAsync(CancellationToken cancellation)
    {
        _ram.AddAllocated();
        _timeline.PagesLeft = _ram.Pending.Count;
        _timeline.Enter(MigrationStage.Copy, $"{_timeline.PagesLeft} pages are allocated");
        ConvergencePolicy policy = new(_options.MaxBlackout, _options.MaxRounds);
        string? stop = null;
        while (stop is null)
        {
            await SendRoundAsync(null, cancellation).ConfigureAwait(false);
            stop = policy.ReasonToStop(_timeline.Round, _timeline.PredictedBlackout);
        }
        _stopReason = stop;
        _timeline.Report(stop);
    }

    private async Task SendRoundAsync(Func<bool>? enough, CancellationToken cancellation)
    {
        await _ram.SendLiveRoundAsync(enough, cancellation).ConfigureAwait(false);
        _timeline.PredictedBlackout = ConvergencePolicy.Predict(_ram.BytesLeft, _ram.BytesPerSecond, s_stateTime + 2 * _roundTrip);
        _timeline.Report($"round {_timeline.Round} ended, {_timeline.PagesLeft} pages were written meanwhile");
    }

    private async Task StopAsync(CancellationToken cancellation)
    {
        _timeline.Enter(MigrationStage.Stop, "stopping the guest");
        await _link.SendAsync(FrameType.Stopping, cancellation).ConfigureAwait(false);
        long before = Stopwatch.GetTimestamp();
        ulong guestBefore = _machine.GuestNanoseconds;
        // From here on the machine counts as paused: one that has half stopped must be told to go on as well.
        _clockStopped = before;
        _paused = true;
        await _machine.PauseAsync().ConfigureAwait(false);
        long ran = (long)((_machine.GuestNanoseconds - guestBefore) * (double)Stopwatch.Frequency / 1e9);
        // The guest's own clock tells when within the call it stopped.
        _clockStopped = Math.Clamp(before + ran, before, Stopwatch.GetTimestamp());
    }

    private async Task BeginMoveAsync(CancellationToken cancellation)
    {
        _timeline.Enter(MigrationStage.Moving, "asking for the move");
        _right = Right.Moving;
        if (await _authority.BeginMoveAsync(cancellation).ConfigureAwait(false))
            return;
        _right = Right.Lost;
        throw new LinkException("the machine is no longer this host's to run or move");
    }

    private async Task SendFinalAsync(CancellationToken cancellation)
    {
        _timeline.Enter(MigrationStage.Final, "sending the last pages and the state");
        _ram.CollectLast();
        PageNumber? lost = _fault.TakeLostPage(_ram.Pending, _ram.Sent, _machine.Memory);
        PageNumber? wiped = _fault.ToleratesWrongMemory && lost is null ? FaultInjection.PageToWipe(_ram.Sent, _machine.Memory) : null;
        await _ram.SendFinalRoundAsync(wiped, cancellation).ConfigureAwait(false);

        byte[] state = StateSections.Encode(_fault.Tamper(_machine.SaveState()));
        if (state.Length > Wire.MaxState)
            throw new LinkException($"the machine's state is {state.Length} bytes, at most {Wire.MaxState} can be moved");
        byte[] length = new byte[sizeof(uint)];
        BinaryPrimitives.WriteInt32LittleEndian(length, state.Length);
        await _link.SendAsync(FrameType.StateBegin, length, cancellation).ConfigureAwait(false);
        for (int at = 0; at < state.Length; at += Wire.StateChunk)
            await _link.SendAsync(FrameType.StateChunk, state.AsMemory(at, Math.Min(Wire.StateChunk, state.Length - at)), cancellation).ConfigureAwait(false);

        UInt128 digest = System.IO.Hashing.XxHash128.HashToUInt128(state);
        UInt128 root = _ram.Sent.Root();
        _sourceBlackout = Stopwatch.GetElapsedTime(Math.Min(_guest.ReadyAt ?? _clockStopped, _clockStopped));
        FinalFrame final = new(root, digest, _guest.Announced, _guest.ReadyAt is not null, Stopwatch.GetElapsedTime(_clockStopped), _sourceBlackout);
        await _link.SendAsync(FrameType.Final, final.Encode(), cancellation).ConfigureAwait(false);
        _finalSent = true;
        _timeline.Enter(MigrationStage.Verify, "the target checks what it has");
        if (!_options.VerifyAllMemory)
            return;
        UInt128 hash = RamHash.Compute(_machine.Memory, cancellation);
        _sourceHash = RamHash.ToHex(hash);
        byte[] bytes = new byte[16];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, hash);
        await _link.SendAsync(FrameType.RamHash, bytes, cancellation).ConfigureAwait(false);
    }

    // May be entered again after a cancellation that came too late.
    private async Task<RunningFrame> AwaitRunningAsync(CancellationToken cancellation)
    {
        while (true)
        {
            using Frame frame = await _link.ReceiveAsync(cancellation).ConfigureAwait(false);
            switch (frame.Type)
            {
                case FrameType.Verified when !_verified && frame.Length == (_options.VerifyAllMemory ? 16 : 0):
                    _verified = true;
                    if (_options.VerifyAllMemory)
                        CompareHashes(BinaryPrimitives.ReadUInt128LittleEndian(frame.Payload));
                    _timeline.Enter(MigrationStage.Commit, "verified; the target takes over");
                    break;
                case FrameType.Committed when _verified && _epoch == 0 && frame.Length == sizeof(long):
                    _epoch = BinaryPrimitives.ReadInt64LittleEndian(frame.Payload);
                    if (_fault.RunsSourceOn)
                        _machine.Resume(Stopwatch.GetElapsedTime(_clockStopped));
                    break;
                case FrameType.Running when _epoch != 0:
                    return RunningFrame.Decode(frame.Payload);
                default:
                    throw new LinkException($"protocol error: {frame.Type} of {frame.Length} bytes while the target takes over");
            }
        }
    }

    private void CompareHashes(UInt128 target)
    {
        _targetHash = RamHash.ToHex(target);
        if (_targetHash != _sourceHash && !_fault.ToleratesWrongMemory)
            throw new LinkException($"the target's memory differs: {_targetHash}, here {_sourceHash}");
    }

    // Returns where the move took place all the same; else the machine runs here again (or must not) and this throws.
    private async Task<RunningFrame?> RecoverAsync(Exception cause, CancellationToken cancellation)
    {
        bool cancelled = cause is OperationCanceledException && cancellation.IsCancellationRequested;
        if (_right == Right.Moving)
        {
            RunningFrame? running = null;
            try
            {
                if (await _authority.AbandonMoveAsync(CancellationToken.None).ConfigureAwait(false))
                    _right = Right.Running;
                else if (cancelled && _finalSent)
                    running = await TryAwaitRunningAsync().ConfigureAwait(false);
                if (running is not null)
                    return running;
                if (_right != Right.Running)
                    _right = await _authority.ResolveMoveAsync(CancellationToken.None).ConfigureAwait(false) ? Right.Lost : Right.Running;
            }
#pragma warning disable CA1031 // whatever the authority failed of, the record is unknown and nothing may run here
            catch (Exception unknown)
#pragma warning restore CA1031
            {
                throw await FailAsync($"{Line(cause)}; who may run the machine is unknown: {Line(unknown)}", sourceRuns: false, unknown, ownerUnknown: true).ConfigureAwait(false);
            }
            if (_right == Right.Lost)
                return null;
        }
        bool runs = _right == Right.Running && TryStay();
        if (cancelled && runs)
        {
            _timeline.Enter(MigrationStage.Cancelled, "cancelled; the machine runs on here");
            await _link.TrySendReasonAsync(FrameType.Abort, "the migration was cancelled").ConfigureAwait(false);
            throw new OperationCanceledException("the migration was cancelled; the machine runs on here", cause, cancellation);
        }
        throw await FailAsync(Line(cause), runs, cause).ConfigureAwait(false);
    }

    private async Task<RunningFrame?> TryAwaitRunningAsync()
    {
        try
        {
            return await AwaitRunningAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (LinkException)
        {
            return null;
        }
    }

    private bool TryStay()
    {
        try
        {
            _guest.End(moved: false);
            if (_paused)
                _machine.Resume(Stopwatch.GetElapsedTime(_clockStopped));
            return true;
        }
#pragma warning disable CA1031 // a machine that ended meanwhile cannot go on; the cause of the failure is reported
        catch (Exception)
#pragma warning restore CA1031
        {
            return false;
        }
    }

    private async Task<MigrationFailedException> FailAsync(string reason, bool sourceRuns, Exception inner, bool ownerUnknown = false)
    {
        _timeline.Enter(MigrationStage.Failed, reason);
        await _link.TrySendReasonAsync(FrameType.Abort, reason).ConfigureAwait(false);
        return new MigrationFailedException($"migration failed: {reason}", sourceRuns, inner, ownerUnknown);
    }

    private async Task<MigrationReport> FinishAsync(RunningFrame? running, Func<Task>? release)
    {
        _timeline.Enter(MigrationStage.Running, "the machine runs on the target");
        if (_fault.RunsSourceOn && _epoch != 0)
            await FaultInjection.RunOnAsync(_machine).ConfigureAwait(false);
        if (running is not null)
        {
            _verification = running.Verification;
            await TrySendDoneAsync().ConfigureAwait(false);
        }
        Dispose();
        if (release is not null)
            await release().ConfigureAwait(false);
        _timeline.Enter(MigrationStage.Released, "the source's copy is gone");
        _timeline.Enter(MigrationStage.Done, "done");
        return new MigrationReport
        {
            Rounds = _ram.Rounds,
            Total = _timeline.Elapsed,
            Blackout = running is null ? TimeSpan.Zero : _sourceBlackout + _roundTrip / 2 + running.Blackout,
            Verification = _verification,
            Bytes = _link.BytesSent,
            SourceHash = _sourceHash,
            TargetHash = _targetHash,
            GuestWasReady = _guest.ReadyAt is not null,
            FreePagesSkipped = _ram.Rounds.Sum(round => round.FreePagesSkipped),
            Epoch = running?.Epoch ?? _epoch,
            Stages = _timeline.Stages,
            TargetReported = running is not null,
            ClockAdvance = running?.ClockAdvance ?? TimeSpan.Zero,
            StopReason = _stopReason,
        };
    }

    private async Task TrySendDoneAsync()
    {
        try
        {
            await _link.SendAsync(FrameType.Done, CancellationToken.None).ConfigureAwait(false);
        }
        catch (LinkException)
        {
            // The target runs; it need not hear it.
        }
    }

    private static string Line(Exception cause)
    {
        int end = cause.Message.AsSpan().IndexOfAny('\r', '\n');
        return end < 0 ? cause.Message : cause.Message[..end];
    }
}
