using System.Runtime.InteropServices;
using Godwit.Engine.Host;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Benchmarks;

/// <summary>A kernel on the host's processor itself.</summary>
internal sealed unsafe class NativeKernel : IDisposable
{
    private readonly CodeMapping _code = new(0x1_0000);
    private readonly byte* _data = (byte*)NativeMemory.AlignedAlloc(Kernel.DataBytes + 4096, 4096);

    public NativeKernel(Kernel kernel)
    {
        Assembler a = new(64);
        foreach (AssemblerRegister64 register in Saved)
            a.push(register);
        a.mov(rbx, rdi);
        kernel.WriteAll(a, a =>
        {
            foreach (AssemblerRegister64 register in Saved.Reverse())
                a.pop(register);
            a.ret();
        });
        MemoryStream code = new();
        a.Assemble(new StreamCodeWriter(code), (ulong)_code.Executable);
        code.ToArray().CopyTo(new Span<byte>(_code.Writable, (int)_code.Size));
        Kernel.Data().CopyTo(new Span<byte>(_data, Kernel.DataBytes));
    }

    public void Run(long rounds)
    {
        *(long*)(_data + Kernel.Rounds) = rounds;
        ((delegate* unmanaged<byte*, void>)_code.Executable)(_data);
    }

    /// <summary>The data after the rounds, to compare.</summary>
    public ReadOnlySpan<byte> Result => new(_data, Kernel.DataBytes);

    public void Dispose()
    {
        NativeMemory.AlignedFree(_data);
        _code.Dispose();
    }

    private static AssemblerRegister64[] Saved => [rbx, rbp, r12, r13, r14, r15];
}
