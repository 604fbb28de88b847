using Godwit.Engine.Paravirt.GuestCode;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>
/// The built-in guest's interrupts: the local APIC's timer every millisecond, the migration vector, and exceptions, which
/// end it. Handlers only count; the loop does the work.
/// </summary>
internal sealed class KernelInterrupts(Assembler c, VariableArea data)
{
    public const int TimerVector = 0x40;
    public const int MigrationVector = 0x41;
    private const int SpuriousVector = 0xff;
    private const int Exceptions = 32;

    /// <summary>Exceptions that push an error code (Intel SDM volume 3, table 6-1).</summary>
    private const uint HasErrorCode = 1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21 | 1u << 29 | 1u << 30;

    // Local APIC registers (Intel SDM volume 3, table 11-1).
    private const ulong Apic = 0xfee0_0000;
    private const uint TaskPriority = 0x80, EndOfInterrupt = 0xb0, Spurious = 0xf0, TimerEntry = 0x320, InitialCount = 0x380, CurrentCount = 0x390, Divide = 0x3e0;
    private const int ApicEnabled = 1 << 8, Masked = 1 << 16, Periodic = 1 << 17, DivideByOne = 0xb;
    private const uint ApicBaseMsr = 0x1b;
    private const int ApicFeature = 9;
    private const uint ApicBaseEnable = 1 << 11;
    private const int CalibrationNanoseconds = 2_000_000;

    private readonly Label[] _exceptions = new Label[Exceptions];
    private readonly Variable _vector = data.Quadword(), _error = data.Quadword(), _rip = data.Quadword(), _cr2 = data.Quadword();
    private Label _timer = c.CreateLabel(), _migration = c.CreateLabel(), _spurious = c.CreateLabel();

    /// <summary>1 where the timer ticks.</summary>
    public Variable HasTimer { get; } = data.Quadword();

    /// <summary>Migration interrupts so far.</summary>
    public Variable MigrationCount { get; } = data.Quadword();

    /// <summary>Emits the start of the APIC and its timer, measured against the clock; interrupts are on afterwards.</summary>
    /// <param name="periodMilliseconds">Between two ticks of the timer; 1 to 1000.</param>
    public void EmitEnable(Label readClock, int periodMilliseconds)
    {
        Label absent = c.CreateLabel(), wait = c.CreateLabel();
        c.mov(eax, 1);
        c.xor(ecx, ecx);
        c.cpuid();
        c.bt(edx, ApicFeature);
        c.jnc(absent);
        c.mov(ecx, ApicBaseMsr);
        c.rdmsr();
        c.or(eax, ApicBaseEnable);
        c.wrmsr();
        c.mov(r13, Apic);
        c.mov(__dword_ptr[r13 + TaskPriority], 0);
        c.mov(__dword_ptr[r13 + Spurious], ApicEnabled | SpuriousVector);
        c.mov(__dword_ptr[r13 + TimerEntry], Masked | TimerVector);
        c.mov(__dword_ptr[r13 + Divide], DivideByOne);
        c.mov(__dword_ptr[r13 + InitialCount], -1);
        c.call(readClock);
        c.mov(r14, rax);
        c.Label(ref wait);
        c.call(readClock);
        c.sub(rax, r14);
        c.cmp(rax, CalibrationNanoseconds);
        c.jb(wait);
        // Counts passed in RAX nanoseconds, to counts a period.
        c.mov(rcx, rax);
        c.mov(eax, __dword_ptr[r13 + CurrentCount]);
        c.not(eax);
        c.test(eax, eax);
        c.je(absent);
        c.mov(edx, periodMilliseconds * 1_000_000);
        c.mul(rdx);
        c.div(rcx);
        c.inc(rax);
        c.mov(__dword_ptr[r13 + TimerEntry], Periodic | TimerVector);
        c.mov(__dword_ptr[r13 + InitialCount], eax);
        c.mov(HasTimer, 1);
        c.Label(ref absent);
        c.sti();
    }

    /// <summary>Emits the handlers; <paramref name="emitFatal"/> emits what an exception ends in.</summary>
    public void EmitHandlers(Action<Variable, Variable, Variable, Variable> emitFatal)
    {
        Label fatal = c.CreateLabel();
        for (int vector = 0; vector < Exceptions; vector++)
        {
            Label stub = c.CreateLabel();
            c.Label(ref stub);
            if ((HasErrorCode >> vector & 1) == 0)
                c.push(0);
            c.push(vector);
            c.jmp(fatal);
            _exceptions[vector] = stub;
        }
        c.Label(ref fatal);
        c.pop(_vector);
        c.pop(_error);
        c.pop(_rip);
        c.mov(rax, cr2);
        c.mov(_cr2, rax);
        emitFatal(_vector, _error, _rip, _cr2);

        c.Label(ref _migration);
        c.inc(MigrationCount);
        c.Label(ref _timer);
        c.push(rax);
        c.mov(rax, Apic);
        c.mov(__dword_ptr[rax + EndOfInterrupt], 0);
        c.pop(rax);
        c.Label(ref _spurious); // needs no end of interrupt
        c.iretq();
    }

    /// <summary>Writes the interrupt table for the handlers' addresses.</summary>
    public void WriteGates(Span<byte> idt, AssemblerResult result)
    {
        for (int vector = 0; vector < Exceptions; vector++)
            BuiltinGuestTables.WriteGate(idt, vector, result.GetLabelRIP(_exceptions[vector]), interruptStack: 1);
        BuiltinGuestTables.WriteGate(idt, TimerVector, result.GetLabelRIP(_timer), interruptStack: 0);
        BuiltinGuestTables.WriteGate(idt, MigrationVector, result.GetLabelRIP(_migration), interruptStack: 0);
        BuiltinGuestTables.WriteGate(idt, SpuriousVector, result.GetLabelRIP(_spurious), interruptStack: 0);
    }
}
