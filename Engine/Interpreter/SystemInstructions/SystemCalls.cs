using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>SYSCALL and its kind, software interrupts, hypercalls.</summary>
internal static unsafe class SystemCalls
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Syscall, (in Instruction i, ref Op op) => Entering(ref op, new(&Syscall))) { EndsBlock = true },
        new(Mnemonic.Sysret, (in Instruction i, ref Op op) => SelectReturn(ref op, 4)) { EndsBlock = true },
        new(Mnemonic.Sysretq, (in Instruction i, ref Op op) => SelectReturn(ref op, 8)) { EndsBlock = true },
        new(Mnemonic.Sysenter, (in Instruction i, ref Op op) => Entering(ref op, new(&Sysenter))) { EndsBlock = true },
        new(Mnemonic.Sysexit, (in Instruction i, ref Op op) => new(&Sysexit)) { EndsBlock = true },
        new(Mnemonic.Int, (in Instruction i, ref Op op) => Entering(ref op, new(&Interrupt))) { EndsBlock = true },
        new(Mnemonic.Int3, (in Instruction i, ref Op op) => Entering(ref op, new(&Breakpoint))) { EndsBlock = true },
        new(Mnemonic.Into, (in Instruction i, ref Op op) => new(&Overflow)) { EndsBlock = true },
        new(Mnemonic.Int1, (in Instruction i, ref Op op) => Entering(ref op, new(&DebugTrap))) { EndsBlock = true },
        new(Mnemonic.Vmcall, (in Instruction i, ref Op op) => new(&Hypercall)) { EndsBlock = true },
        new(Mnemonic.Vmmcall, (in Instruction i, ref Op op) => new(&Hypercall)) { EndsBlock = true },
    ];

    private static Handler Entering(ref Op op, Handler handler)
    {
        op.Flags |= (byte)OpFlags.NoTrap;
        return handler;
    }

    private static Handler SelectReturn(ref Op op, uint size)
    {
        op.Extra = size;
        return Entering(ref op, new(&Sysret));
    }

    private static Op* Syscall(VcpuContext* c, Op* op)
    {
        Syscalls.Syscall(c, op->NextRip);
        return null;
    }

    private static Op* Sysret(VcpuContext* c, Op* op)
    {
        Syscalls.Sysret(c, (int)op->Extra);
        return null;
    }

    private static Op* Sysenter(VcpuContext* c, Op* op)
    {
        Syscalls.Sysenter(c);
        return null;
    }

    private static Op* Sysexit(VcpuContext* c, Op* op)
    {
        Syscalls.Sysexit(c);
        return null;
    }

    private static Op* Interrupt(VcpuContext* c, Op* op)
    {
        EventDelivery.Software(c, (byte)op->Immediate, EventKind.Software, op->NextRip);
        return null;
    }

    private static Op* Breakpoint(VcpuContext* c, Op* op)
    {
        EventDelivery.Software(c, (int)Vector.BP, EventKind.SoftwareException, op->NextRip);
        return null;
    }

    private static Op* Overflow(VcpuContext* c, Op* op)
    {
        if ((c->GetRflags() & Rflags.OF) == 0)
            return Plumbing.Leave(c, op);
        EventDelivery.Software(c, (int)Vector.OF, EventKind.SoftwareException, op->NextRip);
        return null;
    }

    private static Op* DebugTrap(VcpuContext* c, Op* op)
    {
        EventDelivery.Software(c, (int)Vector.DB, EventKind.PrivilegedSoftware, op->NextRip);
        return null;
    }

    /// <summary>VMCALL and VMMCALL carry the same calls; the machine checks the number and the privilege.</summary>
    private static Op* Hypercall(VcpuContext* c, Op* op)
    {
        c->State.Rip = op->NextRip;
        Vcpu vcpu = Vcpu.Of(c);
        vcpu.Services.Hypercall(vcpu);
        return null;
    }
}
