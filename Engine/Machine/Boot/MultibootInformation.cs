using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>
/// The structure EBX points at (Multiboot Specification 0.6.96, 3.3), with what it points at behind it: memory sizes and
/// map, command line, at most one module, the loader's name.
/// </summary>
internal sealed class MultibootInformation(string kernelName, string commandLine, ulong ramBytes)
{
    private const uint HasMemory = 1 << 0;
    private const uint HasCommandLine = 1 << 2;
    private const uint HasModules = 1 << 3;
    private const uint HasMemoryMap = 1 << 6;
    private const uint HasLoaderName = 1 << 9;

    private const int StructureBytes = 116;
    private const int ModuleBytes = 16;
    private const int MapEntryBytes = 24;

    private (uint Start, uint Length)? _module;

    /// <summary>Names the module; its own string is empty.</summary>
    public void AddModule(uint start, uint length) => _module = (start, length);

    /// <summary>The bytes for <see cref="LowMemory.MultibootInfo"/>: addresses in them are absolute.</summary>
    public byte[] Encode()
    {
        IReadOnlyList<MemoryRange> map = PhysicalMemoryMap.Build(ramBytes);
        // Kernels take the first word for their own name, as GRUB passes it.
        byte[] command = Text(commandLine.Length == 0 ? kernelName : $"{kernelName} {commandLine}");
        byte[] loader = Text("godwit");
        int modules = StructureBytes;
        int mapAt = modules + ModuleBytes;
        int commandAt = mapAt + map.Count * MapEntryBytes;
        int loaderAt = commandAt + command.Length;
        byte[] bytes = new byte[loaderAt + loader.Length];

        Set(bytes, 0, HasMemory | HasCommandLine | HasMemoryMap | HasLoaderName | (_module is null ? 0 : HasModules));
        Set(bytes, 4, (uint)(PhysicalMemoryMap.ExtendedBiosData >> 10));
        Set(bytes, 8, (uint)((PhysicalMemoryMap.TopOfLowRam(ramBytes) - PhysicalMemoryMap.HighMemory) >> 10));
        Set(bytes, 16, Address(commandAt));
        if (_module is { } module)
        {
            Set(bytes, 20, 1);
            Set(bytes, 24, Address(modules));
            Set(bytes, modules, module.Start);
            Set(bytes, modules + 4, module.Start + module.Length);
            // The last byte of a string already there is its NUL.
            Set(bytes, modules + 8, Address(commandAt + command.Length - 1));
        }

        Set(bytes, 44, (uint)(map.Count * MapEntryBytes));
        Set(bytes, 48, Address(mapAt));
        Set(bytes, 64, Address(loaderAt));
        for (int i = 0; i < map.Count; i++)
        {
            Span<byte> entry = bytes.AsSpan(mapAt + i * MapEntryBytes);
            // An entry's size field does not count itself.
            BinaryPrimitives.WriteUInt32LittleEndian(entry, MapEntryBytes - 4);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[4..], map[i].Start);
            BinaryPrimitives.WriteUInt64LittleEndian(entry[12..], map[i].Length);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[20..], (uint)map[i].Kind);
        }

        command.CopyTo(bytes, commandAt);
        loader.CopyTo(bytes, loaderAt);
        return bytes;
    }

    private static byte[] Text(string text)
    {
        if (text.Contains('\0'))
            throw new BootException("the kernel command line contains a NUL character");
        byte[] bytes = [.. Encoding.UTF8.GetBytes(text), 0];
        return bytes.Length <= LowMemory.MaxCommandLineBytes
            ? bytes
            : throw new BootException($"the kernel command line has {bytes.Length - 1} bytes and a multiboot image takes at most {LowMemory.MaxCommandLineBytes - 1}");
    }

    private static uint Address(int offset) => (uint)LowMemory.MultibootInfo.Value + (uint)offset;

    private static void Set(byte[] bytes, int offset, uint value) =>
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(offset), value);
}
