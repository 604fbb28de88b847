namespace Godwit.Engine.Cpu;

/// <summary>
/// SYSCALL, SYSRET, SYSENTER and SYSEXIT as AMD processors have them (AMD APM 3): SYSCALL also works outside of 64-bit
/// mode, SYSENTER is invalid in IA-32e mode. False: a fault is recorded and nothing has changed.
/// </summary>
public static unsafe class Syscalls
{
    public static bool Syscall(VcpuContext* c, ulong nextRip)
    {
        ref CpuState state = ref c->State;
        if ((state.Efer & Efer.SCE) == 0 || !state.ProtectedMode)
            return c->Raise(Vector.UD);
        ushort selector = (ushort)((state.Star >> 32) & 0xfffc);
        if (state.LongMode)
        {
            bool from64 = state.Mode64;
            ulong flags = c->GetRflags();
            state.Gpr[Gpr.RCX] = nextRip;
            state.Gpr[11] = flags & ~Rflags.RF;
            c->SetRflags(flags & ~(state.Fmask | Rflags.RF));
            state.Rip = from64 ? state.Lstar : state.Cstar;
            state.Cs = Segments.Flat(selector, Segment.Code | Segment.L);
        }
        else
        {
            state.Gpr[Gpr.RCX] = (uint)nextRip;
            state.Rflags &= ~(Rflags.IF | Rflags.RF | Rflags.VM);
            state.Rip = (uint)state.Star;
            state.Cs = Segments.Flat(selector, Segment.Code | Segment.DB);
        }
        state.Ss = Segments.Flat((ushort)(selector + 8), Segment.DB);
        return true;
    }

    /// <param name="operandSize">8 returns to 64-bit code, 4 to 32-bit code.</param>
    public static bool Sysret(VcpuContext* c, int operandSize)
    {
        ref CpuState state = ref c->State;
        if ((state.Efer & Efer.SCE) == 0)
            return c->Raise(Vector.UD);
        if (!state.ProtectedMode || state.Cpl != 0)
            return c->Raise(Vector.GP, 0);
        ushort selector = (ushort)(state.Star >> 48 | 3);
        ulong target = state.Gpr[Gpr.RCX];
        ushort code = Segment.Code | 3 << 5;
        if (operandSize == 8)
        {
            // Checked here, at privilege level 0, as Intel processors do; a guest kernel has to avoid it on either.
            if (!Paging.IsCanonical(target))
                return c->Raise(Vector.GP, 0);
            state.Cs = Segments.Flat((ushort)(selector + 16), (ushort)(code | Segment.L));
        }
        else
        {
            target = (uint)target;
            state.Cs = Segments.Flat(selector, (ushort)(code | Segment.DB));
        }
        if (state.LongMode)
            c->SetRflags(state.Gpr[11] & ~(Rflags.RF | Rflags.VM));
        else
            state.Rflags |= Rflags.IF;
        state.Ss = Segments.Flat((ushort)(selector + 8), Segment.DB | 3 << 5);
        state.Rip = target;
        return true;
    }

    public static bool Sysenter(VcpuContext* c)
    {
        ref CpuState state = ref c->State;
        if (state.LongMode)
            return c->Raise(Vector.UD);
        ushort selector = (ushort)(state.SysenterCs & 0xfffc);
        if (!state.ProtectedMode || selector == 0)
            return c->Raise(Vector.GP, 0);
        state.Rflags &= ~(Rflags.IF | Rflags.RF | Rflags.VM);
        state.Cs = Segments.Flat(selector, Segment.Code | Segment.DB);
        state.Ss = Segments.Flat((ushort)(selector + 8), Segment.DB);
        state.Gpr[Gpr.RSP] = (uint)state.SysenterEsp;
        state.Rip = (uint)state.SysenterEip;
        return true;
    }

    public static bool Sysexit(VcpuContext* c)
    {
        ref CpuState state = ref c->State;
        if (state.LongMode)
            return c->Raise(Vector.UD);
        ushort selector = (ushort)(state.SysenterCs & 0xfffc);
        if (!state.ProtectedMode || selector == 0 || state.Cpl != 0)
            return c->Raise(Vector.GP, 0);
        state.Cs = Segments.Flat((ushort)(selector + 16 | 3), Segment.Code | Segment.DB | 3 << 5);
        state.Ss = Segments.Flat((ushort)(selector + 24 | 3), Segment.DB | 3 << 5);
        state.Rip = (uint)state.Gpr[Gpr.RDX];
        state.Gpr[Gpr.RSP] = (uint)state.Gpr[Gpr.RCX];
        return true;
    }
}
