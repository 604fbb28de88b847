using Godwit.Engine.Paravirt.GuestCode;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>The built-in guest's clock: kvmclock where it is offered, else the TSC at the frequency it was told.</summary>
internal sealed class KernelClock(Assembler c, VariableArea data, TscScale tsc)
{
    private const int KvmClockFeature = 3;

    // Offsets in pvclock_vcpu_time_info.
    private const ulong TscTimestamp = 8, SystemTime = 16, Multiplier = 24, Shift = 28, Flags = 29;

    private readonly ulong _page = data.Reserve(PvclockPage.TimeBytes, 64);
    private readonly Variable _kvmClock = data.Quadword();

    /// <summary>How often the host has said that the guest was stopped.</summary>
    public Variable StoppedCount { get; } = data.Quadword();

    /// <summary>Emits the switching on of kvmclock, on a machine that has KVM's leaves. Changes RAX to RDX.</summary>
    public void EmitEnableWhereThere()
    {
        Label absent = c.CreateLabel();
        c.mov(eax, ParavirtCpuid.KvmFeaturesLeaf);
        c.xor(ecx, ecx);
        c.cpuid();
        c.bt(eax, KvmClockFeature);
        c.jnc(absent);
        c.mov(ecx, KvmMsrs.SystemTime);
        c.mov(eax, (uint)_page | 1);
        c.xor(edx, edx);
        c.wrmsr();
        c.mov(_kvmClock, 1);
        c.Label(ref absent);
        c.nop();
    }

    /// <summary>Emits the routine that returns nanoseconds in RAX; changes RCX RDX R8.</summary>
    public Label EmitRead(Label routine)
    {
        Label bare = c.CreateLabel(), again = c.CreateLabel(), right = c.CreateLabel(), scaled = c.CreateLabel(), running = c.CreateLabel();
        c.Label(ref routine);
        c.cmp(_kvmClock, 0);
        c.je(bare);

        c.Label(ref again);
        c.mov(r8d, __dword_ptr[_page]);
        c.test(r8d, 1);
        c.jne(again);
        EmitReadTsc();
        c.sub(rax, __qword_ptr[_page + TscTimestamp]);
        c.movsx(ecx, __byte_ptr[_page + Shift]);
        c.test(ecx, ecx);
        c.js(right);
        c.shl(rax, cl);
        c.jmp(scaled);
        c.Label(ref right);
        c.neg(ecx);
        c.shr(rax, cl);
        c.Label(ref scaled);
        c.mov(edx, __dword_ptr[_page + Multiplier]);
        c.mul(rdx);
        c.shrd(rax, rdx, 32);
        c.add(rax, __qword_ptr[_page + SystemTime]);
        c.cmp(r8d, __dword_ptr[_page]);
        c.jne(again);
        c.test(__byte_ptr[_page + Flags], PvclockPage.StoppedFlag);
        c.je(running);
        c.and(__byte_ptr[_page + Flags], unchecked((sbyte)~PvclockPage.StoppedFlag));
        c.inc(StoppedCount);
        c.Label(ref running);
        c.ret();

        c.Label(ref bare);
        EmitReadTsc();
        if (tsc.Shift >= 0)
            c.shl(rax, (byte)tsc.Shift);
        else
            c.shr(rax, (byte)-tsc.Shift);
        c.mov(edx, tsc.Multiplier);
        c.mul(rdx);
        c.shrd(rax, rdx, 32);
        c.ret();
        return routine;
    }

    private void EmitReadTsc()
    {
        c.rdtsc();
        c.shl(rdx, 32);
        c.or(rax, rdx);
    }
}
