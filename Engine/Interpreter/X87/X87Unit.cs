using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>The register stack, status and exceptions of the x87 unit: what its instructions are made of.</summary>
internal static unsafe class X87Unit
{
    private const int StackUnderflow = X87Flags.Invalid | X87Flags.StackFault;

    /// <summary>
    /// Whether a waiting instruction may execute: CR0.EM and TS clear (#NM), no unmasked exception pending (#MF under
    /// CR0.NE; without NE it stays pending: FERR# is not wired). Notes the instruction's address.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Ready(VcpuContext* c, Op* op)
    {
        if (((c->State.Cr0 & (Cr0.EM | Cr0.TS)) | (uint)(c->State.X87Status & X87Flags.ErrorSummary)) != 0 && !Permit(c))
            return false;
        c->State.X87InstructionPointer = op->Rip;
        return true;
    }

    /// <summary>Whether a control instruction may execute that leaves exceptions and the last instruction's address alone.</summary>
    public static bool ControlReady(VcpuContext* c, bool waits)
    {
        if ((c->State.Cr0 & (Cr0.EM | Cr0.TS)) != 0)
            return c->Raise(Vector.NM);
        return !waits || Permit(c);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static bool Permit(VcpuContext* c)
    {
        if ((c->State.Cr0 & (Cr0.EM | Cr0.TS)) != 0)
            return c->Raise(Vector.NM);
        return (c->State.X87Status & X87Flags.ErrorSummary) == 0 || (c->State.Cr0 & Cr0.NE) == 0 || c->Raise(Vector.MF);
    }

    /// <summary>The address of a memory operand, noted as the last one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Address(VcpuContext* c, Op* op)
    {
        ulong address = GuestAccess.Address(c, op);
        c->State.X87DataPointer = address - *(ulong*)((byte*)c + op->SegmentBase);
        return address;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Physical(VcpuContext* c, int index) => ((c->State.X87Status >> X87Flags.TopShift) + index) & 7;

    public static bool IsEmpty(VcpuContext* c, int index) => (c->State.X87Tag >> Physical(c, index) & 1) == 0;

    public static Number Get(VcpuContext* c, int index)
    {
        ulong* register = c->State.X87 + 2 * Physical(c, index);
        return Number.FromExtended(register[0], (ushort)register[1]);
    }

    public static void Set(VcpuContext* c, int index, in Number value)
    {
        (ulong significand, ushort signExponent) = value.ToExtended();
        SetRaw(c, index, significand, signExponent);
    }

    public static void SetRaw(VcpuContext* c, int index, ulong significand, ushort signExponent)
    {
        int physical = Physical(c, index);
        c->State.X87[2 * physical] = significand;
        c->State.X87[2 * physical + 1] = signExponent;
        c->State.X87Tag |= (byte)(1 << physical);
    }

    public static void Free(VcpuContext* c, int index) => c->State.X87Tag &= (byte)~(1 << Physical(c, index));

    public static void Rotate(VcpuContext* c, int by) =>
        c->State.X87Status = (ushort)((c->State.X87Status & ~X87Flags.Top) | (((c->State.X87Status >> X87Flags.TopShift) + by & 7) << X87Flags.TopShift));

    public static void Pop(VcpuContext* c)
    {
        Free(c, 0);
        Rotate(c, 1);
    }

    /// <summary>Pushes a value; with the stack full, raises the overflow and pushes the indefinite where that is masked.</summary>
    public static void Push(VcpuContext* c, in Number value)
    {
        (ulong significand, ushort signExponent) = value.ToExtended();
        PushRaw(c, significand, signExponent);
    }

    public static void PushRaw(VcpuContext* c, ulong significand, ushort signExponent)
    {
        if (!IsEmpty(c, -1))
        {
            Raise(c, StackUnderflow);
            c->State.X87Status |= X87Flags.C1;
            if ((c->State.X87Control & X87Flags.Invalid) == 0)
                return;
            (significand, signExponent) = Number.Indefinite.ToExtended();
        }
        Rotate(c, -1);
        SetRaw(c, 0, significand, signExponent);
    }

    /// <summary>Adds exceptions to the status word and brings its summary up to date.</summary>
    public static void Raise(VcpuContext* c, int exceptions) =>
        c->State.X87Status = X87Flags.WithSummary(c->State.X87Status | exceptions, c->State.X87Control);

    /// <summary>Raises the stack underflow. True: it is masked, and the instruction delivers the indefinite.</summary>
    public static bool Underflow(VcpuContext* c)
    {
        c->State.X87Status = (ushort)(c->State.X87Status & ~X87Flags.C1);
        Raise(c, StackUnderflow);
        return (c->State.X87Control & X87Flags.Invalid) != 0;
    }

    public static void ClearC1(VcpuContext* c) => c->State.X87Status = (ushort)(c->State.X87Status & ~X87Flags.C1);

    /// <summary>Sets C0 to C3 from their bits in the status word.</summary>
    public static void SetConditions(VcpuContext* c, int codes) =>
        c->State.X87Status = (ushort)((c->State.X87Status & ~X87Flags.ConditionCodes) | codes);

    /// <summary>
    /// Reports what an operation raised, with C1 telling of rounding up. True: deliver the result. An unmasked invalid,
    /// denormal or zero-divide exception leaves the operands as they were, an unmasked exception of the result does not
    /// (Intel SDM 1, 8.5).
    /// </summary>
    public static bool Report(VcpuContext* c, in FloatControl control)
    {
        int flags = control.Flags;
        int status = c->State.X87Status & ~X87Flags.C1;
        if (flags == 0)
        {
            c->State.X87Status = (ushort)status;
            return true;
        }
        const int before = X87Flags.Invalid | X87Flags.Denormal | X87Flags.ZeroDivide;
        bool deliver = (flags & before & ~control.Masks) == 0;
        if (!deliver)
            flags &= before | X87Flags.StackFault;
        else if (control.RoundedUp && (flags & X87Flags.Precision) != 0)
            status |= X87Flags.C1;
        c->State.X87Status = X87Flags.WithSummary(status | flags, c->State.X87Control);
        return deliver;
    }

    public static FloatControl Control(VcpuContext* c) => FloatControl.FromX87(c->State.X87Control);

    /// <summary>The precision that the control word asks for, in the extended range.</summary>
    public static FloatFormat Precision(VcpuContext* c) => FloatFormat.ByPrecisionControl[(c->State.X87Control >> 8) & 3];

    /// <summary>What FNINIT leaves (Intel SDM 1, 8.1.11).</summary>
    public static void Initialize(VcpuContext* c)
    {
        c->State.X87Control = 0x37f;
        c->State.X87Status = 0;
        c->State.X87Tag = 0;
        c->State.X87Opcode = 0;
        c->State.X87InstructionPointer = 0;
        c->State.X87DataPointer = 0;
    }
}
