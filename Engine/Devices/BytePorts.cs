namespace Godwit.Engine.Devices;

/// <summary>
/// Byte-wide registers behind consecutive ports. A wider access is made of byte accesses in rising order, as the ISA
/// bus does; bytes past the last register read as ones and ignore writes.
/// </summary>
public sealed class BytePorts(int count, Func<int, byte> read, Action<int, byte> write) : IPortDevice
{
    public int Count => count;

    public uint ReadPort(int offset, int size)
    {
        uint value = 0;
        for (int i = 0; i < size; i++)
            value |= (uint)(offset + i < count ? read(offset + i) : 0xff) << (8 * i);
        return value;
    }

    public void WritePort(int offset, int size, uint value)
    {
        for (int i = 0; i < size && offset + i < count; i++)
            write(offset + i, (byte)(value >> (8 * i)));
    }
}
