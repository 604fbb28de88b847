using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Cpu;

/// <summary>
/// A vCPU's accesses to guest physical addresses: RAM, or a device through the bus. An access lies within one page.
/// Stores mark the page dirty at resolution (a safe point follows before it is collected, docs/migration.md) and tell
/// the code watcher afterwards.
/// </summary>
public static unsafe class PhysicalMemory
{
    /// <summary>Reads a value that does not cross a page.</summary>
    public static T Read<T>(Vcpu vcpu, ulong physical)
        where T : unmanaged
    {
        byte* page = vcpu.Memory.Resolve(new PageNumber(physical >> PageNumber.Shift), Access.Read);
        if (page != null)
            return Unsafe.ReadUnaligned<T>(page + (physical & (PageNumber.Size - 1)));
        Unsafe.SkipInit(out T value);
        ReadDevice(vcpu.Bus, physical, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }

    /// <summary>Writes a value that does not cross a page.</summary>
    public static void Write<T>(Vcpu vcpu, ulong physical, T value)
        where T : unmanaged
    {
        PageNumber number = new(physical >> PageNumber.Shift);
        byte* page = vcpu.Memory.Resolve(number, Access.Write);
        if (page == null)
        {
            WriteDevice(vcpu.Bus, physical, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
            return;
        }
        Unsafe.WriteUnaligned(page + (physical & (PageNumber.Size - 1)), value);
        if (vcpu.Code.IsCode(number))
            vcpu.Code.Written(new GuestPhysicalAddress(physical), sizeof(T));
    }

    /// <summary>Reads bytes of one page.</summary>
    public static void Read(Vcpu vcpu, ulong physical, Span<byte> destination)
    {
        byte* page = vcpu.Memory.Resolve(new PageNumber(physical >> PageNumber.Shift), Access.Read);
        if (page == null)
            ReadDevice(vcpu.Bus, physical, destination);
        else
            new ReadOnlySpan<byte>(page + (physical & (PageNumber.Size - 1)), destination.Length).CopyTo(destination);
    }

    /// <summary>Writes bytes of one page.</summary>
    public static void Write(Vcpu vcpu, ulong physical, ReadOnlySpan<byte> source)
    {
        PageNumber number = new(physical >> PageNumber.Shift);
        byte* page = vcpu.Memory.Resolve(number, Access.Write);
        if (page == null)
        {
            WriteDevice(vcpu.Bus, physical, source);
            return;
        }
        source.CopyTo(new Span<byte>(page + (physical & (PageNumber.Size - 1)), source.Length));
        if (vcpu.Code.IsCode(number))
            vcpu.Code.Written(new GuestPhysicalAddress(physical), source.Length);
    }

    private static void ReadDevice(Bus bus, ulong physical, Span<byte> destination)
    {
        while (destination.Length > 0)
        {
            int size = Piece(destination.Length);
            ulong value = bus.ReadMmio(physical, size);
            new ReadOnlySpan<byte>(&value, size).CopyTo(destination);
            destination = destination[size..];
            physical += (ulong)size;
        }
    }

    private static void WriteDevice(Bus bus, ulong physical, ReadOnlySpan<byte> source)
    {
        while (source.Length > 0)
        {
            int size = Piece(source.Length);
            ulong value = 0;
            source[..size].CopyTo(new Span<byte>(&value, size));
            bus.WriteMmio(physical, size, value);
            source = source[size..];
            physical += (ulong)size;
        }
    }

    /// <summary>The largest bus access, 1, 2, 4 or 8 bytes, that a length still holds.</summary>
    private static int Piece(int length) => length >= 8 ? 8 : length >= 4 ? 4 : length >= 2 ? 2 : 1;
}
