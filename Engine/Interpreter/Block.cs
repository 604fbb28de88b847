using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>The head of a decoded basic block in native memory; its ops follow it. 64 bytes: one cache line.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal unsafe struct Block
{
    /// <summary>The instruction count of a block whose code has been overwritten: more than any budget.</summary>
    public const uint Stale = uint.MaxValue;

    /// <summary>No second page.</summary>
    public const ulong OnePage = ulong.MaxValue;

    /// <summary>RIP (EIP) of the first instruction.</summary>
    public ulong Rip;

    /// <summary>Guest physical address of the first byte.</summary>
    public ulong Physical;

    /// <summary>Guest physical address of the page in which a page-crossing instruction ends, or <see cref="OnePage"/>.</summary>
    public ulong SecondPage;

    /// <summary>The next block of the same hash.</summary>
    public Block* HashNext;

    /// <summary>The next blocks in the lists of the first and of the second page.</summary>
    public Block* PageNext, SecondPageNext;

    /// <summary>Instructions in the block, or <see cref="Stale"/>.</summary>
    public uint Instructions;

    /// <summary>Bytes of code.</summary>
    public ushort Bytes;

    /// <summary>Ops, the internal ones included.</summary>
    public ushort Ops;

    /// <summary>The <see cref="CodeMode"/> that it was decoded for.</summary>
    public byte Mode;

    /// <summary>Where the block's translation starts in the code cache; 0: there is none.</summary>
    public uint Native;

    /// <summary>The first op that belongs to an instruction: past the op that a translator has put in front.</summary>
    public static Op* First(Block* block)
    {
        Op* op = (Op*)(block + 1);
        return (op->Flags & (byte)(OpFlags.Internal | OpFlags.Branch)) == (byte)OpFlags.Internal ? op + 1 : op;
    }

    /// <summary>
    /// Charges the block's instructions to the budget and returns its first op, or leaves the loop at the block's RIP:
    /// the budget is too short for the whole block, somebody asks for an exit, or the block is stale.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Op* Enter(VcpuContext* c, Block* block)
    {
        uint count = block->Instructions;
        long left = c->Budget - count;
        if (left < 0 || c->ExitRequest != 0)
        {
            c->State.Rip = block->Rip;
            return null;
        }
        c->Budget = left;
        c->State.RetiredInstructions += count;
        return (Op*)(block + 1);
    }
}

/// <summary>What decoding depends on beside the bytes.</summary>
internal static class CodeMode
{
    public const byte Code16 = 0, Code32 = 1, Code64 = 2;
    public const byte SizeMask = 3;

    /// <summary>The stack pointer is ESP (SS.B), outside of 64-bit mode.</summary>
    public const byte Stack32 = 4;

    /// <summary>A data or stack segment is not flat: every memory operand is checked against its segment.</summary>
    public const byte Checked = 8;

    public const int Count = 16;
}
