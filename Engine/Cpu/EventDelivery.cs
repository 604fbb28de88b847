namespace Godwit.Engine.Cpu;

/// <summary>What kind of event goes through the IDT.</summary>
public enum EventKind : byte
{
    /// <summary>A fault or trap of an instruction.</summary>
    Exception,

    /// <summary>An interrupt from the APIC or the 8259.</summary>
    Interrupt,

    Nmi,

    /// <summary>INT n.</summary>
    Software,

    /// <summary>INT3 or INTO.</summary>
    SoftwareException,

    /// <summary>INT1 (ICEBP): no gate privilege check.</summary>
    PrivilegedSoftware,
}

/// <summary>What became of an event.</summary>
public enum DeliveryOutcome
{
    /// <summary>There was nothing to deliver.</summary>
    None,

    /// <summary>The vCPU is at the first instruction of a handler (of this event, or of one met while delivering it).</summary>
    Delivered,

    /// <summary>Triple fault.</summary>
    Shutdown,
}

/// <summary>
/// Delivers exceptions and interrupts through the IDT in every mode, with the double-fault table of Intel SDM 3A, 6.15.
/// State.Rip is the return address: the faulting instruction for faults, the next one for traps and interrupts.
/// </summary>
public static unsafe class EventDelivery
{
    /// <summary>Records a debug exception; <paramref name="dr6"/> are the bits that DR6 gets on delivery (BS 1 &lt;&lt; 14, BD 1 &lt;&lt; 13, B0-B3).</summary>
    public static bool RaiseDebug(VcpuContext* c, ulong dr6)
    {
        c->Fault = new Fault { Vector = (byte)Vector.DB, Address = dr6 };
        return false;
    }

    /// <summary>Delivers the fault recorded in the context, or any other; the context's fault is none afterwards.</summary>
    public static DeliveryOutcome Deliver(VcpuContext* c, in Fault fault) => Run(c, fault, EventKind.Exception);

    /// <summary>Delivers an external interrupt or an NMI.</summary>
    public static DeliveryOutcome DeliverInterrupt(VcpuContext* c, int vector, EventKind kind = EventKind.Interrupt) =>
        Run(c, new Fault { Vector = (byte)vector }, kind);

    /// <summary>
    /// At an instruction boundary: delivers a waiting NMI or, with IF set, a waiting interrupt; not in the shadow of STI
    /// or MOV SS. Ends HLT when it delivers.
    /// </summary>
    public static DeliveryOutcome DeliverPending(VcpuContext* c)
    {
        ref CpuState state = ref c->State;
        Devices.IInterruptController interrupts = Vcpu.Of(c).Interrupts;
        state.NmiPending |= interrupts.TakeNmi();
        if (state.InterruptShadow)
            return DeliveryOutcome.None;
        if (state.NmiPending && !state.NmiBlocked)
        {
            state.NmiPending = false;
            state.NmiBlocked = true;
            return DeliverInterrupt(c, (int)Vector.NMI, EventKind.Nmi);
        }
        if ((state.Rflags & Rflags.IF) == 0 || !interrupts.HasInterrupt)
            return DeliveryOutcome.None;
        int vector = interrupts.Acknowledge();
        return vector < 0 ? DeliveryOutcome.None : DeliverInterrupt(c, vector);
    }

    /// <summary>
    /// INT n, INT3, INTO and INT1: enters the handler with <paramref name="nextRip"/> as return address. False: the
    /// instruction faulted, state is unchanged.
    /// </summary>
    public static bool Software(VcpuContext* c, int vector, EventKind kind, ulong nextRip)
    {
        if (kind == EventKind.PrivilegedSoftware)
        {
            c->State.Dr7 &= ~DebugRegisters.GeneralDetect;
        }
        return EventEntry.Enter(c, new Fault { Vector = (byte)vector }, kind, nextRip);
    }

    private static DeliveryOutcome Run(VcpuContext* c, Fault current, EventKind kind)
    {
        c->State.Halted = false;
        c->State.InterruptShadow = false;
        while (true)
        {
            c->Fault = new Fault { Vector = Fault.None };
            if (kind == EventKind.Exception)
                SetSideRegisters(c, current);
            if (EventEntry.Enter(c, current, kind, c->State.Rip))
                return DeliveryOutcome.Delivered;
            Fault second = c->Fault;
            if (kind == EventKind.Exception && !Combine(c, current.Vector, ref second))
            {
                c->Fault = new Fault { Vector = Fault.None };
                return DeliveryOutcome.Shutdown;
            }
            current = second;
            kind = EventKind.Exception;
        }
    }

    /// <summary>CR2 of a page fault, DR6 and DR7 of a debug exception (SDM 3B, 17.2).</summary>
    private static void SetSideRegisters(VcpuContext* c, in Fault fault)
    {
        if (fault.Vector == (byte)Vector.PF)
            c->State.Cr2 = fault.Address;
        else if (fault.Vector == (byte)Vector.DB)
        {
            c->State.Dr6 |= fault.Address;
            c->State.Dr7 &= ~DebugRegisters.GeneralDetect;
        }
    }

    /// <summary>A second exception while the first is delivered: it is handled instead, becomes a double fault, or ends the machine (false).</summary>
    private static bool Combine(VcpuContext* c, byte first, ref Fault second)
    {
        bool pageFault = second.Vector == (byte)Vector.PF;
        if (first == (byte)Vector.DF)
            return false;
        bool twice = IsContributory(first) && IsContributory(second.Vector)
            || first == (byte)Vector.PF && (pageFault || IsContributory(second.Vector));
        if (!twice)
            return true;
        if (pageFault)
            c->State.Cr2 = second.Address;
        second = new Fault { Vector = (byte)Vector.DF, HasErrorCode = true };
        return true;
    }

    private static bool IsContributory(byte vector) => vector == (byte)Vector.DE || vector is >= (byte)Vector.TS and <= (byte)Vector.GP;
}
