using System.Buffers.Binary;
using Godwit.Engine.Machine;

namespace Godwit.Engine.Migration;

/// <summary>What the source wants to move: flags, a length byte and the name of the planted fault, the machine's spec.</summary>
internal sealed record Offer(bool VerifyAllMemory, string? Inject, MachineSpec Spec)
{
    public byte[] Encode()
    {
        string fault = Inject ?? "";
        return [VerifyAllMemory ? (byte)1 : (byte)0, (byte)fault.Length, .. System.Text.Encoding.ASCII.GetBytes(fault), .. MachineSpecCodec.Encode(Spec)];
    }

    public static Offer Decode(ReadOnlyMemory<byte> payload)
    {
        ReadOnlySpan<byte> bytes = payload.Span;
        if (bytes.Length < 2 || bytes[0] > 1 || bytes.Length < 2 + bytes[1])
            throw new LinkException("protocol error: a damaged offer");
        string fault = System.Text.Encoding.ASCII.GetString(bytes.Slice(2, bytes[1]));
        if (fault.Length != 0 && !FaultInjection.IsKnown(fault))
            throw new LinkException("protocol error: an offer with an unknown fault");
        return new Offer(bytes[0] == 1, fault.Length == 0 ? null : fault, MachineSpecCodec.Decode(payload[(2 + bytes[1])..]));
    }
}

/// <summary>The source's last word: what the target must have, and how long the guest has stood still.</summary>
/// <param name="PageRoot">Root of the page hash tree.</param>
/// <param name="StateDigest">XxHash128 of the encoded state sections.</param>
/// <param name="Announced">The guest was told of the migration and waits to hear that it is over.</param>
/// <param name="Ready">The guest called Ready in time.</param>
/// <param name="ClockStopped">Since the guest's clock stopped.</param>
/// <param name="Blackout">Since the last guest instruction.</param>
internal sealed record FinalFrame(UInt128 PageRoot, UInt128 StateDigest, bool Announced, bool Ready, TimeSpan ClockStopped, TimeSpan Blackout)
{
    public const int Bytes = 16 + 16 + 1 + 8 + 8;

    private const byte AnnouncedFlag = 1, ReadyFlag = 2;

    public byte[] Encode()
    {
        byte[] bytes = new byte[Bytes];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, PageRoot);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes.AsSpan(16), StateDigest);
        bytes[32] = (byte)((Announced ? AnnouncedFlag : 0) | (Ready ? ReadyFlag : 0));
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(33), ClockStopped.Ticks);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(41), Blackout.Ticks);
        return bytes;
    }

    public static FinalFrame Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Bytes || bytes[32] > (AnnouncedFlag | ReadyFlag))
            throw new LinkException("protocol error: a damaged Final frame");
        return new FinalFrame(
            BinaryPrimitives.ReadUInt128LittleEndian(bytes),
            BinaryPrimitives.ReadUInt128LittleEndian(bytes[16..]),
            (bytes[32] & AnnouncedFlag) != 0,
            (bytes[32] & ReadyFlag) != 0,
            Span.Checked(BinaryPrimitives.ReadInt64LittleEndian(bytes[33..])),
            Span.Checked(BinaryPrimitives.ReadInt64LittleEndian(bytes[41..])));
    }
}

/// <summary>The target's report: the guest runs.</summary>
/// <param name="Blackout">From the receipt of Final to the guest's first instruction, verification taken out.</param>
/// <param name="Verification">Time taken by hashing all RAM and waiting for the source's hash.</param>
/// <param name="ClockAdvance">What the guest's clock was moved on by.</param>
internal sealed record RunningFrame(long Epoch, TimeSpan Blackout, TimeSpan Verification, TimeSpan ClockAdvance)
{
    public const int Bytes = 4 * 8;

    public byte[] Encode()
    {
        byte[] bytes = new byte[Bytes];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, Epoch);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(8), Blackout.Ticks);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(16), Verification.Ticks);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(24), ClockAdvance.Ticks);
        return bytes;
    }

    public static RunningFrame Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Bytes)
            throw new LinkException("protocol error: a damaged Running frame");
        return new RunningFrame(
            BinaryPrimitives.ReadInt64LittleEndian(bytes),
            Span.Checked(BinaryPrimitives.ReadInt64LittleEndian(bytes[8..])),
            Span.Checked(BinaryPrimitives.ReadInt64LittleEndian(bytes[16..])),
            TimeSpan.FromTicks(BinaryPrimitives.ReadInt64LittleEndian(bytes[24..])));
    }
}

/// <summary>Durations from a stranger.</summary>
file static class Span
{
    public static TimeSpan Checked(long ticks) =>
        ticks is >= 0 and <= TimeSpan.TicksPerDay ? TimeSpan.FromTicks(ticks) : throw new LinkException("protocol error: an impossible duration");
}
