using System.Runtime.InteropServices;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>One instruction with the state that it starts from, as parent and child share it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeCase
{
    /// <summary>Bytes of memory that an instruction may touch and that are compared.</summary>
    public const int WindowBytes = 512;

    /// <summary>Where the instruction lies. All else in its page is INT3.</summary>
    public const ulong Code = TestMachine.Code + 0x800;

    public const ulong CodePage = TestMachine.Code;

    /// <summary>The window's first byte, in the middle of what is mapped.</summary>
    public const ulong Window = TestMachine.Data + 0x700;

    /// <summary>Mapped around the window, so that an address a little outside is no fault.</summary>
    public const ulong Mapped = TestMachine.Data - 0x8000;

    public const int MappedBytes = 0x1_1000;

    /// <summary>Where nothing is mapped, here or there.</summary>
    public const ulong Hole = 0x5000_0000;

    public const int HoleBytes = 0x1_0000;

    /// <summary>By encoding: RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.</summary>
    public fixed ulong Gpr[16];

    public ulong Rflags;

    /// <summary>64 or 32 (compatibility mode).</summary>
    public ulong Bitness;

    public fixed byte Bytes[16];

    public fixed byte Memory[WindowBytes];
}

/// <summary>What became of a <see cref="NativeCase"/>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct NativeResult
{
    /// <summary>
    /// The registers of the signal's context, in the kernel's order: R8 to R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP,
    /// RIP, EFLAGS, CS with GS and FS, error code, vector, mask, CR2 (sys/ucontext.h).
    /// </summary>
    public fixed ulong Registers[23];

    public fixed byte Memory[NativeCase.WindowBytes];

    public const int Rip = 16, Eflags = 17, ErrorCode = 19, Vector = 20, Cr2 = 22;

    /// <summary>The context's index of each general register by encoding.</summary>
    public static ReadOnlySpan<byte> Index => [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];
}
