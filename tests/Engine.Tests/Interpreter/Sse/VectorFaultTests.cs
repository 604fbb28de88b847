using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>When vector and x87 instructions must not execute, and what unmasked exceptions leave behind.</summary>
public sealed unsafe class VectorFaultTests : IDisposable
{
    private static readonly MemoryOperand s_operand = new(Register.RSI);

    private readonly InterpretedUnit _unit = new();
    private readonly UnitState* _state = (UnitState*)NativeMemory.AlignedAlloc((nuint)sizeof(UnitState), 4096);

    public VectorFaultTests()
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
    [InlineData(Code.Movaps_xmm_xmmm128)]
    [InlineData(Code.Movdqa_xmm_xmmm128)]
    [InlineData(Code.Paddd_xmm_xmmm128)]
    [InlineData(Code.Addps_xmm_xmmm128)]
    [InlineData(Code.Cvtpd2ps_xmm_xmmm128)]
    [InlineData(Code.Pshufd_xmm_xmmm128_imm8)]
    public void AMisalignedSixteenByteOperandIsAProtectionFault(Code code)
    {
        var operand = new MemoryOperand(Register.RSI, 8);
        Instruction instruction = code == Code.Pshufd_xmm_xmmm128_imm8
            ? Instruction.Create(code, Register.XMM1, operand, 27) : Instruction.Create(code, Register.XMM1, operand);
        Assert.Equal(Vector.GP, FaultOf(instruction));
        Assert.True(_unit.Context->Fault.HasErrorCode);
        Assert.Equal(0u, _unit.Context->Fault.ErrorCode);
    }

    [Theory]
    [InlineData(Code.Movups_xmm_xmmm128)]
    [InlineData(Code.Movdqu_xmm_xmmm128)]
    [InlineData(Code.Movsd_xmm_xmmm64)]
    [InlineData(Code.Addss_xmm_xmmm32)]
    [InlineData(Code.Cvtdq2pd_xmm_xmmm64)]
    public void NarrowAndUnalignedOperandsMayLieAnywhere(Code code) =>
        Assert.Null(FaultOf(Instruction.Create(code, Register.XMM1, new MemoryOperand(Register.RSI, 3))));

    [Theory]
    [InlineData(Cr0.EM, Cr4.OSFXSR, Vector.UD)]
    [InlineData(Cr0.TS, Cr4.OSFXSR, Vector.NM)]
    [InlineData(0, 0, Vector.UD)]
    [InlineData(Cr0.TS, 0, Vector.UD)]
    public void SseNeedsItsControlBits(ulong cr0, ulong cr4, Vector expected)
    {
        foreach (Code code in UnitForms.Of(CpuidFeature.SSE, CpuidFeature.SSE2).Where(code => NeedsSse(code)))
        {
            _unit.Reset();
            _unit.Context->State.Cr0 |= cr0;
            _unit.Context->State.Cr4 = cr4;
            Assert.Equal((code, expected), (code, FaultOf(UnitForms.Make(code, false, new Random(1)))));
        }
    }

    [Theory]
    [InlineData(Cr0.EM, Vector.UD)]
    [InlineData(Cr0.TS, Vector.NM)]
    public void MmxNeedsItsControlBits(ulong cr0, Vector expected)
    {
        foreach (Code code in UnitForms.Of(CpuidFeature.MMX))
        {
            _unit.Reset();
            _unit.Context->State.Cr0 |= cr0;
            Assert.Equal((code, expected), (code, FaultOf(UnitForms.Make(code, false, new Random(1)))));
        }
    }

    [Theory]
    [InlineData(Cr0.EM)]
    [InlineData(Cr0.TS)]
    public void EveryX87InstructionIsUnavailableUnderEmulationOrTaskSwitch(ulong cr0)
    {
        foreach (Code code in UnitForms.Of(CpuidFeature.FPU, CpuidFeature.FPU387, CpuidFeature.FPU287).Where(code => code != Code.Wait))
        {
            _unit.Reset();
            _unit.Context->State.Cr0 |= cr0;
            Assert.Equal((code, Vector.NM), (code, FaultOf(UnitForms.Make(code, false, new Random(1)))));
        }
    }

    [Fact]
    public void WaitIsUnavailableOnlyWithMonitorCoprocessorAndTaskSwitch()
    {
        _unit.Context->State.Cr0 |= Cr0.TS;
        Assert.Null(FaultOf(Instruction.Create(Code.Wait)));
        _unit.Context->State.Cr0 |= Cr0.MP;
        Assert.Equal(Vector.NM, FaultOf(Instruction.Create(Code.Wait)));
    }

    [Fact]
    public void LoadingReservedMxcsrBitsIsAProtectionFault()
    {
        *(uint*)_state->Operand = 0x1_1f80;
        Assert.Equal(Vector.GP, FaultOf(Instruction.Create(Code.Ldmxcsr_m32, s_operand)));
        Assert.Equal(0x1f80u, _unit.Context->State.Mxcsr);
        *(uint*)_state->Operand = 0xffff;
        Assert.Null(FaultOf(Instruction.Create(Code.Ldmxcsr_m32, s_operand)));
        Assert.Equal(0xffffu, _unit.Context->State.Mxcsr);
    }

    [Theory]
    [InlineData(Cr4.OSFXSR | Cr4.OSXMMEXCPT, Vector.XM)]
    [InlineData(Cr4.OSFXSR, Vector.UD)]
    public void AnUnmaskedExceptionSetsItsFlagAndLeavesTheTarget(ulong cr4, Vector expected)
    {
        _unit.Context->State.Cr4 = cr4;
        *(uint*)(_state->Before + 24) = 0x1f80 & ~(4u << 7);
        // Lane 0 divides by zero, lane 1 would be inexact: results' exceptions are not reported with operands'.
        *(ulong*)(_state->Before + 160) = 0x3f800000_3f800000;
        *(ulong*)(_state->Before + 176) = 0x40400000_00000000;
        *(ulong*)(_state->Before + 184) = 0x3f800000_3f800000;
        Assert.Equal(expected, FaultOf(Instruction.Create(Code.Divps_xmm_xmmm128, Register.XMM0, Register.XMM1)));
        Assert.Equal((0x1f80u & ~(4u << 7)) | 4, _unit.Context->State.Mxcsr);
        Assert.Equal(0x3f800000_3f800000ul, *(ulong*)(_state->After + 160));
    }

    /// <summary>What an AMD processor of family 19h leaves in MXCSR; lanes 0 and 1 of both operands.</summary>
    [Theory]
    [InlineData(Code.Mulps_xmm_xmmm128, 0x1b80, 0x7f000000, 0x7f000000, 0x3f800000, 0x3f800000, 0x1b88)] // exact overflow
    [InlineData(Code.Mulps_xmm_xmmm128, 0x1b80, 0x7f7fffff, 0x7f7fffff, 0x3f800000, 0x3f800000, 0x1ba8)] // inexact overflow
    [InlineData(Code.Mulps_xmm_xmmm128, 0x1780, 0x00800000, 0x3f000000, 0x3f800000, 0x3f800000, 0x1790)] // exact underflow
    [InlineData(Code.Mulps_xmm_xmmm128, 0x1780, 0x00800001, 0x3f000000, 0x3f800000, 0x3f800000, 0x1790)] // inexact only as a denormal
    [InlineData(Code.Mulps_xmm_xmmm128, 0x1780, 0x00800001, 0x00800001, 0x3f800000, 0x3f800000, 0x17b0)] // inexact anyhow
    [InlineData(Code.Mulps_xmm_xmmm128, 0x0f80, 0x00800001, 0x3f000000, 0x3f800000, 0x3f800000, 0x0fb0)] // precision unmasked
    [InlineData(Code.Mulps_xmm_xmmm128, 0x0f80, 0x7f7fffff, 0x7f7fffff, 0x3f800000, 0x3f800000, 0x0fa8)]
    [InlineData(Code.Mulps_xmm_xmmm128, 0x9780, 0x00800001, 0x3f000000, 0x3f800000, 0x3f800000, 0x9790)] // flush-to-zero waits for the mask
    [InlineData(Code.Mulps_xmm_xmmm128, 0x8f80, 0x00800000, 0x3f000000, 0x3f800000, 0x3f800000, 0x8fb0)]
    [InlineData(Code.Addps_xmm_xmmm128, 0x1e80, 0x7f800001, 0x3f800000, 0x00000001, 0x3f800000, 0x1e83)] // operands' exceptions alone
    [InlineData(Code.Addps_xmm_xmmm128, 0x0f80, 0x7f800001, 0x3f800000, 0x00000001, 0x3f800000, 0x0fa3)] // with the results'
    [InlineData(Code.Cvtps2dq_xmm_xmmm128, 0x1f00, 0, 0x7f800001, 0, 0x3fc00000, 0x1f01)]
    [InlineData(Code.Cvtps2dq_xmm_xmmm128, 0x0f80, 0, 0x7f800001, 0, 0x3fc00000, 0x0fa1)]
    public void UnmaskedExceptionsReportWhatTheProcessorReports(Code code, int mxcsr, int left, int right, int nextLeft, int nextRight, int expected)
    {
        *(int*)(_state->Before + 24) = mxcsr;
        *(ulong*)(_state->Before + 160) = (uint)left | (ulong)nextLeft << 32;
        *(ulong*)(_state->Before + 176) = (uint)right | (ulong)nextRight << 32;
        Assert.Equal(Vector.XM, FaultOf(Instruction.Create(code, Register.XMM0, Register.XMM1)));
        Assert.Equal((uint)expected, _unit.Context->State.Mxcsr);
        Assert.Equal(*(UInt128*)(_state->Before + 160), *(UInt128*)(_state->After + 160));
    }

    [Fact]
    public void AnUnmaskedComparisonLeavesTheFlags()
    {
        *(uint*)(_state->Before + 24) = 0x1f80 & ~(1u << 7);
        *(ulong*)(_state->Before + 160) = 0x7fc00000;
        Assert.Equal(Vector.XM, FaultOf(Instruction.Create(Code.Comiss_xmm_xmmm32, Register.XMM0, Register.XMM1)));
        Assert.Equal(0x202ul, _state->Rflags);
        Assert.Null(FaultOf(Instruction.Create(Code.Ucomiss_xmm_xmmm32, Register.XMM0, Register.XMM1)));
        Assert.Equal(0x202ul | Rflags.ZF | Rflags.PF | Rflags.CF, _state->Rflags);
    }

    private static bool NeedsSse(Code code) => code.CpuidFeatures().Any(feature => feature is CpuidFeature.SSE or CpuidFeature.SSE2)
        && code.Mnemonic() is not (Mnemonic.Movnti or Mnemonic.Sfence or Mnemonic.Lfence or Mnemonic.Mfence or Mnemonic.Pause or Mnemonic.Clflush
            or Mnemonic.Prefetchnta or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1 or Mnemonic.Prefetcht2)
        && !IsMmxOnly(code);

    // SSE brought some instructions to MMX registers; those ask for what MMX asks for.
    private static bool IsMmxOnly(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        OpCodeOperandKind[] kinds = [.. Enumerable.Range(0, info.OpCount).Select(info.GetOpKind)];
        return kinds.Any(kind => kind is OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm or OpCodeOperandKind.mm_or_mem)
            && !kinds.Any(kind => kind is OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem);
    }

    private Vector? FaultOf(Instruction instruction)
    {
        Assert.True(_unit.Load(instruction), instruction.ToString());
        return _unit.Run(_state) ? null : (Vector)_unit.Context->Fault.Vector;
    }
}
