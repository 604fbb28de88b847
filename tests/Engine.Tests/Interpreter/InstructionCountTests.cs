using System.IO.Hashing;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>What --clock icount relies on: the count is exact wherever the guest can see it, and where a run is cut does not matter.</summary>
public sealed unsafe class InstructionCountTests
{
    private const ulong Device = 0x800_0000, Handler = 0x12_0000;
    private const int Port = 0x500, Vector = 0x40;

    [Fact]
    public void SlicingARunDoesNotChangeWhereItEnds()
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        string whole = Play(int.MaxValue, new Random(0));
        for (int round = 0; round < 4; round++)
            Assert.True(Play(random.Next(1, 400), random) == whole, $"seed {seed}, round {round}");
    }

    [Fact]
    public void ADeviceSeesTheInstructionThatReachesItCounted()
    {
        using TestMachine machine = NewMachine(out Recorder recorder);
        machine.Load(a =>
        {
            a.mov(ebx, (uint)Device);
            a.nop();
            a.mov(eax, __dword_ptr[rbx]);
            a.mov(__dword_ptr[rbx], eax);
            a.add(__dword_ptr[rbx], 1);
            a.mov(dx, Port);
            a.@in(eax, dx);
            a.rdtsc();
            a.nop();
        });
        machine.Backend.Run(9);
        Assert.Equal([3ul, 4, 5, 5, 7], recorder.Counts);
        Assert.Equal(8ul, machine.State.Gpr[Gpr.RAX]);
    }

    [Fact]
    public void ARepeatedStringInstructionCountsOnceHoweverLongItIs()
    {
        using TestMachine machine = new(64, memory: 32 << 20);
        machine.Load(a =>
        {
            a.mov(edi, (uint)TestMachine.Data);
            a.mov(ecx, 3_000_000);
            a.mov(al, 0x5a);
            a.rep.stosb();
            a.mov(ebx, 1);
        });
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(4));
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(4ul, machine.State.RetiredInstructions);
    }

    [Fact]
    public void AnInterruptEntersARepeatedStringInstructionBetweenIterations()
    {
        using TestMachine machine = new(64, memory: 32 << 20);
        machine.SetHandler(Vector, Handler);
        machine.Load(a => a.mov(ebx, 1), Handler);
        machine.Load(a =>
        {
            a.sti();
            a.mov(edi, (uint)TestMachine.Data);
            a.mov(ecx, 1_000_000);
            a.rep.stosb();
        });
        machine.Backend.Run(3);
        ulong rip = machine.State.Rip;
        machine.Interrupts.Raise(Vector);
        machine.Backend.Run(1);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(1_000_000ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal(rip, machine.Read(machine.State.Gpr[Gpr.RSP]));
        Assert.Equal(4ul, machine.State.RetiredInstructions);
    }

    private static TestMachine NewMachine(out Recorder recorder)
    {
        TestMachine machine = new(64);
        recorder = new Recorder(machine);
        machine.Bus.MapMmio(Device, 0x1000, recorder, "recorder");
        machine.Bus.MapPorts(Port, 4, recorder, "recorder");
        return machine;
    }

    /// <summary>Runs a program for a fixed count of instructions, with an interrupt each 777, and returns a digest of all state.</summary>
    private static string Play(int slice, Random random)
    {
        using TestMachine machine = NewMachine(out Recorder _);
        machine.SetHandler(Vector, Handler);
        machine.Load(WriteHandler, Handler);
        machine.Load(WriteProgram);
        const ulong Period = 777, End = 200 * Period;
        while (machine.State.RetiredInstructions < End)
        {
            ulong boundary = (machine.State.RetiredInstructions / Period + 1) * Period;
            while (machine.State.RetiredInstructions < boundary)
            {
                ulong before = machine.State.RetiredInstructions;
                ulong budget = boundary - before;
                if (slice != int.MaxValue)
                    budget = Math.Min(budget, (ulong)random.Next(1, slice + 1));
                Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run((long)budget));
                Assert.Equal(budget, machine.State.RetiredInstructions - before);
            }
            machine.Interrupts.Raise(Vector);
        }
        XxHash128 hash = new();
        hash.Append(new ReadOnlySpan<byte>(machine.Context, sizeof(CpuState)));
        byte[] memory = new byte[machine.Memory.Size];
        Assert.True(machine.Memory.TryRead(new GuestPhysicalAddress(0), memory));
        hash.Append(memory);
        return Convert.ToHexString(hash.GetCurrentHash());
    }

    private static void WriteHandler(Assembler a)
    {
        a.push(rax);
        a.mov(eax, __dword_ptr[(uint)Device]);
        a.add(__qword_ptr[(uint)TestMachine.Data + 0x100], rax);
        a.pop(rax);
        a.iretq();
    }

    /// <summary>Loops, calls, a self-modifying store, long string moves, and looks at the count by MMIO, port and TSC.</summary>
    private static void WriteProgram(Assembler a)
    {
        Label top = a.CreateLabel(), loop = a.CreateLabel(), function = a.CreateLabel(), patched = a.CreateLabel();
        a.sti();
        a.Label(ref top);
        a.mov(ecx, 37);
        a.Label(ref loop);
        a.add(rax, rcx);
        a.rol(rax, 7);
        a.call(function);
        a.dec(ecx);
        a.jnz(loop);
        a.mov(esi, (uint)TestMachine.Data);
        a.mov(edi, (uint)TestMachine.Data + 0x4001);
        a.mov(ecx, 9000);
        a.rep.movsb();
        a.mov(r8d, __dword_ptr[(uint)Device]);
        a.xor(__qword_ptr[(uint)TestMachine.Data + 0x40], r8);
        a.mov(dx, Port);
        a.@in(eax, dx);
        a.lea(r9, __[patched]);
        a.add(__byte_ptr[r9 + 1], 3);
        a.Label(ref patched);
        a.mov(bl, 1);
        a.add(__byte_ptr[(uint)TestMachine.Data + 0x80], bl);
        a.rdtsc();
        a.add(__qword_ptr[(uint)TestMachine.Data + 0x88], rax);
        a.jmp(top);
        a.Label(ref function);
        a.push(rax);
        a.xor(__qword_ptr[(uint)TestMachine.Data + 0x48], rax);
        a.pop(rdx);
        a.ret();
    }

    /// <summary>A device that answers with the instruction count and remembers it.</summary>
    private sealed class Recorder(TestMachine machine) : IMmioDevice, IPortDevice
    {
        public List<ulong> Counts { get; } = [];

        public ulong ReadMmio(ulong offset, int size) => Count();

        public void WriteMmio(ulong offset, int size, ulong value) => Count();

        public uint ReadPort(int offset, int size) => (uint)Count();

        public void WritePort(int offset, int size, uint value) => Count();

        private ulong Count()
        {
            ulong count = machine.State.RetiredInstructions;
            Counts.Add(count);
            return count;
        }
    }
}
