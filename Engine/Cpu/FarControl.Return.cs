using System.Runtime.CompilerServices;

namespace Godwit.Engine.Cpu;

public static unsafe partial class FarControl
{
    /// <summary>RETF and RETF n; <paramref name="release"/> is n.</summary>
    public static bool Return(VcpuContext* c, int operandSize, int release)
    {
        ref CpuState state = ref c->State;
        if (!ReadStack(c, 0, operandSize, out ulong offset) || !ReadStack(c, operandSize, operandSize, out ulong selectorValue))
            return false;
        ushort selector = (ushort)selectorValue;
        if (!state.ProtectedMode)
        {
            if (!EnterReal(c, selector, offset))
                return false;
            SetStackPointer(c, state.Ss, false, state.Gpr[Gpr.RSP] + (uint)(2 * operandSize + release));
            return true;
        }
        if (!FetchReturnCode(c, selector, offset, out Descriptor code))
            return false;
        bool target64 = state.LongMode && code.Long;
        int level = selector & 3;
        if (level == state.Cpl)
        {
            if (!Descriptors.MarkAccessed(c, selector, code))
                return false;
            ulong pointer = state.Gpr[Gpr.RSP] + (uint)(2 * operandSize + release);
            SetStackPointer(c, state.Ss, state.Mode64, pointer);
            state.Cs = code.ToSegment(selector);
            state.Rip = offset;
            return true;
        }
        if (!ReadStack(c, 2 * operandSize + release, operandSize, out ulong outerPointer)
            || !ReadStack(c, 3 * operandSize + release, operandSize, out ulong outerSelector)
            || !FetchReturnStack(c, (ushort)outerSelector, level, target64, out Segment stack)
            || !Descriptors.MarkAccessed(c, selector, code))
            return false;
        state.Ss = stack;
        SetStackPointer(c, stack, target64, outerPointer + (uint)release);
        state.Cs = code.ToSegment(selector);
        state.Rip = offset;
        Segments.DropInner(c, level);
        return true;
    }

    /// <summary>IRET, IRETD, IRETQ. Unblocks NMIs when it succeeds.</summary>
    public static bool Iret(VcpuContext* c, int operandSize, ulong nextRip)
    {
        ref CpuState state = ref c->State;
        if (!state.ProtectedMode)
            return IretReal(c, operandSize);
        if ((state.Rflags & Rflags.NT) != 0)
            return state.LongMode ? c->Raise(Vector.GP, 0) : TaskSwitch.Return(c, nextRip);
        if (!ReadIretFrame(c, operandSize, out IretFrame frame))
            return false;
        ushort selector = (ushort)frame.Cs;
        int cpl = state.Cpl;
        // Virtual-8086 mode is not provided.
        if ((frame.Flags & Rflags.VM) != 0 && cpl == 0 && !state.LongMode)
            return c->Raise(Vector.GP, 0);
        if (!FetchReturnCode(c, selector, frame.Rip, out Descriptor code))
            return false;
        int level = selector & 3;
        bool target64 = state.LongMode && code.Long;
        Segment stack = state.Ss;
        bool popsStack = level != cpl || state.Mode64;
        if (popsStack)
        {
            if (!state.Mode64
                && (!ReadStack(c, 3 * operandSize, operandSize, out frame.Rsp) || !ReadStack(c, 4 * operandSize, operandSize, out frame.Ss)))
                return false;
            if (!FetchReturnStack(c, (ushort)frame.Ss, level, target64, out stack))
                return false;
        }
        if (!Descriptors.MarkAccessed(c, selector, code))
            return false;

        if (popsStack)
            SetStackPointer(c, stack, target64, frame.Rsp);
        else
            SetStackPointer(c, stack, false, state.Gpr[Gpr.RSP] + (uint)(3 * operandSize));
        ReturnFlags(c, frame.Flags, operandSize, cpl);
        state.Ss = stack;
        state.Cs = code.ToSegment(selector);
        state.Rip = frame.Rip;
        if (level != cpl)
            Segments.DropInner(c, level);
        state.NmiBlocked = false;
        return true;
    }

    private static bool IretReal(VcpuContext* c, int operandSize)
    {
        if (!ReadStack(c, 0, operandSize, out ulong offset)
            || !ReadStack(c, operandSize, operandSize, out ulong selector)
            || !ReadStack(c, 2 * operandSize, operandSize, out ulong flags)
            || !EnterReal(c, (ushort)selector, offset))
            return false;
        SetStackPointer(c, c->State.Ss, false, c->State.Gpr[Gpr.RSP] + (uint)(3 * operandSize));
        ReturnFlags(c, flags, operandSize, 0);
        c->State.NmiBlocked = false;
        return true;
    }

    /// <summary>Reads RIP, CS and RFLAGS, and in 64-bit mode RSP and SS with them in one access.</summary>
    [SkipLocalsInit]
    private static bool ReadIretFrame(VcpuContext* c, int operandSize, out IretFrame frame)
    {
        frame = default;
        if (operandSize == 8)
        {
            ulong rsp = c->State.Gpr[Gpr.RSP];
            if (!Paging.IsCanonical(rsp) || !Paging.IsCanonical(rsp + (ulong)sizeof(IretFrame) - 1))
                return c->Raise(Vector.SS, 0);
            return LinearMemory.Read(c, rsp, c->State.Cpl == 3, out frame);
        }
        if (!ReadStack(c, 0, operandSize, out frame.Rip)
            || !ReadStack(c, operandSize, operandSize, out frame.Cs)
            || !ReadStack(c, 2 * operandSize, operandSize, out frame.Flags))
            return false;
        return !c->State.Mode64
            || (ReadStack(c, 3 * operandSize, operandSize, out frame.Rsp) && ReadStack(c, 4 * operandSize, operandSize, out frame.Ss));
    }

    /// <summary>Checks the code segment of a return: its level is the selector's RPL, never an inner one.</summary>
    private static bool FetchReturnCode(VcpuContext* c, ushort selector, ulong offset, out Descriptor code)
    {
        if (!FetchTarget(c, selector, out code))
            return false;
        int level = selector & 3;
        bool allowed = level >= c->State.Cpl && (code.IsConforming ? code.Dpl <= level : code.Dpl == level);
        if (!code.IsCode || !allowed || (c->State.LongMode && code.Long && code.Big))
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
        if (!code.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector));
        return CheckOffset(c, code, offset);
    }

    /// <summary>Checks the stack segment of a return; null is a stack of 64-bit mode inside of level 3.</summary>
    private static bool FetchReturnStack(VcpuContext* c, ushort selector, int level, bool target64, out Segment stack)
    {
        stack = default;
        if (Descriptors.IsNull(selector))
        {
            if (!target64 || level == 3)
                return c->Raise(Vector.GP, 0);
            stack = Segments.NullStack(selector, level);
            return true;
        }
        if (!Segments.FetchStack(c, selector, level, Vector.GP, Vector.SS, 0, out Descriptor descriptor))
            return false;
        stack = descriptor.ToSegment(selector);
        return true;
    }

    /// <summary>The flags an IRET at a privilege level may change (SDM 2A, IRET).</summary>
    private static void ReturnFlags(VcpuContext* c, ulong flags, int operandSize, int cpl)
    {
        ulong old = c->GetRflags();
        ulong mask = Rflags.Arithmetic | Rflags.TF | Rflags.DF | Rflags.NT;
        if (operandSize != 2)
            mask |= Rflags.RF | Rflags.AC | Rflags.ID;
        if (cpl <= (int)((old >> 12) & 3) || !c->State.ProtectedMode)
            mask |= Rflags.IF;
        if (cpl == 0)
        {
            mask |= Rflags.IOPL;
            if (operandSize != 2)
                mask |= Rflags.VIF | Rflags.VIP;
        }
        c->SetRflags((old & ~mask) | (flags & mask));
    }

    private struct IretFrame
    {
        public ulong Rip, Cs, Flags, Rsp, Ss;
    }
}
