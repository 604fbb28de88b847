using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>What every vector instruction asks before it runs, and how it leaves when it may not.</summary>
internal static unsafe class VectorState
{
    private const int TopShift = 11;
    private const ushort ErrorSummary = 1 << 7;

    /// <summary>
    /// Whether SSE instructions may execute: CR0.EM clear and CR4.OSFXSR set (else #UD), CR0.TS clear (else #NM).
    /// False: the fault is recorded (Intel SDM 2A, 2.4.3, exception types 1 to 5).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool SseReady(VcpuContext* c) =>
        ((c->State.Cr0 & (Cr0.EM | Cr0.TS)) | (~c->State.Cr4 & Cr4.OSFXSR)) == 0 || RefuseSse(c);

    /// <summary>
    /// Whether VEX vector instructions may execute: CR4.OSXSAVE set and SSE and AVX enabled in XCR0, in protected mode
    /// (else #UD), CR0.TS clear (else #NM). CR0.EM and CR4.OSFXSR do not matter (Intel SDM 2A, 2.4, types 1 to 8).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool AvxReady(VcpuContext* c) =>
        ((c->State.Cr0 & Cr0.TS) | (~c->State.Cr0 & Cr0.PE) | (~c->State.Cr4 & Cr4.OSXSAVE) | (~c->State.Xcr0 & (Xcr0.Sse | Xcr0.Avx))) == 0 || RefuseAvx(c);

    /// <summary>Whether MMX instructions may execute: as for x87 with CR0.EM giving #UD, and #MF where an x87 exception waits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool MmxReady(VcpuContext* c) =>
        ((c->State.Cr0 & (Cr0.EM | Cr0.TS)) | (uint)(c->State.X87Status & ErrorSummary)) == 0 || RefuseMmx(c);

    /// <summary>Whether an SSE instruction with an MMX operand may execute.</summary>
    public static bool SseAndMmxReady(VcpuContext* c) => SseReady(c) && MmxReady(c);

    /// <summary>What an MMX instruction does to the x87 stack: TOP becomes 0 and every register valid (Intel SDM 1, 9.5.1).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void EnterMmx(VcpuContext* c)
    {
        c->State.X87Status = (ushort)(c->State.X87Status & ~(7 << TopShift));
        c->State.X87Tag = 0xff;
    }

    /// <summary>Writes an MMX register: the exponent and sign of the aliased x87 register become all ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void WriteMmx(VcpuContext* c, ushort register, ulong value)
    {
        ulong* target = (ulong*)((byte*)c + register);
        target[0] = value;
        target[1] = 0xffff;
    }

    /// <summary>Leaves guest code with the recorded fault: the instruction has not happened.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Leave(VcpuContext* c, Op* op)
    {
        c->State.Rip = op->Rip;
        return null;
    }

    /// <summary>Leaves with a fault that has no error code.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* Leave(VcpuContext* c, Op* op, Vector vector)
    {
        c->Raise(vector);
        return Leave(c, op);
    }

    /// <summary>Leaves with #GP(0).</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static Op* LeaveProtection(VcpuContext* c, Op* op)
    {
        c->Raise(Vector.GP, 0);
        return Leave(c, op);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool RefuseSse(VcpuContext* c) =>
        c->Raise((c->State.Cr0 & Cr0.EM) != 0 || (c->State.Cr4 & Cr4.OSFXSR) == 0 ? Vector.UD : Vector.NM);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool RefuseAvx(VcpuContext* c)
    {
        const ulong Enabled = Xcr0.Sse | Xcr0.Avx;
        bool exists = c->State.ProtectedMode && (c->State.Cr4 & Cr4.OSXSAVE) != 0 && (c->State.Xcr0 & Enabled) == Enabled;
        return c->Raise(exists ? Vector.NM : Vector.UD);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool RefuseMmx(VcpuContext* c)
    {
        if ((c->State.Cr0 & Cr0.EM) != 0)
            return c->Raise(Vector.UD);
        if ((c->State.Cr0 & Cr0.TS) != 0)
            return c->Raise(Vector.NM);
        // Without CR0.NE the error goes out on FERR#, which this machine does not wire; the instruction proceeds.
        return (c->State.Cr0 & Cr0.NE) == 0 || c->Raise(Vector.MF);
    }
}
