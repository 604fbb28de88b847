using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Runs single vector instructions as translated code, in a machine of their own.</summary>
internal sealed unsafe class TranslatedUnit : IUnit
{
    private const ulong FirstCode = TestMachine.Code, LastCode = TestMachine.Data - PageNumber.Size, Slot = 32;

    private TestMachine _machine = New();
    private ulong _next = FirstCode, _at;

    /// <summary>Forms that the translator left to the interpreter.</summary>
    public HashSet<Code> Interpreted { get; } = [];

    public string Failure => $"triple fault, CR2 0x{_machine.State.Cr2:x}";

    public bool Load(Instruction instruction)
    {
        if (_next >= LastCode)
        {
            _machine.Dispose();
            _machine = New();
            _next = FirstCode;
        }
        _at = _next;
        _next += Slot;
        MemoryStream bytes = new();
        Encoder.Create(64, new StreamCodeWriter(bytes)).Encode(instruction, _at);
        // jmp to the HLT that follows: the block that is translated ends before it.
        bytes.Write([0xeb, 0, 0xf4]);
        Assert.True(_machine.Memory.TryWrite(new GuestPhysicalAddress(_at), bytes.ToArray()));
        long translated = Blocks;
        // Nothing is translated before it has run.
        _machine.State.Mxcsr = 0x1f80;
        _machine.State.Gpr[Gpr.RSI] = _machine.State.Gpr[Gpr.RDI] = TestMachine.Data;
        Assert.True(Execute());
        if (Blocks == translated)
            Interpreted.Add(instruction.Code);
        return true;
    }

    public bool Run(UnitState* state)
    {
        ref CpuState cpu = ref _machine.State;
        ReadOnlySpan<byte> operand = new(state->Operand, UnitState.MemorySize);
        Assert.True(_machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Data), operand));
        fixed (CpuState* target = &cpu)
            InterpretedUnit.SetState(target, state);
        for (int i = 0; i < 4; i++)
            cpu.Gpr[i] = state->General[i];
        cpu.Gpr[Gpr.RSI] = cpu.Gpr[Gpr.RDI] = TestMachine.Data;
        if (!Execute())
            return false;
        for (int i = 0; i < 4; i++)
            state->General[i] = cpu.Gpr[i];
        state->Rflags = cpu.Rflags;
        fixed (CpuState* source = &cpu)
            InterpretedUnit.GetState(source, state);
        Assert.True(_machine.Memory.TryRead(new GuestPhysicalAddress(TestMachine.Data), new Span<byte>(state->Operand, UnitState.MemorySize)));
        return true;
    }

    public void Dispose() => _machine.Dispose();

    private long Blocks => ((TranslatorBackend)_machine.Backend).Blocks.Translated;

    /// <summary>False: a fault, and no handler for it.</summary>
    private bool Execute()
    {
        ref CpuState cpu = ref _machine.State;
        cpu.Rip = _at;
        cpu.Rflags = 0x202;
        cpu.Halted = false;
        VcpuExit exit;
        do
            exit = _machine.Backend.Run(100);
        while (exit == VcpuExit.Interrupted);
        return exit == VcpuExit.Halted;
    }

    private static TestMachine New()
    {
        TestMachine machine = new(64, services: new EveryVectorFeature(), backend: vcpu => new TranslatorBackend(vcpu, hot: 1));
        machine.State.Cr0 = (machine.State.Cr0 & ~(Cr0.EM | Cr0.TS)) | Cr0.NE;
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE;
        machine.State.Xcr0 = Xcr0.X87 | Xcr0.Sse | Xcr0.Avx;
        return machine;
    }
}
