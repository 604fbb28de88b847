using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>
/// What the handlers of this folder share. A handler whose row ends blocks and that returns null without a fault has set
/// RIP; the dispatcher then looks at mode, privilege, events and exits anew.
/// </summary>
internal static unsafe class Plumbing
{
    /// <summary>The instruction is done; the dispatcher takes over at the next one.</summary>
    public static Op* Leave(VcpuContext* c, Op* op)
    {
        c->State.Rip = op->NextRip;
        return null;
    }

    /// <summary>Privilege level 0, or #GP(0).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Privileged(VcpuContext* c) => c->State.Cpl == 0 || c->Raise(Vector.GP, 0);

    /// <summary>Protected mode, or #UD.</summary>
    public static bool Protected(VcpuContext* c) => c->State.ProtectedMode || c->Raise(Vector.UD);

    /// <summary>A general register by its offset, all 64 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ref ulong Register(VcpuContext* c, ushort offset) => ref *(ulong*)((byte*)c + offset);

    /// <summary>Writes 2, 4 or 8 bytes of a general register; 4 clear the upper half.</summary>
    public static void SetRegister(VcpuContext* c, ushort offset, int size, ulong value)
    {
        ref ulong register = ref Register(c, offset);
        register = size switch
        {
            2 => (register & ~0xfffful) | (ushort)value,
            4 => (uint)value,
            _ => value,
        };
    }

    /// <summary>Reads 2, 4 or 8 bytes, zero-extended.</summary>
    public static bool Load(VcpuContext* c, ulong address, int size, out ulong value)
    {
        bool done;
        switch (size)
        {
            case 2:
                done = GuestAccess.Load(c, address, out ushort word);
                value = word;
                return done;
            case 4:
                done = GuestAccess.Load(c, address, out uint dword);
                value = dword;
                return done;
            default:
                return GuestAccess.Load(c, address, out value);
        }
    }

    /// <summary>Writes 2, 4 or 8 bytes.</summary>
    public static bool Store(VcpuContext* c, ulong address, int size, ulong value) => size switch
    {
        2 => GuestAccess.Store(c, address, (ushort)value),
        4 => GuestAccess.Store(c, address, (uint)value),
        _ => GuestAccess.Store(c, address, value),
    };

    /// <summary>The bits of the stack pointer that the current stack uses.</summary>
    public static ulong StackMask(VcpuContext* c)
    {
        if (c->State.Mode64)
            return ulong.MaxValue;
        return (c->State.Ss.Attributes & Segment.DB) != 0 ? uint.MaxValue : ushort.MaxValue;
    }

    /// <summary>The linear address of an offset in the stack segment.</summary>
    public static ulong StackAddress(VcpuContext* c, ulong offset) => c->State.Mode64 ? offset : c->State.Ss.Base + offset;
}
