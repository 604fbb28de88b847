using System.Text;

namespace Godwit.Engine.Devices.Acpi;

/// <summary>A piece of the tables and where in guest memory it goes.</summary>
public sealed record AcpiBlob(string Name, uint Address, ReadOnlyMemory<byte> Content);

/// <summary>
/// The ACPI tables of a machine, laid out in the BIOS area below 1 MiB, which the memory map must call reserved. The root
/// pointer stands at its start, where a guest that is not told of it searches (ACPI 6.5, 5.2.5.1).
/// </summary>
public sealed class AcpiTables
{
    /// <summary>Guest physical address of the area and of the root pointer in it.</summary>
    public const uint AreaStart = 0xe0000;

    public const uint AreaLength = 0x20000;

    private const int Alignment = 64;

    private readonly List<AcpiBlob> _blobs = [];
    private uint _next = AreaStart + Alignment;

    private AcpiTables()
    {
    }

    /// <summary>All pieces; none overlap.</summary>
    public IReadOnlyList<AcpiBlob> Blobs => _blobs;

    /// <summary>Guest physical address of the RSDP.</summary>
    public static ulong RootPointer => AreaStart;

    /// <summary>Builds the tables; throws <see cref="ArgumentException"/> for a machine they cannot describe.</summary>
    public static AcpiTables Build(AcpiConfiguration configuration)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(configuration.VcpuCount, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(configuration.VcpuCount, 254);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(configuration.VirtioMmio.Count, 256);
        AcpiTables tables = new();
        uint facs = tables.Add("FACS", FixedTables.Facs());
        uint dsdt = tables.AddTable("DSDT", 2, Dsdt.Build(configuration));
        uint fadt = tables.AddTable("FACP", 6, FixedTables.Fadt(facs, dsdt));
        uint madt = tables.AddTable("APIC", 5, FixedTables.Madt(configuration.VcpuCount));
        TableWriter pointers = new();
        pointers.U64(fadt).U64(madt);
        uint xsdt = tables.AddTable("XSDT", 1, pointers.ToArray());
        tables._blobs.Insert(0, new AcpiBlob("RSDP", AreaStart, FixedTables.Rsdp(xsdt)));
        return tables;
    }

    /// <summary>Writes everything through <paramref name="write"/>; false as soon as that says so.</summary>
    public bool TryWrite(Func<ulong, ReadOnlyMemory<byte>, bool> write)
    {
        foreach (AcpiBlob blob in _blobs)
            if (!write(blob.Address, blob.Content))
                return false;
        return true;
    }

    /// <summary>The byte that makes all bytes sum up to zero.</summary>
    internal static byte Checksum(ReadOnlySpan<byte> bytes)
    {
        byte sum = 0;
        foreach (byte value in bytes)
            sum += value;
        return (byte)-sum;
    }

    private uint AddTable(string signature, byte revision, byte[] body)
    {
        TableWriter table = new();
        table.Text(signature).U32((uint)(FixedTables.HeaderLength + body.Length)).U8(revision).U8(0)
            .Text(FixedTables.OemId).Text("GODWITVM").U32(1).Text("GDWT").U32(1).Bytes(body);
        byte[] bytes = table.ToArray();
        bytes[FixedTables.ChecksumOffset] = Checksum(bytes);
        return Add(signature, bytes);
    }

    private uint Add(string name, byte[] content)
    {
        uint address = _next;
        _next = (uint)((address + content.Length + Alignment - 1) / Alignment * Alignment);
        if (_next > AreaStart + AreaLength)
            throw new ArgumentException($"the ACPI tables do not fit into {AreaLength / 1024} KiB");
        _blobs.Add(new AcpiBlob(name, address, content));
        return address;
    }
}

/// <summary>Little-endian fields in a row.</summary>
internal sealed class TableWriter
{
    private readonly List<byte> _bytes = [];

    internal int Length => _bytes.Count;

    internal TableWriter U8(byte value)
    {
        _bytes.Add(value);
        return this;
    }

    internal TableWriter U16(ushort value) => U8((byte)value).U8((byte)(value >> 8));

    internal TableWriter U32(uint value) => U16((ushort)value).U16((ushort)(value >> 16));

    internal TableWriter U64(ulong value) => U32((uint)value).U32((uint)(value >> 32));

    internal TableWriter Text(string value) => Bytes(Encoding.ASCII.GetBytes(value));

    internal TableWriter Zeros(int count) => Bytes(new byte[count]);

    internal TableWriter Bytes(byte[] value)
    {
        _bytes.AddRange(value);
        return this;
    }

    internal byte[] ToArray() => [.. _bytes];
}
