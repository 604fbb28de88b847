using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;
using System.IO.Hashing;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>One move as the target goes through it, stage by stage.</summary>
internal sealed class TargetRun(
    FrameLink link,
    Func<MachineSpec, IMigratableMachine> prepare,
    IMigrationTargetAuthority authority,
    Func<long, Task> granted,
    Timeline timeline)
{
    private readonly List<RoundReport> _rounds = [];
    private IMigratableMachine? _machine;
    private Offer? _offer;
    private FaultInjection _fault = new(null);
    private TimeSpan _roundTrip = TimeSpan.MaxValue;
    private TimeSpan _longestRoundTrip;
    private long _stoppingAt;
    private long _finalAt;
    private TimeSpan _verification;
    private string _sourceHash = "";
    private string _targetHash = "";
    private bool _committed;

    public async Task<MigrationReport> RunAsync(CancellationToken cancellation)
    {
        try
        {
            return await MoveAsync(cancellation).ConfigureAwait(false);
        }
#pragma warning disable CA1031 // the move's edge: nothing is left behind whatever went wrong
        catch (Exception cause)
#pragma warning restore CA1031
        {
            if (_machine is not null)
                await MachineDisposal.DisposeAsync(_machine).ConfigureAwait(false);
            string reason = cause.Message.Split('\r', '\n')[0];
            bool cancelled = !_committed && cause is OperationCanceledException && cancellation.IsCancellationRequested;
            timeline.Enter(cancelled ? MigrationStage.Cancelled : MigrationStage.Failed, reason);
            await link.TrySendReasonAsync(_machine is null ? FrameType.Refuse : FrameType.Abort, reason).ConfigureAwait(false);
            if (cancelled)
                throw;
            throw new MigrationFailedException($"migration failed: {reason}", sourceRuns: !_committed, cause);
        }
    }

    private async Task<MigrationReport> MoveAsync(CancellationToken cancellation)
    {
        timeline.Enter(MigrationStage.Negotiate, "hearing what is offered");
        await GreetAsync(cancellation).ConfigureAwait(false);
        _offer = await ReceiveOfferAsync(cancellation).ConfigureAwait(false);
        _fault = new FaultInjection(_offer.Inject);
        _machine = prepare(_offer.Spec);
        if (_machine.Memory.Size != _offer.Spec.MemoryBytes)
            throw new LinkException("the machine that was prepared has not the memory that was offered");
        using IDisposable hold = _machine.Memory.Hold();
        RamReceiver ram = new(_machine.Memory);
        await link.SendAsync(FrameType.Accept, cancellation).ConfigureAwait(false);

        timeline.Enter(MigrationStage.Copy, "receiving memory");
        (FinalFrame final, byte[] state) = await ReceiveAllAsync(ram, cancellation).ConfigureAwait(false);
        timeline.Enter(MigrationStage.Verify, "checking memory and state");
        await VerifyAsync(ram, final, state, cancellation).ConfigureAwait(false);

        timeline.Enter(MigrationStage.Commit, "taking over");
        if (await authority.CommitMoveAsync(CancellationToken.None).ConfigureAwait(false) is not { } epoch)
            throw new LinkException("the source took the machine back");
        _committed = true;
        return await TakeOverAsync(epoch, final).ConfigureAwait(false);
    }

    private async Task GreetAsync(CancellationToken cancellation)
    {
        byte[] hello = new byte[Wire.Magic.Length + 4];
        using (Frame offered = await link.ExpectAsync(FrameType.Hello, hello.Length, cancellation).ConfigureAwait(false))
        {
            if (!offered.Payload[..8].SequenceEqual(Wire.Magic))
                throw new LinkException("protocol error: this is not a migration stream");
            ushort lowest = BinaryPrimitives.ReadUInt16LittleEndian(offered.Payload[8..]);
            ushort highest = BinaryPrimitives.ReadUInt16LittleEndian(offered.Payload[10..]);
            if (lowest > Wire.Version || highest < Wire.Version)
                throw new LinkException($"migration protocol {lowest} to {highest} is offered, {Wire.Version} is spoken here");
        }
        Wire.Magic.CopyTo(hello);
        BinaryPrimitives.WriteUInt16LittleEndian(hello.AsSpan(8), Wire.Version);
        BinaryPrimitives.WriteUInt16LittleEndian(hello.AsSpan(10), Wire.Version);
        long sent = Stopwatch.GetTimestamp();
        await link.SendAsync(FrameType.Hello, hello, cancellation).ConfigureAwait(false);
        for (int i = 0; i < Wire.Pings; i++)
        {
            using Frame ping = await link.ExpectAsync(FrameType.Ping, sizeof(uint), cancellation).ConfigureAwait(false);
            TimeSpan took = Stopwatch.GetElapsedTime(sent, ping.ReceivedAt);
            _roundTrip = took < _roundTrip ? took : _roundTrip;
            _longestRoundTrip = took > _longestRoundTrip ? took : _longestRoundTrip;
            byte[] number = ping.Payload.ToArray();
            sent = Stopwatch.GetTimestamp();
            await link.SendAsync(FrameType.Pong, number, cancellation).ConfigureAwait(false);
        }
    }

    private async Task<Offer> ReceiveOfferAsync(CancellationToken cancellation)
    {
        using Frame frame = await link.ExpectAsync(FrameType.Offer, -1, cancellation).ConfigureAwait(false);
        return Offer.Decode(frame.Payload.ToArray());
    }

    private async Task<(FinalFrame Final, byte[] State)> ReceiveAllAsync(RamReceiver ram, CancellationToken cancellation)
    {
        ArrayBufferWriter<byte> state = new();
        uint? announced = null;
        long began = Stopwatch.GetTimestamp(), pages = 0, zeros = 0, bytes = 0;
        while (true)
        {
            using Frame frame = await link.ReceiveAsync(cancellation).ConfigureAwait(false);
            bytes += Wire.HeaderBytes + frame.Length;
            switch (frame.Type)
            {
                case FrameType.Pages when announced is null:
                    ram.Store(frame.Payload);
                    break;
                case FrameType.RoundEnd when _stoppingAt == 0 && frame.Length == sizeof(uint):
                    await EndRoundAsync(frame, false).ConfigureAwait(false);
                    break;
                case FrameType.Stopping when _stoppingAt == 0 && frame.Length == 0:
                    _stoppingAt = frame.ReceivedAt;
                    timeline.Enter(MigrationStage.Stop, "the source stops the guest");
                    break;
                case FrameType.Free when _stoppingAt != 0 && announced is null:
                    ram.Free(frame.Payload);
                    break;
                case FrameType.StateBegin when _stoppingAt != 0 && announced is null && frame.Length == sizeof(uint):
                    announced = BinaryPrimitives.ReadUInt32LittleEndian(frame.Payload);
                    if (announced > Wire.MaxState)
                        throw new LinkException($"protocol error: {announced} bytes of state, at most {Wire.MaxState} are allowed");
                    timeline.Enter(MigrationStage.Final, "receiving CPU and device state");
                    break;
                case FrameType.StateChunk when announced is { } total && frame.Length != 0 && frame.Length <= total - state.WrittenCount:
                    state.Write(frame.Payload);
                    break;
                case FrameType.Final when announced == state.WrittenCount:
                    _finalAt = frame.ReceivedAt;
                    await EndRoundAsync(frame, true).ConfigureAwait(false);
                    return (FinalFrame.Decode(frame.Payload), state.WrittenSpan.ToArray());
                default:
                    throw new LinkException($"protocol error: {frame.Type} of {frame.Length} bytes out of place");
            }
        }

        async Task EndRoundAsync(Frame frame, bool final)
        {
            if (++timeline.Round > Wire.MaxRounds)
                throw new LinkException($"protocol error: more than {Wire.MaxRounds} rounds");
            timeline.PagesSent = ram.Pages;
            timeline.BytesSent += bytes;
            _rounds.Add(new RoundReport(timeline.Round, ram.Pages - pages, ram.ZeroPages - zeros, bytes, Stopwatch.GetElapsedTime(began), 0, final, 0));
            (began, pages, zeros, bytes) = (Stopwatch.GetTimestamp(), ram.Pages, ram.ZeroPages, 0);
            if (final)
                return;
            timeline.Report($"round {timeline.Round} received");
            await link.SendAsync(FrameType.RoundAck, frame.Payload.ToArray(), cancellation).ConfigureAwait(false);
        }
    }

    private async Task VerifyAsync(RamReceiver ram, FinalFrame final, byte[] state, CancellationToken cancellation)
    {
        if (XxHash128.HashToUInt128(state) != final.StateDigest)
            throw new LinkException("the CPU and device state arrived damaged");
        if (ram.Stored.Root() != final.PageRoot)
            throw new LinkException("the memory that arrived is not what the source sent");
        _machine!.LoadState(StateSections.Decode(state));

        byte[] hash = [];
        if (_offer!.VerifyAllMemory)
        {
            long began = Stopwatch.GetTimestamp();
            UInt128 here = RamHash.Compute(_machine.Memory, cancellation);
            using Frame frame = await link.ExpectAsync(FrameType.RamHash, 16, cancellation).ConfigureAwait(false);
            UInt128 there = BinaryPrimitives.ReadUInt128LittleEndian(frame.Payload);
            (_sourceHash, _targetHash) = (RamHash.ToHex(there), RamHash.ToHex(here));
            if (here != there && !_fault.ToleratesWrongMemory)
                throw new LinkException($"memory differs: {_targetHash} here, {_sourceHash} on the source");
            hash = new byte[16];
            BinaryPrimitives.WriteUInt128LittleEndian(hash, here);
            _verification = Stopwatch.GetElapsedTime(began);
        }
        await link.SendAsync(FrameType.Verified, hash, cancellation).ConfigureAwait(false);
    }

    // From here on this is the machine; a link that breaks changes nothing.
    private async Task<MigrationReport> TakeOverAsync(long epoch, FinalFrame final)
    {
        byte[] number = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(number, epoch);
        bool linked = await TrySendAsync(FrameType.Committed, number).ConfigureAwait(false);
        await granted(epoch).ConfigureAwait(false);
        GuestConversation.End(_machine!.Guest, final.Announced, moved: true);
        TimeSpan advance = _fault.ClockAdvance(ClockAdvance(final));
        _machine.Resume(advance);
        TimeSpan blackout = Stopwatch.GetElapsedTime(_finalAt) - _verification;
        timeline.Enter(MigrationStage.Running, $"the guest runs under epoch {epoch}");

        RunningFrame running = new(epoch, blackout, _verification, advance);
        if (linked && await TrySendAsync(FrameType.Running, running.Encode()).ConfigureAwait(false) && await TryReceiveDoneAsync().ConfigureAwait(false))
            timeline.Enter(MigrationStage.Released, "the source has let go");
        timeline.Enter(MigrationStage.Done, "done");
        return new MigrationReport
        {
            Rounds = _rounds,
            Total = timeline.Elapsed,
            Blackout = final.Blackout + _roundTrip / 2 + blackout,
            Verification = _verification,
            Bytes = timeline.BytesSent,
            SourceHash = _sourceHash,
            TargetHash = _targetHash,
            GuestWasReady = final.Ready,
            FreePagesSkipped = 0,
            Epoch = epoch,
            Stages = timeline.Stages,
            ClockAdvance = advance,
        };
    }

    // What the source says had passed when it sent Final, half a round trip for the way, and the time since by this
    // side's own clock; but no more than passed here since the source said that it was about to stop, with the longest
    // delay that this link has shown for that message's own way.
    private TimeSpan ClockAdvance(FinalFrame final)
    {
        TimeSpan claimed = final.ClockStopped + _roundTrip / 2 + Stopwatch.GetElapsedTime(_finalAt);
        TimeSpan possible = Stopwatch.GetElapsedTime(_stoppingAt) + _longestRoundTrip;
        return claimed < possible ? claimed : possible;
    }

    private async Task<bool> TrySendAsync(FrameType type, byte[] payload)
    {
        try
        {
            await link.SendAsync(type, payload, CancellationToken.None).ConfigureAwait(false);
            return true;
        }
        catch (LinkException)
        {
            return false;
        }
    }

    private async Task<bool> TryReceiveDoneAsync()
    {
        try
        {
            using Frame done = await link.ExpectAsync(FrameType.Done, 0, CancellationToken.None).ConfigureAwait(false);
            return true;
        }
        catch (LinkException)
        {
            return false;
        }
    }
}
