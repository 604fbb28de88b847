using System.Reflection;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using MessagePack;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

public sealed unsafe class VcpuStateTests
{
    private static readonly MessagePackSerializerOptions _options = MessagePackSerializerOptions.Standard.WithSecurity(MessagePackSecurity.UntrustedData);

    [Fact]
    public void EveryFieldOfTheCpuIsSaved()
    {
        string[] fields = [.. typeof(CpuState).GetFields(BindingFlags.Public | BindingFlags.Instance).Select(field => field.Name).Order()];
        string[] saved = [.. typeof(VcpuState).GetProperties().Select(property => property.Name).Order()];
        Assert.NotEmpty(fields);
        Assert.Equal(fields, saved);
        int[] keys = [.. typeof(VcpuState).GetProperties().Select(property => property.GetCustomAttribute<KeyAttribute>()!.IntKey!.Value).Order()];
        Assert.Equal(Enumerable.Range(0, keys.Length), keys);
    }

    /// <summary>A state with a different value in every byte that may have one.</summary>
    private static CpuBench Filled()
    {
        CpuBench bench = new();
        bench.EnterLong();
        ref CpuState state = ref bench.State;
        ulong next = 0x0101_0101;
        ulong Value() => next += 0x0101_0101;
        for (int i = 0; i < 16; i++)
        {
            state.Gpr[i] = Value() << 32 | Value();
            state.X87[i] = i % 2 == 0 ? Value() << 32 | Value() : (ushort)Value();
        }
        for (int i = 0; i < 512; i++)
            state.Vector[i] = (byte)(i * 7 + 1);
        state.Rip = Value();
        for (int i = 0; i < 8; i++)
        {
            ref Segment segment = ref i < 6 ? ref Segments.Get(bench.C, i) : ref (i == 6 ? ref state.Ldtr : ref state.Tr);
            segment.Base = Value();
            segment.Limit = (uint)Value();
            segment.Selector = (ushort)Value();
        }
        state.Gdtr = new DescriptorTable { Base = Value(), Limit = (ushort)Value() };
        state.Idtr = new DescriptorTable { Base = Value(), Limit = (ushort)Value() };
        state.Cr2 = Value();
        (state.Dr0, state.Dr1, state.Dr2, state.Dr3) = (Value(), Value(), Value(), Value());
        (state.Star, state.Lstar, state.Cstar, state.Fmask) = (Value(), Value(), Value(), Value());
        (state.KernelGsBase, state.SysenterCs, state.SysenterEsp, state.SysenterEip) = (Value(), Value(), Value(), Value());
        (state.TscAux, state.MiscEnable, state.TscAdjust, state.SpecControl) = (Value(), Value(), Value(), 5);
        (state.X87Control, state.X87Status, state.X87Tag, state.X87Opcode) = ((ushort)Value(), (ushort)Value(), (byte)Value(), (ushort)Value());
        (state.X87InstructionPointer, state.X87DataPointer) = (Value(), Value());
        (state.Halted, state.InterruptShadow, state.NmiBlocked, state.NmiPending) = (true, true, true, true);
        state.RetiredInstructions = Value();
        state.Rflags = Rflags.Reserved1 | Rflags.CF | Rflags.OF | Rflags.IF | Rflags.ID | Rflags.ZF;
        return bench;
    }

    [Fact]
    public void AStateGoesThroughItsBytesUnchanged()
    {
        using CpuBench source = Filled();
        byte[] bytes = MessagePackSerializer.Serialize(VcpuStates.Capture(source.C), _options);
        using CpuBench target = new();
        VcpuStates.Restore(target.C, MessagePackSerializer.Deserialize<VcpuState>(bytes, _options));
        CpuState expected = source.State, actual = target.State;
        foreach (FieldInfo field in typeof(CpuState).GetFields(BindingFlags.Public | BindingFlags.Instance))
            if (field.GetCustomAttribute<System.Runtime.CompilerServices.FixedBufferAttribute>() is null)
                Assert.True(Equals(field.GetValue(expected), field.GetValue(actual)), field.Name);
        Assert.True(new ReadOnlySpan<byte>(&expected, sizeof(CpuState)).SequenceEqual(new ReadOnlySpan<byte>(&actual, sizeof(CpuState))));
        Assert.Equal(source.State.Rflags, target.C->GetRflags());
    }

    public static TheoryData<string> Invalid => [.. _invalid.Keys];

    private static readonly Dictionary<string, Func<VcpuState, VcpuState>> _invalid = new()
    {
        ["fewer registers"] = s => s with { Gpr = new ulong[15] },
        ["no registers"] = s => s with { Gpr = null! },
        ["short vectors"] = s => s with { Vector = new byte[511] },
        ["x87 exponent"] = s => s with { X87 = [.. s.X87[..15], 0x1_0000ul] },
        ["no segment"] = s => s with { Fs = null! },
        ["no table"] = s => s with { Idtr = null! },
        ["segment attributes"] = s => s with { Ds = s.Ds with { Attributes = 0x0100 } },
        ["segment base"] = s => s with { Gs = s.Gs with { Base = 1ul << 47 } },
        ["long and big code"] = s => s with { Cs = s.Cs with { Attributes = (ushort)(s.Cs.Attributes | Segment.DB) } },
        ["paging without protection"] = s => s with { Cr0 = s.Cr0 & ~Cr0.PE },
        ["unknown CR0 bit"] = s => s with { Cr0 = s.Cr0 | 1 << 8 },
        ["unknown CR4 bit"] = s => s with { Cr4 = s.Cr4 | 1ul << 30 },
        ["long mode without PAE"] = s => s with { Cr4 = 0 },
        ["active but not enabled"] = s => s with { Efer = Efer.LMA },
        ["enabled with paging but not active"] = s => s with { Efer = Efer.LME },
        ["CR3"] = s => s with { Cr3 = 1ul << 50 },
        ["virtual-8086"] = s => s with { Rflags = s.Rflags | Rflags.VM },
        ["reserved flag"] = s => s with { Rflags = s.Rflags & ~Rflags.Reserved1 },
        ["PAT"] = s => s with { Pat = 2 },
        ["MXCSR"] = s => s with { Mxcsr = 0x1_0000 },
        ["LSTAR"] = s => s with { Lstar = 1ul << 63 },
        ["XCR0"] = s => s with { Xcr0 = 0 },
        ["DR7"] = s => s with { Dr7 = 1ul << 32 },
    };

    [Theory]
    [MemberData(nameof(Invalid))]
    public void AnImpossibleStateIsRefusedAndChangesNothing(string what)
    {
        using CpuBench bench = Filled();
        VcpuState bad = _invalid[what](VcpuStates.Capture(bench.C));
        CpuState before = bench.State;
        InvalidStateException refusal = Assert.Throws<InvalidStateException>(() => VcpuStates.Restore(bench.C, bad));
        Assert.DoesNotContain('\n', refusal.Message);
        CpuState after = bench.State;
        Assert.True(new ReadOnlySpan<byte>(&before, sizeof(CpuState)).SequenceEqual(new ReadOnlySpan<byte>(&after, sizeof(CpuState))));
    }

    [Fact]
    public void TheResetStatesCanBeSaved()
    {
        using CpuBench bench = new();
        VcpuStates.Restore(bench.C, VcpuStates.Capture(bench.C));
        bench.EnterProtected();
        VcpuStates.Restore(bench.C, VcpuStates.Capture(bench.C));
        bench.EnterLong();
        VcpuStates.Restore(bench.C, VcpuStates.Capture(bench.C));
        Assert.True(bench.State.Mode64);
    }
}
