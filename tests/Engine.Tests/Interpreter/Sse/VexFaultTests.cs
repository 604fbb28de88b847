using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>When VEX instructions must not execute, what they demand of memory operands, and what unmasked exceptions leave behind.</summary>
public sealed unsafe class VexFaultTests : IDisposable
{
    private const ulong Enabled = Xcr0.X87 | Xcr0.Sse | Xcr0.Avx;

    private readonly InterpretedUnit _unit = new();
    private readonly UnitState* _state = (UnitState*)NativeMemory.AlignedAlloc((nuint)sizeof(UnitState), 4096);

    public VexFaultTests()
    {
        new Span<byte>(_state, sizeof(UnitState)).Clear();
        *(ushort*)_state->Before = 0x37f;
        *(uint*)(_state->Before + 24) = 0x1f80;
    }

    public void Dispose()
    {
        _unit.Dispose();
        NativeMemory.AlignedFree(_state);
    }

    [Theory]
    [InlineData(Cr0.PE | Cr0.TS, Cr4.OSXSAVE, Enabled, Vector.NM)]
    [InlineData(Cr0.PE, 0, Enabled, Vector.UD)]
    [InlineData(Cr0.PE, Cr4.OSXSAVE, Xcr0.X87 | Xcr0.Sse, Vector.UD)]
    [InlineData(Cr0.PE, Cr4.OSXSAVE, Xcr0.X87, Vector.UD)]
    [InlineData(Cr0.PE | Cr0.TS, Cr4.OSXSAVE, Xcr0.X87 | Xcr0.Sse, Vector.UD)]
    [InlineData(Cr0.PE | Cr0.TS, 0, Enabled, Vector.UD)]
    [InlineData(0, Cr4.OSXSAVE, Enabled, Vector.UD)]
    public void EveryVexFormNeedsItsControlBits(ulong cr0, ulong cr4, ulong xcr0, Vector expected)
    {
        foreach (Code code in VexForms.All)
        {
            Random random = new(1);
            Instruction instruction = UnitForms.Make(code, true, random);
            UnitForms.Tame(ref instruction, _state, random);
            _unit.Context->State.Cr0 = cr0;
            _unit.Context->State.Cr4 = cr4;
            _unit.Context->State.Xcr0 = xcr0;
            Assert.Equal((code, expected), (code, FaultOf(instruction)));
        }
    }

    [Fact]
    public void NeitherEmulationNorTheLackOfFxsaveKeepsVexInstructionsAway()
    {
        _unit.Context->State.Cr0 |= Cr0.EM;
        _unit.Context->State.Cr4 = Cr4.OSXSAVE;
        Assert.Null(FaultOf(Instruction.Create(Code.VEX_Vpaddd_ymm_ymm_ymmm256, Register.YMM1, Register.YMM2, Register.YMM3)));
    }

    [Theory]
    [InlineData(Code.VEX_Vmovaps_xmm_xmmm128, Register.XMM1, 8, true)]
    [InlineData(Code.VEX_Vmovaps_ymm_ymmm256, Register.YMM1, 16, true)]
    [InlineData(Code.VEX_Vmovapd_ymm_ymmm256, Register.YMM1, 32, false)]
    [InlineData(Code.VEX_Vmovdqa_ymm_ymmm256, Register.YMM1, 48, true)]
    [InlineData(Code.VEX_Vmovntdqa_ymm_m256, Register.YMM1, 16, true)]
    [InlineData(Code.VEX_Vmovups_ymm_ymmm256, Register.YMM1, 3, false)]
    [InlineData(Code.VEX_Vmovdqu_ymm_ymmm256, Register.YMM1, 1, false)]
    [InlineData(Code.VEX_Vlddqu_ymm_m256, Register.YMM1, 7, false)]
    [InlineData(Code.VEX_Vsqrtps_ymm_ymmm256, Register.YMM1, 4, false)]
    [InlineData(Code.VEX_Vpabsb_xmm_xmmm128, Register.XMM1, 5, false)]
    [InlineData(Code.VEX_Vmovddup_ymm_ymmm256, Register.YMM1, 9, false)]
    public void OnlyAlignedMovesWantAlignedOperands(Code code, Register register, int offset, bool faults) =>
        Assert.Equal(faults ? Vector.GP : null, FaultOf(Instruction.Create(code, register, new MemoryOperand(Register.RSI, offset))));

    [Theory]
    [InlineData(Code.VEX_Vmovaps_ymmm256_ymm, Register.YMM1, 16)]
    [InlineData(Code.VEX_Vmovntps_m256_ymm, Register.YMM1, 16)]
    [InlineData(Code.VEX_Vmovntdq_m128_xmm, Register.XMM1, 8)]
    public void AlignedStoresStoreNothingElsewhere(Code code, Register register, int offset)
    {
        new Span<byte>(_state->Before + 160, 256).Fill(0x5a);
        Assert.Equal(Vector.GP, FaultOf(Instruction.Create(code, new MemoryOperand(Register.RSI, offset), register)));
        Assert.False(new ReadOnlySpan<byte>(_state->Operand, UnitState.MemorySize).ContainsAnyExcept((byte)0));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void AnUnmaskedExceptionInEitherHalfLeavesTheTarget(int half)
    {
        *(uint*)(_state->Before + 24) = 0x1f80 & ~(4u << 7);
        byte* halves = half == 0 ? _state->Before + 160 : _state->BeforeUpper;
        for (int i = 0; i < 8; i++)
            ((float*)(_state->Before + 160 + 16 * (1 + i / 4)))[i & 3] = ((float*)(_state->BeforeUpper + 16 * (1 + i / 4)))[i & 3] = 1;
        // Register 2 divides, by a zero in one lane.
        ((float*)(halves + 32))[3] = 0;
        *(ulong*)(_state->Before + 160 + 48) = 77;
        Assert.Equal(Vector.XM, FaultOf(Instruction.Create(Code.VEX_Vdivps_ymm_ymm_ymmm256, Register.YMM3, Register.YMM1, Register.YMM2)));
        Assert.Equal((0x1f80u & ~(4u << 7)) | 4, _unit.Context->State.Mxcsr);
        Assert.Equal(77ul, *(ulong*)(_state->After + 160 + 48));
    }

    [Theory]
    [InlineData(Register.XMM1, Register.XMM1, Register.XMM2)]
    [InlineData(Register.XMM1, Register.XMM2, Register.XMM1)]
    [InlineData(Register.XMM1, Register.XMM2, Register.XMM2)]
    public void AGatherThatNamesARegisterTwiceDoesNotExist(Register target, Register index, Register mask)
    {
        var operand = new MemoryOperand(Register.RSI, index, 4, 0, 8);
        Assert.False(_unit.Load(Instruction.Create(Code.VEX_Vpgatherdd_xmm_vm32x_xmm, target, operand, mask)));
    }

    private Vector? FaultOf(Instruction instruction)
    {
        Assert.True(_unit.Load(instruction), instruction.ToString());
        return _unit.Run(_state) ? null : (Vector)_unit.Context->Fault.Vector;
    }
}

/// <summary>The VEX forms of vector instructions that level v3 has.</summary>
internal static class VexForms
{
    public static IReadOnlyList<Code> All { get; } =
        [.. UnitForms.OfVex(CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C, CpuidFeature.AES, CpuidFeature.PCLMULQDQ)];
}
