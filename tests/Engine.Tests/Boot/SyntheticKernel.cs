using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Machine.Boot;

namespace Godwit.Engine.Tests.Boot;

/// <summary>Builds boot images from scratch, so that each test can break exactly one field.</summary>
internal static class SyntheticKernel
{
    public const int SetupSectors = 4;
    public const int PayloadStart = (SetupSectors + 1) * 512;
    public const int PayloadBytes = 0x1000;
    public const ulong PreferredAddress = 0x100_0000;
    public const uint InitSize = 0x20_0000;

    /// <summary>A minimal bzImage of protocol 2.15 whose payload counts up.</summary>
    public static byte[] BzImage()
    {
        byte[] file = new byte[PayloadStart + PayloadBytes];
        file[0x1f1] = SetupSectors;
        U32(file, 0x1f4, PayloadBytes / 16);
        file[0x201] = 0x6a;
        Encoding.ASCII.GetBytes("HdrS").CopyTo(file, 0x202);
        U16(file, 0x206, 0x020f);
        file[0x211] = 1;
        U32(file, 0x22c, 0x7fff_ffff);
        U32(file, 0x230, 0x20_0000);
        U16(file, 0x236, 0x7f);
        U32(file, 0x238, 2047);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(0x258), PreferredAddress);
        U32(file, 0x260, InitSize);
        for (int i = 0; i < PayloadBytes; i++)
            file[PayloadStart + i] = (byte)(i * 7 + 1);
        return file;
    }

    public const uint ElfAddress = 0x20_0000;
    public const int ElfProgramHeaders = 52;
    public const int ElfCode = 0x100;
    public const int ElfCodeBytes = 64;
    public const uint ElfMemoryBytes = 0x3000;

    /// <summary>A 32-bit multiboot ELF with one segment at 2 MiB: 64 bytes of code (the header first), then bss.</summary>
    public static byte[] MultibootElf(uint flags = 0)
    {
        byte[] file = new byte[ElfCode + ElfCodeBytes];
        file[0] = 0x7f;
        Encoding.ASCII.GetBytes("ELF").CopyTo(file, 1);
        file[4] = 1;
        file[5] = 1;
        file[6] = 1;
        U16(file, 16, 2);
        U16(file, 18, 3);
        U32(file, 20, 1);
        U32(file, 24, ElfAddress + 32);
        U32(file, 28, ElfProgramHeaders);
        U16(file, 42, 32);
        U16(file, 44, 1);
        Segment(file, 0, ElfCode, ElfAddress, ElfCodeBytes, ElfMemoryBytes);
        MultibootMagic(file, ElfCode, flags);
        for (int i = 32; i < ElfCodeBytes; i++)
            file[ElfCode + i] = (byte)(0x80 + i);
        return file;
    }

    /// <summary>Fills a program header: PT_LOAD.</summary>
    public static void Segment(byte[] file, int index, uint offset, uint address, uint fileSize, uint memorySize)
    {
        int at = ElfProgramHeaders + index * 32;
        U32(file, at, 1);
        U32(file, at + 4, offset);
        U32(file, at + 8, address);
        U32(file, at + 12, address);
        U32(file, at + 16, fileSize);
        U32(file, at + 20, memorySize);
    }

    public const uint FlatHeaderAddress = 0x10_0010;
    public const int FlatBytes = 0x200;

    /// <summary>A flat binary for 1 MiB, its multiboot header with addresses (flag 16) at offset 0x10.</summary>
    public static byte[] MultibootFlat()
    {
        byte[] file = new byte[FlatBytes];
        for (int i = 0; i < file.Length; i++)
            file[i] = (byte)i;
        MultibootMagic(file, 0x10, 1 << 16);
        U32(file, 0x1c, FlatHeaderAddress);
        U32(file, 0x20, 0x10_0000);
        U32(file, 0x24, 0);
        U32(file, 0x28, 0x10_0000 + 0x1000);
        U32(file, 0x2c, 0x10_0000 + 0x40);
        return file;
    }

    public static void MultibootMagic(byte[] file, int at, uint flags)
    {
        U32(file, at, 0x1bad_b002);
        U32(file, at + 4, flags);
        U32(file, at + 8, unchecked(0u - 0x1bad_b002 - flags));
    }

    public static BootRequest Request(byte[] kernel, byte[]? initrd = null, string commandLine = "") => new()
    {
        Kernel = kernel,
        KernelName = "kernel.img",
        Initrd = initrd ?? [],
        CommandLine = commandLine,
    };

    public static void U16(byte[] file, int at, ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(at), value);

    public static void U32(byte[] file, int at, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), value);
}
