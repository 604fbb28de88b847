using System.Buffers.Binary;
using System.Text;

namespace Godwit.Engine.Devices.Acpi;

/// <summary>ACPI machine language, as much of it as describes devices (ACPI 6.5, chapter 20). Each function returns the encoding of one term.</summary>
internal static class Aml
{
    /// <summary>Name (<paramref name="path"/>, <paramref name="value"/>). Paths have four characters a segment, after an optional backslash.</summary>
    internal static byte[] Name(string path, byte[] value) => [0x08, .. Path(path), .. value];

    internal static byte[] Scope(string path, params byte[][] terms) => [0x10, .. Sized([.. Path(path), .. Join(terms)])];

    internal static byte[] Device(string path, params byte[][] terms) => [0x5b, 0x82, .. Sized([.. Path(path), .. Join(terms)])];

    internal static byte[] Package(params byte[][] elements) => [0x12, .. Sized([(byte)elements.Length, .. Join(elements)])];

    internal static byte[] Buffer(byte[] content) => [0x11, .. Sized([.. Integer((uint)content.Length), .. content])];

    internal static byte[] String(string value) => [0x0d, .. Encoding.ASCII.GetBytes(value), 0x00];

    internal static byte[] Integer(uint value) => value switch
    {
        0 or 1 => [(byte)value],
        <= byte.MaxValue => [0x0a, (byte)value],
        <= ushort.MaxValue => [0x0b, .. Little((ushort)value)],
        _ => [0x0c, .. Little(value)],
    };

    /// <summary>A plug-and-play identifier such as PNP0501, compressed (ACPI 6.5, 19.6.37).</summary>
    internal static byte[] EisaId(string id)
    {
        uint letters = (uint)((id[0] - '@') << 10 | (id[1] - '@') << 5 | (id[2] - '@'));
        uint value = letters << 16 | Convert.ToUInt32(id[3..], 16);
        return [0x0c, .. Little(BinaryPrimitives.ReverseEndianness(value))];
    }

    /// <summary>A resource template of descriptors, closed by its end tag; a checksum of 0 counts as right.</summary>
    internal static byte[] Resources(params byte[][] descriptors) => Buffer([.. Join(descriptors), 0x79, 0x00]);

    /// <summary>Fixed I/O ports, all 16 address bits decoded.</summary>
    internal static byte[] Ports(ushort first, byte count) => [0x47, 0x01, .. Little(first), .. Little(first), 0x01, count];

    /// <summary>An ISA interrupt: edge-triggered, active high, exclusive.</summary>
    internal static byte[] IsaInterrupt(int number) => [0x22, .. Little((ushort)(1 << number))];

    /// <summary>A global system interrupt: level-triggered, active high, exclusive.</summary>
    internal static byte[] LevelInterrupt(uint number) => [0x89, 0x06, 0x00, 0x01, 0x01, .. Little(number)];

    /// <summary>Fixed memory below 4 GiB, writable.</summary>
    internal static byte[] Memory(uint start, uint length) => [0x86, 0x09, 0x00, 0x01, .. Little(start), .. Little(length)];

    private static byte[] Path(string path)
    {
        bool root = path[0] == '\\';
        string segments = root ? path[1..] : path;
        if (segments.Length != 4)
            throw new ArgumentException($"an AML name must have one segment of four characters, not {path}", nameof(path));
        return [.. root ? "\\"u8 : [], .. Encoding.ASCII.GetBytes(segments)];
    }

    /// <summary>Prefixes a package length, which counts its own bytes (ACPI 6.5, 20.2.4).</summary>
    private static byte[] Sized(byte[] content)
    {
        int total = content.Length + 1;
        if (total < 0x40)
            return [(byte)total, .. content];
        for (int extra = 1; extra <= 3; extra++)
        {
            total = content.Length + 1 + extra;
            if (total >> (4 + 8 * extra) != 0)
                continue;
            byte[] prefix = new byte[1 + extra];
            prefix[0] = (byte)(extra << 6 | total & 0xf);
            for (int i = 0; i < extra; i++)
                prefix[1 + i] = (byte)(total >> (4 + 8 * i));
            return [.. prefix, .. content];
        }
        throw new ArgumentException("an AML term is too long", nameof(content));
    }

    private static byte[] Join(byte[][] parts) => [.. parts.SelectMany(part => part)];

    private static byte[] Little(ushort value) => [(byte)value, (byte)(value >> 8)];

    private static byte[] Little(uint value) => [.. Little((ushort)value), .. Little((ushort)(value >> 16))];
}
