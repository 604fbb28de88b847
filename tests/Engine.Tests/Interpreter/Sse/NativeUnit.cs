using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Host;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>
/// What one vector or x87 instruction reads and writes: an FXSAVE image and the upper halves of the YMM registers before
/// and after, four general registers, flags, and a memory operand. Laid out for the stub that runs the instruction on the host.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 4096)]
internal unsafe struct UnitState
{
    public const int BeforeImage = 0, AfterImage = 512, HostImage = 1024, Registers = 1536, Flags = 1600, Memory = 2048, MemorySize = 1024,
        BeforeHalves = 3072, AfterHalves = 3328;

    [FieldOffset(BeforeImage)]
    public fixed byte Before[512];

    [FieldOffset(AfterImage)]
    public fixed byte After[512];

    /// <summary>The upper halves of YMM0 to YMM15; on hosts without AVX they are left alone.</summary>
    [FieldOffset(BeforeHalves)]
    public fixed byte BeforeUpper[256];

    [FieldOffset(AfterHalves)]
    public fixed byte AfterUpper[256];

    /// <summary>RAX, RCX, RDX, RBX: in and out.</summary>
    [FieldOffset(Registers)]
    public fixed ulong General[4];

    /// <summary>RFLAGS after.</summary>
    [FieldOffset(Flags)]
    public ulong Rflags;

    /// <summary>The memory operand; RSI holds its address.</summary>
    [FieldOffset(Memory)]
    public fixed byte Operand[MemorySize];
}

/// <summary>Runs single vector and x87 instructions on the host's processor. They must not fault: SSE exceptions are masked, and no x87 exception waits.</summary>
internal sealed unsafe class NativeUnit : IDisposable
{
    private const int CodeSize = 4096;
    private readonly byte* _code;

    public NativeUnit()
    {
        _code = (byte*)Native.Mmap(null, CodeSize, Native.PROT_READ | Native.PROT_WRITE | Native.PROT_EXEC,
            Native.MAP_PRIVATE | Native.MAP_ANONYMOUS, -1, 0);
        if (_code == (byte*)-1)
            throw new InvalidOperationException("no executable memory for native instructions");
    }

    /// <summary>Puts the instruction into the stub.</summary>
    public void Load(Instruction instruction)
    {
        var assembler = new Assembler(64);
        assembler.push(rbx);
        assembler.push(rdi);
        assembler.push(rsi);
        assembler.fxsave64(__[rdi + UnitState.HostImage]);
        assembler.fxrstor64(__[rdi + UnitState.BeforeImage]);
        for (int i = 0; Avx.IsSupported && i < 16; i++)
        {
            var half = new MemoryOperand(Register.RDI, UnitState.BeforeHalves + 16 * i, 8);
            assembler.AddInstruction(Instruction.Create(Code.VEX_Vinsertf128_ymm_ymm_xmmm128_imm8, Register.YMM0 + i, Register.YMM0 + i, half, 1));
        }
        assembler.lea(rsi, __[rdi + UnitState.Memory]);
        assembler.mov(rax, __qword_ptr[rdi + UnitState.Registers]);
        assembler.mov(rcx, __qword_ptr[rdi + UnitState.Registers + 8]);
        assembler.mov(rdx, __qword_ptr[rdi + UnitState.Registers + 16]);
        assembler.mov(rbx, __qword_ptr[rdi + UnitState.Registers + 24]);
        assembler.push(0x202);
        assembler.popfq();
        bool implicitRdi = instruction.Op0Kind == OpKind.MemorySegRDI;
        if (implicitRdi)
            assembler.xchg(rdi, rsi);
        assembler.AddInstruction(instruction);
        if (implicitRdi)
            assembler.xchg(rdi, rsi);
        assembler.mov(rdi, __qword_ptr[rsp + 8]);
        assembler.mov(__qword_ptr[rdi + UnitState.Registers], rax);
        assembler.mov(__qword_ptr[rdi + UnitState.Registers + 8], rcx);
        assembler.mov(__qword_ptr[rdi + UnitState.Registers + 16], rdx);
        assembler.mov(__qword_ptr[rdi + UnitState.Registers + 24], rbx);
        assembler.pushfq();
        assembler.pop(rax);
        assembler.mov(__qword_ptr[rdi + UnitState.Flags], rax);
        assembler.fxsave64(__[rdi + UnitState.AfterImage]);
        for (int i = 0; Avx.IsSupported && i < 16; i++)
        {
            var half = new MemoryOperand(Register.RDI, UnitState.AfterHalves + 16 * i, 8);
            assembler.AddInstruction(Instruction.Create(Code.VEX_Vextractf128_xmmm128_ymm_imm8, half, Register.YMM0 + i, 1));
        }
        if (Avx.IsSupported)
            assembler.vzeroupper();
        assembler.fnclex();
        assembler.fxrstor64(__[rdi + UnitState.HostImage]);
        assembler.pop(rsi);
        assembler.pop(rdi);
        assembler.pop(rbx);
        assembler.ret();
        using var stream = new MemoryStream();
        assembler.Assemble(new StreamCodeWriter(stream), (ulong)_code);
        stream.ToArray().CopyTo(new Span<byte>(_code, CodeSize));
    }

    /// <summary>Runs the loaded instruction; the state must lie on a 16-byte boundary.</summary>
    public void Run(UnitState* state) => ((delegate* unmanaged<UnitState*, void>)_code)(state);

    public void Dispose() => _ = Native.Munmap(_code, CodeSize);
}
