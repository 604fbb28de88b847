using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>CPUID, MSRs, time-stamp counter, random numbers.</summary>
internal static unsafe class Identification
{
    // What looks at the time ends its block, so that the count of instructions is exact there.
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Cpuid, (in Instruction i, ref Op op) => new(&Cpuid)),
        new(Mnemonic.Rdmsr, (in Instruction i, ref Op op) => new(&ReadMsr)) { EndsBlock = true },
        new(Mnemonic.Wrmsr, (in Instruction i, ref Op op) => new(&WriteMsr)) { EndsBlock = true },
        new(Mnemonic.Rdtsc, (in Instruction i, ref Op op) => new(&ReadTimeStamp)) { EndsBlock = true },
        new(Mnemonic.Rdtscp, (in Instruction i, ref Op op) => new(&ReadTimeStampAndId)) { EndsBlock = true },
        new(Mnemonic.Rdpmc, (in Instruction i, ref Op op) => new(&ReadCounter)),
        new(Mnemonic.Rdpid, (in Instruction i, ref Op op) => new(&ReadId)),
        new(Mnemonic.Rdrand, SelectRandom),
        new(Mnemonic.Rdseed, SelectRandom),
    ];

    private static Op* Cpuid(VcpuContext* c, Op* op)
    {
        ref CpuState state = ref c->State;
        uint leaf = (uint)state.Gpr[Gpr.RAX];
        uint subleaf = (uint)state.Gpr[Gpr.RCX];
        CpuidResult result = Vcpu.Of(c).Services.Cpuid(leaf, subleaf);
        CpuidModel.Complete(c, leaf, subleaf, ref result);
        state.Gpr[Gpr.RAX] = result.Eax;
        state.Gpr[Gpr.RBX] = result.Ebx;
        state.Gpr[Gpr.RCX] = result.Ecx;
        state.Gpr[Gpr.RDX] = result.Edx;
        return op + 1;
    }

    private static void SetPair(VcpuContext* c, ulong value)
    {
        c->State.Gpr[Gpr.RAX] = (uint)value;
        c->State.Gpr[Gpr.RDX] = value >> 32;
    }

    private static Op* ReadMsr(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c) || !Msrs.Read(c, (uint)c->State.Gpr[Gpr.RCX], out ulong value))
            return null;
        SetPair(c, value);
        return Plumbing.Leave(c, op);
    }

    private static Op* WriteMsr(VcpuContext* c, Op* op)
    {
        ref CpuState state = ref c->State;
        ulong value = state.Gpr[Gpr.RDX] << 32 | (uint)state.Gpr[Gpr.RAX];
        return Plumbing.Privileged(c) && Msrs.Write(c, (uint)state.Gpr[Gpr.RCX], value) ? Plumbing.Leave(c, op) : null;
    }

    private static Op* ReadTimeStamp(VcpuContext* c, Op* op)
    {
        if (!TimeStamp.Read(c, out ulong value))
            return null;
        SetPair(c, value);
        return op + 1;
    }

    private static Op* ReadTimeStampAndId(VcpuContext* c, Op* op)
    {
        if (!TimeStamp.Read(c, out ulong value))
            return null;
        SetPair(c, value);
        c->State.Gpr[Gpr.RCX] = (uint)c->State.TscAux;
        return op + 1;
    }

    /// <summary>There are no performance counters: every index is #GP(0).</summary>
    private static Op* ReadCounter(VcpuContext* c, Op* op)
    {
        c->Raise(Vector.GP, 0);
        return null;
    }

    private static Op* ReadId(VcpuContext* c, Op* op)
    {
        Plumbing.Register(c, op->Dst) = (uint)c->State.TscAux;
        return op + 1;
    }

    private static Handler SelectRandom(in Instruction instruction, ref Op op)
    {
        op.Third = (ushort)instruction.Op0Register.GetSize();
        return new(&Random);
    }

    /// <summary>Always succeeds: CF set, the other status flags clear.</summary>
    private static Op* Random(VcpuContext* c, Op* op)
    {
        Plumbing.SetRegister(c, op->Dst, op->Third, Vcpu.Of(c).Services.Random());
        c->SetArithmetic(Rflags.CF);
        return op + 1;
    }
}
