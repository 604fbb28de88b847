using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Tests.Interpreter.Sse;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter.X87;

/// <summary>Unmasked x87 exceptions: when they are raised, and what the instruction leaves (Intel SDM 1, 8.5 to 8.7).</summary>
public sealed unsafe class X87ExceptionTests : IDisposable
{
    private const ushort Masked = 0x37f, Busy = 0x8080;

    private readonly InterpretedUnit _unit = new();
    private readonly UnitState* _state = (UnitState*)NativeMemory.AlignedAlloc((nuint)sizeof(UnitState), 4096);

    public X87ExceptionTests()
    {
        new Span<byte>(_state, sizeof(UnitState)).Clear();
        *(uint*)(_state->Before + 24) = 0x1f80;
        Control = Masked;
    }

    private ushort Control
    {
        set => *(ushort*)_state->Before = value;
    }

    private ushort StatusAfter => *(ushort*)(_state->After + 2);

    private byte TagAfter => _state->After[4];

    public void Dispose()
    {
        _unit.Dispose();
        NativeMemory.AlignedFree(_state);
    }

    [Fact]
    public void AnUnmaskedZeroDivideWaitsForTheNextWaitingInstruction()
    {
        Control = Masked & ~4;
        Push(0x8000000000000000, 0x3fff);
        Push(0, 0);
        Assert.Null(Run(Instruction.Create(Code.Fdivr_st0_sti, Register.ST0, Register.ST1)));
        Assert.Equal(Busy | 4, StatusAfter & (Busy | 0x3f));
        Assert.Equal(0ul, *(ulong*)(_state->After + 32));

        Continue();
        Assert.Null(Run(Instruction.Create(Code.Fnstsw_AX, Register.AX)));
        Assert.Equal(StatusAfter, (ushort)_state->General[0]);
        Assert.Equal(Vector.MF, Run(Instruction.Create(Code.Fld1)));
        Assert.Equal(Vector.MF, Run(Instruction.Create(Code.Wait)));
        Assert.Equal(Vector.MF, Run(Instruction.Create(Code.Paddb_mm_mmm64, Register.MM0, Register.MM1)));
        Assert.Null(Run(Instruction.Create(Code.Fnclex)));
        Assert.Equal(0, StatusAfter & (Busy | 0x3f));

        Continue();
        Assert.Null(Run(Instruction.Create(Code.Fld1)));
    }

    [Fact]
    public void WithoutNumericErrorReportingAnExceptionStaysPending()
    {
        _unit.Context->State.Cr0 &= ~Cr0.NE;
        Control = Masked & ~1;
        Assert.Null(Run(Instruction.Create(Code.Fchs)));
        Continue();
        Assert.Null(Run(Instruction.Create(Code.Fld1)));
        Assert.Equal(Busy | 0x41, StatusAfter & (Busy | 0x7f));
    }

    [Fact]
    public void AnUnmaskedStackOverflowPushesNothing()
    {
        Control = Masked & ~1;
        _state->Before[4] = 0xff;
        Assert.Null(Run(Instruction.Create(Code.Fld1)));
        Assert.Equal(Busy | 0x0241, StatusAfter);
        Assert.Equal(0xff, TagAfter);
    }

    [Fact]
    public void AnUnmaskedOverflowDeliversTheResultWithItsExponentWrapped()
    {
        Control = Masked & ~8;
        Push(0x8000000000000000, 0x7ffe);
        Push(0x8000000000000000, 0x7ffe);
        Assert.Null(Run(Instruction.Create(Code.Fmul_st0_sti, Register.ST0, Register.ST1)));
        Assert.Equal(Busy | 8, StatusAfter & (Busy | 0x3f));
        // 2^16383 * 2^16383 = 2^32766, delivered as 2^(32766 - 24576).
        Assert.Equal(0x8000000000000000ul, *(ulong*)(_state->After + 32));
        Assert.Equal(16383 + 32766 - 24576, *(ushort*)(_state->After + 40));
    }

    [Fact]
    public void AnUnmaskedUnderflowDeliversTheResultWithItsExponentWrappedThoughItIsExact()
    {
        Control = Masked & ~16;
        Push(0x8000000000000000, 1);
        Push(0x8000000000000000, 1);
        Assert.Null(Run(Instruction.Create(Code.Fmul_st0_sti, Register.ST0, Register.ST1)));
        Assert.Equal(Busy | 16, StatusAfter & (Busy | 0x3f));
        Assert.Equal(16383 - 2 * 16382 + 24576, *(ushort*)(_state->After + 40));
    }

    [Fact]
    public void AStoreWhoseResultIsRefusedNeitherStoresNorPops()
    {
        Control = Masked & ~8;
        Push(0x8000000000000000, 0x7ffe);
        *(uint*)_state->Operand = 0x12345678;
        Assert.Null(Run(Instruction.Create(Code.Fstp_m32fp, new MemoryOperand(Register.RSI))));
        Assert.Equal(0x12345678u, *(uint*)_state->Operand);
        Assert.Equal(0x80, TagAfter);
        Assert.Equal(Busy | 8, StatusAfter & (Busy | 8));
    }

    [Fact]
    public void AnUnmaskedInvalidIntegerStoreNeitherStoresNorPops()
    {
        Control = Masked & ~1;
        Push(0x8000000000000000, 0x7ffe);
        *(uint*)_state->Operand = 0x12345678;
        Assert.Null(Run(Instruction.Create(Code.Fistp_m32int, new MemoryOperand(Register.RSI))));
        Assert.Equal(0x12345678u, *(uint*)_state->Operand);
        Assert.Equal(0x80, TagAfter);
    }

    [Fact]
    public void AnInexactResultIsDeliveredThoughPrecisionIsUnmasked()
    {
        Control = Masked & ~32;
        Push(0xc000000000000000, 0x4000);
        Push(0x8000000000000000, 0x3fff);
        Assert.Null(Run(Instruction.Create(Code.Fdiv_st0_sti, Register.ST0, Register.ST1)));
        Assert.Equal(0xaaaaaaaaaaaaaaabul, *(ulong*)(_state->After + 32));
        Assert.Equal(Busy | 0x220, StatusAfter & (Busy | 0x23f));
    }

    [Fact]
    public void UnmaskingAFlagThatIsSetRaisesTheException()
    {
        *(ushort*)(_state->Before + 2) = 0x20;
        *(ushort*)_state->Operand = Masked & ~32;
        Assert.Null(Run(Instruction.Create(Code.Fldcw_m2byte, new MemoryOperand(Register.RSI))));
        Assert.Equal(Busy | 0x20, StatusAfter & (Busy | 0x3f));
        Continue();
        Assert.Equal(Vector.MF, Run(Instruction.Create(Code.Fnop)));
    }

    private void Push(ulong significand, ushort signExponent)
    {
        byte* image = _state->Before;
        int top = ((*(ushort*)(image + 2) >> 11) - 1) & 7;
        *(ushort*)(image + 2) = (ushort)((*(ushort*)(image + 2) & ~0x3800) | (top << 11));
        image[4] |= (byte)(1 << top);
        for (int i = 7; i > 0; i--)
            *(UInt128*)(image + 32 + 16 * i) = *(UInt128*)(image + 32 + 16 * (i - 1));
        *(ulong*)(image + 32) = significand;
        *(ushort*)(image + 40) = signExponent;
    }

    /// <summary>The next instruction starts from what the last one left.</summary>
    private void Continue() => new Span<byte>(_state->After, 512).CopyTo(new Span<byte>(_state->Before, 512));

    private Vector? Run(Instruction instruction)
    {
        Assert.True(_unit.Load(instruction), instruction.ToString());
        return _unit.Run(_state) ? null : (Vector)_unit.Context->Fault.Vector;
    }
}
