using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Devices.Acpi;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class AcpiTests
{
    private static readonly AcpiConfiguration Configuration = new(2, [new(0xd0000000, 0x200, 16), new(0xd0000200, 0x200, 17)]);

    private readonly AcpiTables _tables = AcpiTables.Build(Configuration);

    private ReadOnlySpan<byte> Table(string name) => _tables.Blobs.Single(blob => blob.Name == name).Content.Span;

    private static uint U32(ReadOnlySpan<byte> table, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(table[offset..]);

    private static ulong U64(ReadOnlySpan<byte> table, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(table[offset..]);

    private static byte Sum(ReadOnlySpan<byte> bytes)
    {
        byte sum = 0;
        foreach (byte value in bytes)
            sum += value;
        return sum;
    }

    [Theory]
    [InlineData("DSDT")]
    [InlineData("FACP")]
    [InlineData("APIC")]
    [InlineData("XSDT")]
    public void TablesHaveTheirSignatureLengthAndChecksum(string name)
    {
        ReadOnlySpan<byte> table = Table(name);
        Assert.Equal(name, Encoding.ASCII.GetString(table[..4]));
        Assert.Equal((uint)table.Length, U32(table, 4));
        Assert.Equal(0, Sum(table));
    }

    [Fact]
    public void TheRootPointerIsFoundByItsSignatureAndBothChecksums()
    {
        ReadOnlySpan<byte> rsdp = Table("RSDP");
        Assert.Equal("RSD PTR ", Encoding.ASCII.GetString(rsdp[..8]));
        Assert.Equal(0, Sum(rsdp[..20]));
        Assert.Equal(0, Sum(rsdp));
        Assert.Equal(0ul, AcpiTables.RootPointer % 16);
        Assert.InRange(AcpiTables.RootPointer, 0xe0000ul, 0xffffful);
    }

    [Fact]
    public void PointersLeadFromTheRootToEveryTable()
    {
        AcpiBlob At(ulong address) => _tables.Blobs.Single(blob => blob.Address == address);
        ReadOnlySpan<byte> xsdt = At(U64(Table("RSDP"), 24)).Content.Span;
        Assert.Equal("FACP", At(U64(xsdt, 36)).Name);
        Assert.Equal("APIC", At(U64(xsdt, 44)).Name);
        ReadOnlySpan<byte> fadt = Table("FACP");
        Assert.Equal(276, fadt.Length);
        Assert.Equal("FACS", At(U32(fadt, 36)).Name);
        Assert.Equal(0u, U32(fadt, 36) % 64);
        Assert.Equal("DSDT", At(U64(fadt, 140)).Name);
    }

    [Fact]
    public void PiecesAreApartAndInsideTheirArea()
    {
        ulong end = AcpiTables.AreaStart;
        foreach (AcpiBlob blob in _tables.Blobs.OrderBy(blob => blob.Address))
        {
            Assert.True(blob.Address >= end);
            end = blob.Address + (ulong)blob.Content.Length;
        }
        Assert.True(end <= AcpiTables.AreaStart + AcpiTables.AreaLength);
    }

    /// <summary>Offsets from ACPI 6.5, table 5.9.</summary>
    [Fact]
    public void TheFadtSaysWhereTheFixedHardwareIs()
    {
        ReadOnlySpan<byte> fadt = Table("FACP");
        Assert.Equal(9, fadt[46]);
        Assert.Equal(0u, U32(fadt, 48));
        Assert.Equal(0x600u, U32(fadt, 56));
        Assert.Equal(0x604u, U32(fadt, 64));
        Assert.Equal(0x608u, U32(fadt, 76));
        Assert.Equal([4, 2, 0, 4], fadt[88..92].ToArray());
        Assert.Equal(0x32, fadt[108]);
        Assert.Equal(0u, U32(fadt, 112) & (1u << 20));
        Assert.Equal(1u << 10, U32(fadt, 112) & (1u << 10));
        Assert.Equal([1, 8, 0, 1], fadt[116..120].ToArray());
        Assert.Equal(0xcf9ul, U64(fadt, 120));
        Assert.Equal(6, fadt[128]);
        Assert.Equal(0x600ul, U64(fadt, 152));
        Assert.Equal(0x604ul, U64(fadt, 176));
        Assert.Equal(0x608ul, U64(fadt, 212));
    }

    [Fact]
    public void TheMadtNamesEveryApicAndTheTimerOverride()
    {
        ReadOnlySpan<byte> madt = Table("APIC");
        List<string> entries = [];
        for (int at = 44; at < madt.Length; at += madt[at + 1])
            entries.Add(Convert.ToHexString(madt.Slice(at, madt[at + 1])));
        Assert.Equal(
            [
                "0008000001000000",
                "0008010101000000",
                "010C00000000C0FE00000000",
                "020A0000020000000000",
                "020A0009090000000D00",
                "0406FF000001",
            ],
            entries);
    }

    /// <summary>Bytes as the reference compiler makes them of the same source.</summary>
    [Fact]
    public void AmlTermsAreEncodedAsTheReferenceCompilerDoes()
    {
        Assert.Equal("085F4849440C41D00501", Convert.ToHexString(Aml.Name("_HID", Aml.EisaId("PNP0501"))));
        Assert.Equal("085C5F53355F1207040A05000000",
            Convert.ToHexString(Aml.Name("\\_S5_", Aml.Package(Aml.Integer(5), Aml.Integer(0), Aml.Integer(0), Aml.Integer(0)))));
        Assert.Equal("110D0A0A4701F803F80301087900", Convert.ToHexString(Aml.Resources(Aml.Ports(0x3f8, 8))));
    }

    [Theory]
    [InlineData(10, 1)]
    [InlineData(57, 1)]
    [InlineData(58, 2)]
    [InlineData(4080, 2)]
    [InlineData(5000, 3)]
    public void PackageLengthsCountThemselves(int content, int lengthBytes)
    {
        byte[] scope = Aml.Scope("\\_SB_", new byte[content]);
        Assert.Equal(1 + lengthBytes + 5 + content, scope.Length);
        int follow = scope[1] >> 6;
        Assert.Equal(lengthBytes - 1, follow);
        int length = follow == 0 ? scope[1] & 0x3f : scope[1] & 0xf;
        for (int i = 0; i < follow; i++)
            length |= scope[2 + i] << (4 + 8 * i);
        Assert.Equal(scope.Length - 1, length);
    }

    [Fact]
    public void EveryVirtioTransportIsNamed()
    {
        string dsdt = Encoding.Latin1.GetString(Table("DSDT"));
        Assert.Equal(2, dsdt.Split("LNRO0005").Length - 1);
        Assert.Contains("VR01", dsdt, StringComparison.Ordinal);
        Assert.Contains("\x86\x09\x00\x01\x00\x02\x00\xd0\x00\x02\x00\x00", dsdt, StringComparison.Ordinal);
    }

    [Fact]
    public void WritingStopsWhereMemoryEnds()
    {
        List<ulong> written = [];
        Assert.True(_tables.TryWrite((address, _) =>
        {
            written.Add(address);
            return true;
        }));
        Assert.Equal(_tables.Blobs.Count, written.Count);
        Assert.False(_tables.TryWrite((_, _) => false));
    }

    [Fact]
    public void MoreProcessorsThanTheTablesCanNameAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => AcpiTables.Build(new AcpiConfiguration(255)));
        Assert.NotEmpty(AcpiTables.Build(new AcpiConfiguration(254)).Blobs);
    }
}
