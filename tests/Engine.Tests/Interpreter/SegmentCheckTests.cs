using Godwit.Engine.Cpu;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>Limits and types of segments that are not flat, in 32-bit protected mode.</summary>
public sealed unsafe class SegmentCheckTests
{
    private const ushort Data = Segment.P | Segment.S | Segment.Writable | Segment.Accessed | Segment.DB;

    [Theory]
    [InlineData(0xff0u, false)]
    [InlineData(0xffcu, false)]
    [InlineData(0xffdu, true)]
    [InlineData(0x1000u, true)]
    [InlineData(0xffff_fffeu, true)]
    public void AnAccessPastTheLimitIsAGeneralProtectionFault(uint offset, bool faults) =>
        Check(a => a.mov(eax, __dword_ptr[offset]), faults ? 13 : -1, state => state.Ds = new Segment { Limit = 0xfff, Attributes = Data });

    [Theory]
    [InlineData(0xfffu, true)]
    [InlineData(0x1000u, false)]
    [InlineData(0xffff_fffcu, false)]
    [InlineData(0xffff_fffdu, true)]
    public void AnExpandDownSegmentLiesAboveItsLimit(uint offset, bool faults) =>
        Check(a => a.mov(eax, __dword_ptr[offset]), faults ? 13 : -1, state => state.Ds = new Segment { Limit = 0xfff, Attributes = Data | Segment.Expand });

    [Fact]
    public void ANullSegmentMayNotBeUsed() => Check(a => a.mov(eax, __dword_ptr[0]), 13, state => state.Ds = default);

    [Fact]
    public void AReadOnlySegmentMayNotBeWritten()
    {
        static void ReadOnly(CpuStateBox state) => state.Ds = new Segment { Limit = uint.MaxValue, Attributes = Data & ~Segment.Writable };
        Check(a => a.mov(eax, __dword_ptr[0x1000]), -1, ReadOnly);
        Check(a => a.add(__dword_ptr[0x1000], eax), 13, ReadOnly);
    }

    [Fact]
    public void CodeMayNotBeWrittenThroughCs()
    {
        Check(a => a.mov(eax, __dword_ptr.cs[0x1000]), -1, _ => { });
        Check(a => a.mov(__dword_ptr.cs[0x1000], eax), 13, _ => { });
    }

    [Fact]
    public void FsIsCheckedThoughTheOthersAreFlat() =>
        Check(a => a.mov(eax, __dword_ptr.fs[0x10]), 13, state => state.Fs = new Segment { Limit = 0xf, Attributes = Data });

    [Fact]
    public void APushBelowTheStackSegmentIsAStackFault() =>
        Check(a => a.push(eax), 12, state => state.Ss = new Segment { Limit = 0xfff, Attributes = Data });

    [Fact]
    public void ARepeatedStringInstructionWithCountZeroAccessesNothing() => Check(
        a =>
        {
            a.xor(ecx, ecx);
            a.rep.stosb();
        }, -1, state => state.Es = default, instructions: 2);

    [Fact]
    public void AnUndefinedInstructionIsUndefinedWhateverItsSegment() =>
        Check(a => a.db(0x0f, 0xb9, 0x05, 0, 0, 0, 0), 6, state => state.Ds = default);

    private static void Check(Action<Assembler> write, int vector, Action<CpuStateBox> prepare, int instructions = 1)
    {
        const ulong Handlers = 0x12_0000;
        using TestMachine machine = new(32);
        foreach (int each in new[] { 6, 12, 13 })
        {
            ulong handler = Handlers + (ulong)each * 16;
            machine.Write(TestMachine.Idt + (ulong)each * 8, (handler & 0xffff) | TestMachine.Kernel32 << 16 | 0x8e00ul << 32 | (handler >> 16) << 48);
            machine.Load(a => a.mov(edx, each), handler);
        }
        machine.Load(write);
        CpuStateBox box = new(machine);
        prepare(box);
        machine.State.Gpr[Gpr.RSP] = 0x2000;
        // The frame of a stack fault cannot go to the stack that caused it: that ends in a shutdown.
        Assert.Equal(vector == 12 ? VcpuExit.Shutdown : VcpuExit.Interrupted, machine.Backend.Run(instructions));
        if (vector is not (-1 or 12))
            Assert.Equal((ulong)vector, machine.State.Gpr[Gpr.RDX]);
        else
            Assert.NotInRange(machine.State.Rip, Handlers, Handlers + 0x1000);
    }

    /// <summary>Segments of a machine, for lambdas that take no ref.</summary>
    private sealed class CpuStateBox(TestMachine machine)
    {
        public Segment Ds
        {
            set => machine.State.Ds = value;
        }

        public Segment Es
        {
            set => machine.State.Es = value;
        }

        public Segment Fs
        {
            set => machine.State.Fs = value;
        }

        public Segment Ss
        {
            set => machine.State.Ss = value;
        }
    }
}
