using System.Buffers.Binary;

namespace Godwit.Engine.Paravirt.Workload;

/// <summary>A static ELF64 program for Linux on x86-64: one segment of code that follows the headers, one of zeroed data.</summary>
internal static class StaticElf
{
    /// <summary>Where the file's first byte is loaded.</summary>
    public const ulong LoadAddress = 0x40_0000;

    /// <summary>Where the zeroed data begins.</summary>
    public const ulong DataAddress = 0x60_0000;

    /// <summary>Bytes before the code.</summary>
    public const int HeaderBytes = FileHeaderBytes + ProgramHeaders * ProgramHeaderBytes;

    private const int FileHeaderBytes = 64;
    private const int ProgramHeaderBytes = 56;
    private const int ProgramHeaders = 3;
    private const uint PT_LOAD = 1;
    private const uint PT_GNU_STACK = 0x6474_e551;
    private const uint PF_X = 1, PF_W = 2, PF_R = 4;

    /// <summary>The file: code assembled for <see cref="LoadAddress"/> + <see cref="HeaderBytes"/>, entered at its first byte.</summary>
    public static byte[] Write(ReadOnlySpan<byte> code, ulong dataBytes)
    {
        byte[] file = new byte[HeaderBytes + code.Length];
        code.CopyTo(file.AsSpan(HeaderBytes));

        // Elf64_Ehdr (System V ABI, chapter 4): 64-bit, little-endian, version 1, ET_EXEC, EM_X86_64.
        ReadOnlySpan<byte> identification = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1, 0];
        identification.CopyTo(file);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(16), 2);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(18), 62);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(20), 1);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(24), LoadAddress + HeaderBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(file.AsSpan(32), FileHeaderBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(52), FileHeaderBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(54), ProgramHeaderBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(56), ProgramHeaders);
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(58), 64); // e_shentsize; there are no sections

        ProgramHeader(file, 0, PT_LOAD, PF_R | PF_X, LoadAddress, (ulong)file.Length, (ulong)file.Length, 0x1000);
        ProgramHeader(file, 1, PT_LOAD, PF_R | PF_W, DataAddress, 0, dataBytes, 0x1000);
        ProgramHeader(file, 2, PT_GNU_STACK, PF_R | PF_W, 0, 0, 0, 16);
        return file;
    }

    private static void ProgramHeader(byte[] file, int index, uint type, uint flags, ulong address, ulong fileBytes, ulong memoryBytes, ulong alignment)
    {
        Span<byte> header = file.AsSpan(FileHeaderBytes + index * ProgramHeaderBytes, ProgramHeaderBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(header, type);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], flags);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(header[16..], address);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], address);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], fileBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(header[40..], memoryBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(header[48..], alignment);
    }
}
