using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Benchmarks;

/// <summary>Kernels of x86-64-v3: AVX, AVX2 and FMA.</summary>
internal static class AvxKernels
{
    private const int Half = Kernel.DataBytes / 2;

    public static readonly Kernel[] All =
    [
        new("saxpy (AVX, FMA)", Saxpy), new("matrix 64x64 (AVX, FMA)", Matrix), new("memcpy 64 KiB (AVX)", Copy), new("dot product (AVX, FMA)", Dot),
        new("byte sums (AVX2)", Sums),
    ];

    /// <summary>y = a * x + y over 4096 floats, eight at a time.</summary>
    private static void Saxpy(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(eax, 0x3f800001);
        a.vmovd(xmm2, eax);
        a.vbroadcastss(ymm2, xmm2);
        a.lea(rdi, __[rbx + Half]);
        a.xor(eax, eax);
        a.Label(ref top);
        a.vmovups(ymm0, __ymmword_ptr[rbx + rax]);
        a.vfmadd213ps(ymm0, ymm2, __ymmword_ptr[rdi + rax]);
        a.vmovups(__ymmword_ptr[rdi + rax], ymm0);
        a.add(rax, 32);
        a.cmp(rax, 4096 * 4);
        a.jne(top);
        a.vzeroupper();
    }

    /// <summary>c = a * b, doubles: eight columns of a row in registers while the inner index runs.</summary>
    private static void Matrix(Assembler a)
    {
        const int Row = 64 * 8;
        Label i = a.CreateLabel(), j = a.CreateLabel(), k = a.CreateLabel();
        a.mov(rsi, rbx);
        a.lea(rdi, __[rbx + Half]);
        a.mov(r12d, 64);
        a.Label(ref i);
        a.xor(eax, eax);
        a.Label(ref j);
        a.vxorpd(ymm0, ymm0, ymm0);
        a.vxorpd(ymm1, ymm1, ymm1);
        a.lea(rdx, __[rbx + rax + 64 * Row]);
        a.xor(ecx, ecx);
        a.Label(ref k);
        a.vbroadcastsd(ymm2, __qword_ptr[rsi + rcx * 8]);
        a.vfmadd231pd(ymm0, ymm2, __ymmword_ptr[rdx]);
        a.vfmadd231pd(ymm1, ymm2, __ymmword_ptr[rdx + 32]);
        a.add(rdx, Row);
        a.inc(ecx);
        a.cmp(ecx, 64);
        a.jne(k);
        a.vmovupd(__ymmword_ptr[rdi + rax], ymm0);
        a.vmovupd(__ymmword_ptr[rdi + rax + 32], ymm1);
        a.add(rax, 64);
        a.cmp(rax, Row);
        a.jne(j);
        a.add(rsi, Row);
        a.add(rdi, Row);
        a.dec(r12d);
        a.jnz(i);
        a.vzeroupper();
    }

    /// <summary>64 KiB, 128 bytes at a time.</summary>
    private static void Copy(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(rsi, rbx);
        a.lea(rdi, __[rbx + Half]);
        a.mov(ecx, 512);
        a.Label(ref top);
        a.vmovdqu(ymm0, __ymmword_ptr[rsi]);
        a.vmovdqu(ymm1, __ymmword_ptr[rsi + 32]);
        a.vmovdqu(ymm2, __ymmword_ptr[rsi + 64]);
        a.vmovdqu(ymm3, __ymmword_ptr[rsi + 96]);
        a.vmovdqu(__ymmword_ptr[rdi], ymm0);
        a.vmovdqu(__ymmword_ptr[rdi + 32], ymm1);
        a.vmovdqu(__ymmword_ptr[rdi + 64], ymm2);
        a.vmovdqu(__ymmword_ptr[rdi + 96], ymm3);
        a.sub(rsi, -128);
        a.sub(rdi, -128);
        a.dec(ecx);
        a.jnz(top);
        a.vzeroupper();
    }

    /// <summary>The sum of products of 2048 doubles, in four accumulators.</summary>
    private static void Dot(Assembler a)
    {
        Label top = a.CreateLabel();
        a.lea(rdi, __[rbx + 0x1_0000]);
        a.vxorpd(ymm0, ymm0, ymm0);
        a.vxorpd(ymm1, ymm1, ymm1);
        a.vxorpd(ymm2, ymm2, ymm2);
        a.vxorpd(ymm3, ymm3, ymm3);
        a.xor(eax, eax);
        a.Label(ref top);
        AssemblerRegisterYMM[] sums = [ymm0, ymm1, ymm2, ymm3];
        for (int i = 0; i < 4; i++)
        {
            a.vmovupd(ymm4, __ymmword_ptr[rbx + rax + i * 32]);
            a.vfmadd231pd(sums[i], ymm4, __ymmword_ptr[rdi + rax + i * 32]);
        }
        a.sub(rax, -128);
        a.cmp(rax, 2048 * 8);
        a.jne(top);
        a.vaddpd(ymm0, ymm0, ymm1);
        a.vaddpd(ymm2, ymm2, ymm3);
        a.vaddpd(ymm0, ymm0, ymm2);
        a.vmovupd(__ymmword_ptr[rbx + Half], ymm0);
        a.vzeroupper();
    }

    /// <summary>Sums of absolute differences of 16 KiB of bytes and zero.</summary>
    private static void Sums(Assembler a)
    {
        Label top = a.CreateLabel();
        a.vpxor(ymm0, ymm0, ymm0);
        a.vpxor(ymm1, ymm1, ymm1);
        a.xor(eax, eax);
        a.Label(ref top);
        a.vpsadbw(ymm2, ymm0, __ymmword_ptr[rbx + rax]);
        a.vpaddq(ymm1, ymm1, ymm2);
        a.add(rax, 32);
        a.cmp(rax, 0x4000);
        a.jne(top);
        a.vmovdqu(__ymmword_ptr[rbx + Half], ymm1);
        a.vzeroupper();
    }
}
