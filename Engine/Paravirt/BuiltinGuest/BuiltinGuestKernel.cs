using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Paravirt.GuestCode;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>
/// The built-in guest's kernel: the self-checking program on a bare machine. Start-up, output, the wait and the migration
/// handshake; interrupts and the clock are in <see cref="KernelInterrupts"/> and <see cref="KernelClock"/>.
/// </summary>
internal sealed class BuiltinGuestKernel : SelfCheckingProgram
{
    /// <summary>The name that its lines begin with.</summary>
    public const string Name = "godwit-guest";

    private const ushort DebugExitPort = 0xf4;
    private const ushort UartData = 0x3f8, UartLineControl = 0x3fb, UartLineStatus = 0x3fd;
    private const byte UartTransmitEmpty = 1 << 5, Uart8N1 = 3;
    private const byte Pic1Mask = 0x21, Pic2Mask = 0xa1;
    private const int UartPatience = 100_000;

    /// <summary>Codes of the guest's Log calls (docs/builtin-guest.md).</summary>
    private const int LogTick = 1, LogFreed = 2, LogReady = 3, LogMoved = 4;

    private readonly BuiltinGuestParameters _parameters;
    private readonly BuiltinGuestLayout _layout;
    private readonly KernelClock _clock;
    private readonly KernelInterrupts _interrupts;
    private readonly Variable _hypercalls, _eventSeen, _interruptsSeen, _freeList, _freeCount, _moved, _readyTime;

    public BuiltinGuestKernel(BuiltinGuestParameters parameters, BuiltinGuestLayout layout, TscScale tsc)
        : this(parameters, layout, tsc, new VariableArea(BuiltinGuestLayout.Data, BuiltinGuestLayout.DataBytes))
    {
    }

    private BuiltinGuestKernel(BuiltinGuestParameters parameters, BuiltinGuestLayout layout, TscScale tsc, VariableArea data)
        : base(Name, data)
    {
        _parameters = parameters;
        _layout = layout;
        _clock = new KernelClock(C, data, tsc);
        _interrupts = new KernelInterrupts(C, data);
        (_hypercalls, _eventSeen, _interruptsSeen) = (data.Quadword(), data.Quadword(), data.Quadword());
        (_freeList, _freeCount) = (data.Quadword(), data.Quadword()); // one entry of FreePages' list
        (_moved, _readyTime) = (data.Quadword(), data.Quadword());
    }

    /// <summary>Writes the code and the interrupt table.</summary>
    public void WriteTo(Span<byte> code, Span<byte> idt)
    {
        EmitStart();
        EmitParameters();
        EmitDetect();
        _interrupts.EmitEnable(ReadClock, _parameters.PeriodMilliseconds);
        EmitFillFreePages();
        EmitSubscribe();
        EmitProgram();
        EmitRoutines();

        using MemoryStream bytes = new();
        AssemblerResult result = Assemble(BuiltinGuestLayout.Load, bytes);
        if (bytes.Length > code.Length)
            throw new InvalidOperationException($"the built-in guest's code has {bytes.Length} bytes but room for {code.Length}");
        bytes.GetBuffer().AsSpan(0, (int)bytes.Length).CopyTo(code);
        _interrupts.WriteGates(idt, result);
    }

    protected override void EmitPlatformRoutines()
    {
        ReadClock = _clock.EmitRead(ReadClock);
        WriteLine = EmitWriteLine(WriteLine);
        _interrupts.EmitHandlers(EmitFatal);
    }

    protected override void EmitMoreFields() => Lines.Field("stopped", _clock.StoppedCount);

    protected override void EmitAfterReport() => EmitLog(LogTick, Tick);

    /// <summary>Halts until the next interrupt; STI lets none in before the HLT.</summary>
    protected override void EmitIdle()
    {
        Label awake = C.CreateLabel();
        C.cmp(_interrupts.HasTimer, 0);
        C.je(awake); // with nothing to wake it, it must go on looking at the clock
        C.cli();
        C.mov(rax, _interrupts.MigrationCount);
        C.cmp(rax, _interruptsSeen);
        C.jne(awake);
        C.sti();
        C.hlt();
        C.Label(ref awake);
        C.sti();
    }

    protected override void EmitExit()
    {
        Label halt = C.CreateLabel();
        C.mov(edx, DebugExitPort);
        C.@out(dx, eax);
        C.Label(ref halt);
        C.cli();
        C.hlt();
        C.jmp(halt);
    }

    /// <summary>Does what a migration asks for, once its interrupt has come: free pages at the announcement, Ready before the stop.</summary>
    protected override void EmitPoll()
    {
        Label nothing = C.CreateLabel(), stop = C.CreateLabel();
        C.mov(rax, _interrupts.MigrationCount);
        C.cmp(rax, _interruptsSeen);
        C.je(nothing);
        C.mov(_interruptsSeen, rax);
        C.mov(eax, __dword_ptr[BuiltinGuestLayout.SharedPage + SubscriptionPage.Event]);
        C.cmp(rax, _eventSeen);
        C.je(nothing);
        C.mov(_eventSeen, rax);
        C.cmp(eax, (int)MigrationEvent.StopSoon);
        C.je(stop);
        C.cmp(eax, (int)MigrationEvent.Announced);
        C.jne(nothing);
        EmitFreePages(nothing);
        C.jmp(nothing);
        C.Label(ref stop);
        EmitReady();
        C.Label(ref nothing);
        C.nop();
    }

    private void EmitFreePages(Label none)
    {
        C.cmp(_freeCount, 0);
        C.je(none);
        C.mov(ebx, (uint)_freeList.Address);
        C.mov(ecx, 1);
        EmitHypercall(HypercallNumber.FreePages);
        EmitLog(LogFreed, _freeCount);
    }

    /// <summary>The dirtier is this same thread: while it is in Ready, nothing of the guest is written.</summary>
    private void EmitReady()
    {
        EmitLog(LogReady, Tick);
        C.call(ReadClock);
        C.mov(r15, rax);
        C.xor(ebx, ebx);
        EmitHypercall(HypercallNumber.Ready);
        C.mov(_moved, rax);
        C.call(ReadClock);
        C.sub(rax, r15);
        C.mov(_readyTime, rax);
        EmitBeginLine("");
        Lines.Field("moved", _moved);
        Lines.Field("ready_ns", _readyTime);
        EmitEndLine();
        EmitLog(LogMoved, _moved);
    }

    private void EmitStart()
    {
        C.mov(esp, (uint)BuiltinGuestLayout.Stack);
        C.lgdt(__[BuiltinGuestLayout.Descriptors + BuiltinGuestTables.GdtPointerOffset]);
        C.lidt(__[BuiltinGuestLayout.Descriptors + BuiltinGuestTables.IdtPointerOffset]);
        Label reloaded = C.CreateLabel();
        C.mov(eax, BuiltinGuestTables.DataSelector);
        foreach (AssemblerRegisterSegment segment in new[] { ds, es, ss })
            C.mov(segment, ax);
        C.push(BuiltinGuestTables.CodeSelector);
        C.lea(rax, __[reloaded]);
        C.push(rax);
        C.AddInstruction(Instruction.Create(Code.Retfq));
        C.Label(ref reloaded);
        C.mov(eax, BuiltinGuestTables.TaskSelector);
        C.ltr(ax);
        C.cld();
        C.mov(al, 0xff);
        C.@out(Pic1Mask, al);
        C.@out(Pic2Mask, al);
    }

    private void EmitParameters()
    {
        (Variable Variable, ulong Value)[] values =
        [
            (Pages, (ulong)_layout.WorkingSetPages),
            (DirtyRate, (ulong)_parameters.DirtyPagesPerSecond),
            (VerifyRate, (ulong)_parameters.VerifiedPagesPerSecond),
            (ReportInterval, (ulong)_parameters.IntervalMilliseconds * 1_000_000),
            (CorruptTick, (ulong)_parameters.CorruptTick),
            (LastTick, (ulong)_parameters.Ticks),
            (Memory, _layout.WorkingSet),
            (Generations, _layout.Generations),
            (_freeList, _layout.FreeStart >> PageNumber.Shift),
            (_freeCount, (ulong)_layout.FreePages),
        ];
        foreach ((Variable variable, ulong value) in values)
        {
            C.mov(rax, value);
            C.mov(variable, rax);
        }
    }

    /// <summary>Finds out what it runs on; without Godwit's leaves it uses the serial port, without kvmclock the TSC.</summary>
    private void EmitDetect()
    {
        Label bare = C.CreateLabel(), notKvm = C.CreateLabel(), notGodwit = C.CreateLabel();
        C.mov(dx, UartLineControl);
        C.mov(al, Uart8N1);
        C.@out(dx, al);
        C.mov(eax, 1);
        C.xor(ecx, ecx);
        C.cpuid();
        C.bt(ecx, 31);
        C.jnc(bare);
        EmitCompareSignature(ParavirtCpuid.KvmSignatureLeaf, notKvm);
        _clock.EmitEnableWhereThere();
        C.Label(ref notKvm);
        EmitCompareSignature(GodwitInterface.SignatureLeaf, notGodwit);
        C.mov(eax, GodwitInterface.FeaturesLeaf);
        C.cpuid();
        C.cmp(ebx, GodwitInterface.DoorbellPort);
        C.jne(notGodwit);
        C.mov(ecx, ecx);
        C.mov(_hypercalls, rcx);
        C.Label(ref notGodwit);
        C.nop();
        C.Label(ref bare);
        C.nop();
    }

    private void EmitCompareSignature(uint leaf, Label different)
    {
        CpuidLeaf wanted = ParavirtCpuid.Leaf(leaf, 0)!.Value;
        C.mov(eax, leaf);
        C.xor(ecx, ecx);
        C.cpuid();
        C.cmp(ebx, wanted.Ebx);
        C.jne(different);
        C.cmp(ecx, wanted.Ecx);
        C.jne(different);
        C.cmp(edx, wanted.Edx);
        C.jne(different);
    }

    /// <summary>Fills the free list with bytes that neither compress nor repeat, so that leaving it out saves what it would in earnest.</summary>
    private void EmitFillFreePages()
    {
        Label words = C.CreateLabel(), none = C.CreateLabel();
        const int unroll = 8;
        C.mov(rdi, _layout.FreeStart);
        C.mov(rsi, _layout.RamBytes);
        C.mov(rax, 0x853c_49e6_748f_ea9b); // any seed
        C.mov(rbx, 0x5851_f42d_4c95_7f2d); // Knuth's MMIX multiplier; the rotation mends the low bits
        C.mov(rcx, 0x1405_7b7e_f767_814f);
        C.cmp(rdi, rsi);
        C.jae(none);
        C.Label(ref words);
        for (int i = 0; i < unroll; i++)
        {
            C.imul(rax, rbx);
            C.add(rax, rcx);
            C.rol(rax, 29);
            C.mov(__[rdi + i * 8], rax);
        }
        C.add(rdi, unroll * 8);
        C.cmp(rdi, rsi);
        C.jb(words);
        C.Label(ref none);
        C.nop();
    }

    private void EmitSubscribe()
    {
        if (!_parameters.Cooperate)
            return;
        C.mov(ebx, (uint)BuiltinGuestLayout.SharedPage);
        C.mov(ecx, KernelInterrupts.MigrationVector);
        EmitHypercall(HypercallNumber.Subscribe);
    }

    /// <summary>Emits a hypercall with its arguments in RBX and RCX; without Godwit it does nothing and RAX is its number. Changes RDX.</summary>
    private void EmitHypercall(HypercallNumber number)
    {
        Label absent = C.CreateLabel();
        C.mov(eax, (uint)number);
        C.bt(_hypercalls, (byte)number);
        C.jnc(absent);
        C.mov(edx, GodwitInterface.DoorbellPort);
        C.@out(dx, eax);
        C.Label(ref absent);
        C.nop();
    }

    private void EmitLog(int code, Variable value)
    {
        C.mov(ebx, code);
        C.mov(rcx, value);
        EmitHypercall(HypercallNumber.Log);
    }

    private Label EmitWriteLine(Label routine)
    {
        Label serial = C.CreateLabel(), next = C.CreateLabel(), wait = C.CreateLabel(), send = C.CreateLabel();
        C.Label(ref routine);
        C.bt(_hypercalls, (byte)HypercallNumber.ConsoleWrite);
        C.jnc(serial);
        C.mov(rbx, rsi);
        C.mov(rcx, rdx);
        EmitHypercall(HypercallNumber.ConsoleWrite);
        C.ret();

        C.Label(ref serial);
        C.mov(r8, rdx);
        C.Label(ref next);
        C.mov(ecx, UartPatience);
        C.Label(ref wait);
        C.mov(edx, UartLineStatus);
        C.@in(al, dx);
        C.test(al, UartTransmitEmpty);
        C.jne(send);
        C.dec(ecx);
        C.jne(wait);
        C.Label(ref send); // a UART that is never ready must not hold up the rest
        C.mov(edx, UartData);
        C.lodsb();
        C.@out(dx, al);
        C.dec(r8);
        C.jne(next);
        C.ret();
        return routine;
    }

    /// <summary>What an exception ends in: a line that names it, and the debug-exit port.</summary>
    private void EmitFatal(Variable vector, Variable error, Variable rip, Variable cr2)
    {
        EmitBeginLine(" exception");
        Lines.Field("vector", vector);
        Lines.Field("error", error);
        Lines.Field("rip", rip);
        Lines.Field("cr2", cr2);
        EmitEndLine();
        C.mov(eax, 2);
        EmitExit();
    }
}
