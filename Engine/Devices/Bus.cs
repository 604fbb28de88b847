namespace Godwit.Engine.Devices;

/// <summary>
/// Which device answers which port or guest physical address. Overlaps are refused when the machine is built.
/// An address with no device reads as all ones and ignores writes, as on a PC.
/// </summary>
/// <param name="gate">The lock of a machine that has another bus already, as each of several vCPUs has; null: a lock of its own.</param>
public sealed class Bus(Lock? gate = null)
{
    private readonly PortRange?[] _ports = new PortRange?[0x10000];
    private readonly List<MmioRange> _mmio = [];

    /// <summary>The machine lock: every device access, timer callback and interrupt hand-over happens under it. Accesses through the bus take it themselves.</summary>
    public Lock Gate { get; } = gate ?? new();

    /// <summary>Puts a device behind <paramref name="count"/> ports from <paramref name="first"/> on.</summary>
    public void MapPorts(ushort first, int count, IPortDevice device, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first + count, 0x10000);
        for (int port = first; port < first + count; port++)
            if (_ports[port] is { } taken)
                throw new InvalidOperationException($"port 0x{port:x} of {name} is already taken by {taken.Name}");
        PortRange range = new(first, device, name);
        Array.Fill(_ports, range, first, count);
    }

    /// <summary>Puts a device behind <paramref name="length"/> bytes of guest physical addresses.</summary>
    public void MapMmio(ulong start, ulong length, IMmioDevice device, string name)
    {
        ArgumentOutOfRangeException.ThrowIfZero(length);
        foreach (MmioRange other in _mmio)
            if (start < other.End && other.Start < start + length)
                throw new InvalidOperationException($"MMIO range 0x{start:x} of {name} overlaps {other.Name}");
        _mmio.Add(new MmioRange(start, start + length, device, name));
    }

    public uint ReadPort(ushort port, int size)
    {
        if (_ports[port] is not { } range)
            return uint.MaxValue >> (32 - size * 8);
        lock (Gate)
            return range.Device.ReadPort(port - range.First, size);
    }

    public void WritePort(ushort port, int size, uint value)
    {
        if (_ports[port] is not { } range)
            return;
        lock (Gate)
            range.Device.WritePort(port - range.First, size, value);
    }

    public ulong ReadMmio(ulong address, int size)
    {
        foreach (MmioRange range in _mmio)
            if (address >= range.Start && address < range.End)
                lock (Gate)
                    return range.Device.ReadMmio(address - range.Start, size);
        return ulong.MaxValue >> (64 - size * 8);
    }

    public void WriteMmio(ulong address, int size, ulong value)
    {
        foreach (MmioRange range in _mmio)
            if (address >= range.Start && address < range.End)
            {
                lock (Gate)
                    range.Device.WriteMmio(address - range.Start, size, value);
                return;
            }
    }

    private sealed record PortRange(int First, IPortDevice Device, string Name);

    private sealed record MmioRange(ulong Start, ulong End, IMmioDevice Device, string Name);
}
