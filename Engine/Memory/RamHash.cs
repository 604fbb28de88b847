using System.Buffers.Binary;
using System.IO.Hashing;

namespace Godwit.Engine.Memory;

/// <summary>
/// XxHash128 of all RAM: the number of pages, then for every page that is neither zero nor declared free its number
/// (8 bytes, little-endian) and its 4096 bytes, ascending. A hole, a page of zeros and a free page count the same, so
/// two copies agree whatever is allocated in each. The guest must be stopped.
/// </summary>
public static unsafe class RamHash
{
    public static UInt128 Compute(GuestMemory memory, CancellationToken cancellation = default)
    {
        XxHash128 hash = new();
        Span<byte> number = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteInt64LittleEndian(number, memory.PageCount);
        hash.Append(number);
        foreach (PageRange extent in memory.AllocatedExtents())
        {
            cancellation.ThrowIfCancellationRequested();
            for (ulong page = extent.First.Value; page < extent.End.Value; page++)
            {
                // Resolve is in range: an extent lies in RAM. The span does not outlive this turn of the loop.
                ReadOnlySpan<byte> bytes = new(memory.Resolve(new PageNumber(page), Access.Read), PageNumber.Size);
                if (memory.Dirty.IsFree(new PageNumber(page)) || PageHashTree.IsZero(bytes))
                    continue;
                BinaryPrimitives.WriteUInt64LittleEndian(number, page);
                hash.Append(number);
                hash.Append(bytes);
            }
        }
        return hash.GetCurrentHashAsUInt128();
    }

    /// <summary>The hash as 32 hexadecimal digits.</summary>
    public static string ToHex(UInt128 hash) => hash.ToString("x32");
}
