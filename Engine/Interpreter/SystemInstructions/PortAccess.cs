using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>IN and OUT. A device may ask for an exit or write registers (the hypercall port): the dispatcher looks afterwards.</summary>
internal static unsafe class PortAccess
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.In, SelectIn) { EndsBlock = true },
        new(Mnemonic.Out, SelectOut) { EndsBlock = true },
    ];

    /// <summary>Whether the current privilege may use a port; otherwise #GP(0), or a page fault at the permission map.</summary>
    public static bool Allowed(VcpuContext* c, ushort port, int size)
    {
        ref CpuState state = ref c->State;
        return state.Cpl <= (int)((state.Rflags >> 12) & 3) || TaskState.PortAllowed(c, port, size);
    }

    private static Handler SelectIn(in Instruction instruction, ref Op op)
    {
        op.Extra = Size(instruction.Op0Register);
        return instruction.Op1Kind == OpKind.Register ? new(&InDx) : new(&InImmediate);
    }

    private static Handler SelectOut(in Instruction instruction, ref Op op)
    {
        op.Extra = Size(instruction.Op1Register);
        return instruction.Op0Kind == OpKind.Register ? new(&OutDx) : new(&OutImmediate);
    }

    private static uint Size(Register register) => register switch
    {
        Register.AL => 1,
        Register.AX => 2,
        _ => 4,
    };

    private static Op* InDx(VcpuContext* c, Op* op) => In(c, op, (ushort)c->State.Gpr[Gpr.RDX]);

    private static Op* InImmediate(VcpuContext* c, Op* op) => In(c, op, (byte)op->Immediate);

    private static Op* OutDx(VcpuContext* c, Op* op) => Out(c, op, (ushort)c->State.Gpr[Gpr.RDX]);

    private static Op* OutImmediate(VcpuContext* c, Op* op) => Out(c, op, (byte)op->Immediate);

    private static Op* In(VcpuContext* c, Op* op, ushort port)
    {
        int size = (int)op->Extra;
        if (!Allowed(c, port, size))
            return null;
        c->State.Rip = op->NextRip;
        uint value = Vcpu.Of(c).Bus.ReadPort(port, size);
        ref ulong rax = ref c->State.Gpr[Gpr.RAX];
        rax = size switch
        {
            1 => (rax & ~0xfful) | (byte)value,
            2 => (rax & ~0xfffful) | (ushort)value,
            _ => value,
        };
        return null;
    }

    private static Op* Out(VcpuContext* c, Op* op, ushort port)
    {
        int size = (int)op->Extra;
        if (!Allowed(c, port, size))
            return null;
        c->State.Rip = op->NextRip;
        uint value = (uint)c->State.Gpr[Gpr.RAX];
        Vcpu.Of(c).Bus.WritePort(port, size, size switch
        {
            1 => (byte)value,
            2 => (ushort)value,
            _ => value,
        });
        return null;
    }
}
