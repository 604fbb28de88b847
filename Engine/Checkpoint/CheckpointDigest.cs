using System.Buffers.Binary;
using System.IO.Hashing;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Checkpoint;

/// <summary>One number for a machine at a checkpoint: over the checkpoint's number, the root of the page hash tree and the digest of the state.</summary>
internal static class CheckpointDigest
{
    public static string Compute(long number, PageHashTree pages, UInt128 state)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long) + 32];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[8..], pages.Root());
        BinaryPrimitives.WriteUInt128LittleEndian(bytes[24..], state);
        return RamHash.ToHex(XxHash128.HashToUInt128(bytes));
    }
}
