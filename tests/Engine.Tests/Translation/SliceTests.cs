using Godwit.Engine.Cpu;
using Godwit.Engine.Tests.Interpreter;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

public sealed unsafe class SliceTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ASliceEndsInFrontOfABlockAndTakesNoMoreThanItsBudget(bool translated)
    {
        const int Rounds = 10_000, Instructions = 7;
        const long Slice = 1000;
        using TestMachine machine = new(64, backend: translated ? ProgramComparison.Eager : ProgramComparison.Interpreter);
        machine.Load(a =>
        {
            Label again = a.CreateLabel();
            a.mov(ecx, Rounds);
            a.Label(ref again);
            for (int i = 2; i < Instructions; i++)
                a.add(ebx, 1);
            a.dec(ecx);
            a.jnz(again);
            a.hlt();
        });
        // mov ecx, imm32
        ulong top = TestMachine.Code + 5;
        ref CpuState state = ref machine.State;
        VcpuExit exit;
        int slices = 0;
        do
        {
            ulong before = state.RetiredInstructions;
            exit = machine.Backend.RunSlice(Slice);
            long retired = (long)(state.RetiredInstructions - before);
            Assert.InRange(retired, 0, Slice);
            if (exit == VcpuExit.Interrupted && state.Gpr[Gpr.RCX] != 0)
                Assert.Equal(top, state.Rip);
            // On a busy host, time ends it before the budget does.
            if (retired > Slice - 2 * Instructions)
                slices++;
        }
        while (exit == VcpuExit.Interrupted);
        Assert.Equal(VcpuExit.Halted, exit);
        Assert.Equal((ulong)(Rounds * (Instructions - 2)), state.Gpr[Gpr.RBX]);
        Assert.InRange(slices, Rounds * Instructions / Slice / 2, Rounds * Instructions / Slice + 10);
    }
}
