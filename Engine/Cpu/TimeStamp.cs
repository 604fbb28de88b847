namespace Godwit.Engine.Cpu;

/// <summary>The guest's time-stamp counter: the machine's, moved by what the guest wrote.</summary>
public static unsafe class TimeStamp
{
    public static ulong Now(VcpuContext* c) => Vcpu.Of(c).Clock.Tsc + c->State.TscAdjust;

    /// <summary>RDTSC and RDTSCP: #GP(0) where CR4.TSD keeps the counter to privilege level 0.</summary>
    public static bool Read(VcpuContext* c, out ulong value)
    {
        value = 0;
        if ((c->State.Cr4 & Cr4.TSD) != 0 && c->State.Cpl != 0)
            return c->Raise(Vector.GP, 0);
        value = Now(c);
        return true;
    }

    /// <summary>A write of IA32_TSC.</summary>
    public static void Set(VcpuContext* c, ulong value) => c->State.TscAdjust = value - Vcpu.Of(c).Clock.Tsc;
}
