using System.Buffers.Binary;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>Page tables that map the first 4 GiB to themselves with 2 MiB pages (Intel SDM volume 3, 4.5).</summary>
internal static class IdentityPageTables
{
    private const ulong PresentWritable = 0x3;
    private const ulong LargePage = 0x80;
    private const int Directories = 4;

    /// <summary>PML4, page directory pointers and one directory for each GiB.</summary>
    public const int Bytes = (2 + Directories) * PageNumber.Size;

    /// <summary>The tables' bytes for a place in memory; the PML4 is first, so that place is CR3.</summary>
    public static byte[] Build(GuestPhysicalAddress at)
    {
        byte[] tables = new byte[Bytes];
        Set(tables, 0, at.Value + PageNumber.Size | PresentWritable);
        for (int directory = 0; directory < Directories; directory++)
        {
            int offset = (2 + directory) * PageNumber.Size;
            Set(tables, PageNumber.Size + directory * 8, at.Value + (ulong)offset | PresentWritable);
            for (int entry = 0; entry < 512; entry++)
                Set(tables, offset + entry * 8, (((ulong)directory << 30) + ((ulong)entry << 21)) | LargePage | PresentWritable);
        }

        return tables;
    }

    private static void Set(byte[] tables, int offset, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(tables.AsSpan(offset), value);
}
