using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>
/// Puts the pieces of a boot into guest RAM, each in a range of its own: a piece that would lie outside usable RAM, wrap
/// round, or overlap another is refused before anything of it is written. RAM is taken to be fresh (all zero).
/// </summary>
internal sealed class ImagePlacer
{
    private readonly GuestMemory _memory;
    private readonly string _image;
    private readonly List<(ulong Start, ulong End, string What)> _placed = [];

    public ImagePlacer(GuestMemory memory, string image)
    {
        _memory = memory;
        _image = image;
        if (memory.Size <= PhysicalMemoryMap.HighMemory)
            throw new BootException(image, $"needs more than 1 MiB of memory, and the machine has {memory.Size >> 10} KiB");
    }

    /// <summary>One past the highest byte placed so far at or above 1 MiB.</summary>
    public ulong HighestEnd => _placed.Select(p => p.End).Append(PhysicalMemoryMap.HighMemory).Max();

    /// <summary>Claims a range for <paramref name="what"/> and stores <paramref name="bytes"/> at its start.</summary>
    /// <param name="length">Bytes claimed; at least as many as are stored.</param>
    public void Place(string what, GuestPhysicalAddress address, ReadOnlySpan<byte> bytes, ulong length)
    {
        Claim(what, address.Value, length);
        if (!_memory.TryWrite(address, bytes))
            throw new BootException(_image, $"does not fit in memory: {what} at 0x{address.Value:x}");
    }

    /// <summary>Claims exactly the bytes that are stored.</summary>
    public void Place(string what, GuestPhysicalAddress address, ReadOnlySpan<byte> bytes) =>
        Place(what, address, bytes, (ulong)bytes.Length);

    private void Claim(string what, ulong start, ulong length)
    {
        if (length == 0)
            return;
        ulong top = PhysicalMemoryMap.TopOfLowRam(_memory.Size);
        if (start > top || length > top - start)
            throw new BootException(_image, $"does not fit in memory: {what} takes 0x{length:x} bytes at 0x{start:x}, and usable memory below 4 GiB ends at 0x{top:x}");
        ulong end = start + length;
        if (end > PhysicalMemoryMap.ExtendedBiosData && start < PhysicalMemoryMap.HighMemory)
            throw new BootException(_image, $"cannot be loaded: {what} at 0x{start:x}-0x{end:x} lies in the reserved area 0x{PhysicalMemoryMap.ExtendedBiosData:x}-0x{PhysicalMemoryMap.HighMemory:x}");
        foreach ((ulong otherStart, ulong otherEnd, string other) in _placed)
        {
            if (start < otherEnd && otherStart < end)
                throw new BootException(_image, $"cannot be loaded: {what} at 0x{start:x}-0x{end:x} overlaps {other} at 0x{otherStart:x}-0x{otherEnd:x}");
        }

        _placed.Add((start, end, what));
    }
}
