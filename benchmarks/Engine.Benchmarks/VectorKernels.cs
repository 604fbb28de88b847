using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Benchmarks;

/// <summary>Vector and floating-point kernels as compilers write them.</summary>
internal static class VectorKernels
{
    private const int Half = Kernel.DataBytes / 2;

    public static readonly Kernel[] All =
    [
        new("saxpy (SSE)", Saxpy), new("matrix 64x64 (SSE2)", Matrix), new("mandelbrot (SSE2)", Mandelbrot), new("sqrt and divide (SSE2)", Roots),
        new("memcpy 64 KiB (SSE2)", Copy), new("strlen 4 KiB (SSE2)", Length), new("polynomial (SSE2)", Polynomial),
    ];

    /// <summary>y = a * x + y over 4096 floats.</summary>
    private static void Saxpy(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(eax, 0x3f800001);
        a.movd(xmm2, eax);
        a.shufps(xmm2, xmm2, 0);
        a.lea(rdi, __[rbx + Half]);
        a.xor(eax, eax);
        a.Label(ref top);
        a.movups(xmm0, __xmmword_ptr[rbx + rax]);
        a.mulps(xmm0, xmm2);
        a.movups(xmm1, __xmmword_ptr[rdi + rax]);
        a.addps(xmm0, xmm1);
        a.movups(__xmmword_ptr[rdi + rax], xmm0);
        a.add(rax, 16);
        a.cmp(rax, 4096 * 4);
        a.jne(top);
    }

    /// <summary>c = a * b, doubles, the innermost loop over a row.</summary>
    private static void Matrix(Assembler a)
    {
        const int Row = 64 * 8;
        Label i = a.CreateLabel(), clear = a.CreateLabel(), k = a.CreateLabel(), j = a.CreateLabel();
        a.mov(rsi, rbx);
        a.lea(rdi, __[rbx + Half]);
        a.mov(r12d, 64);
        a.Label(ref i);
        a.xorps(xmm0, xmm0);
        a.xor(eax, eax);
        a.Label(ref clear);
        a.movaps(__xmmword_ptr[rdi + rax], xmm0);
        a.add(rax, 16);
        a.cmp(rax, Row);
        a.jne(clear);
        a.lea(rdx, __[rbx + 64 * Row]);
        a.xor(ecx, ecx);
        a.Label(ref k);
        a.movsd(xmm2, __qword_ptr[rsi + rcx * 8]);
        a.unpcklpd(xmm2, xmm2);
        a.xor(eax, eax);
        a.Label(ref j);
        a.movapd(xmm0, __xmmword_ptr[rdx + rax]);
        a.mulpd(xmm0, xmm2);
        a.addpd(xmm0, __xmmword_ptr[rdi + rax]);
        a.movaps(__xmmword_ptr[rdi + rax], xmm0);
        a.movapd(xmm1, __xmmword_ptr[rdx + rax + 16]);
        a.mulpd(xmm1, xmm2);
        a.addpd(xmm1, __xmmword_ptr[rdi + rax + 16]);
        a.movaps(__xmmword_ptr[rdi + rax + 16], xmm1);
        a.add(rax, 32);
        a.cmp(rax, Row);
        a.jne(j);
        a.add(rdx, Row);
        a.inc(ecx);
        a.cmp(ecx, 64);
        a.jne(k);
        a.add(rsi, Row);
        a.add(rdi, Row);
        a.dec(r12d);
        a.jnz(i);
    }

    /// <summary>The iterations of 64 points, at most 256 each.</summary>
    private static void Mandelbrot(Assembler a)
    {
        Label point = a.CreateLabel(), iterate = a.CreateLabel(), outside = a.CreateLabel();
        a.lea(rdi, __[rbx + Half]);
        a.mov(eax, 4);
        a.cvtsi2sd(xmm7, eax);
        a.xor(ecx, ecx);
        a.Label(ref point);
        // c = (point / 32 - 1.5, 0.3)
        a.cvtsi2sd(xmm0, ecx);
        a.mov(eax, 32);
        a.cvtsi2sd(xmm1, eax);
        a.divsd(xmm0, xmm1);
        a.mov(rax, BitConverter.DoubleToInt64Bits(1.5));
        a.movq(xmm1, rax);
        a.subsd(xmm0, xmm1);
        a.mov(rax, BitConverter.DoubleToInt64Bits(0.3));
        a.movq(xmm1, rax);
        a.xorps(xmm2, xmm2);
        a.xorps(xmm3, xmm3);
        a.xor(edx, edx);
        a.Label(ref iterate);
        a.movapd(xmm4, xmm2);
        a.mulsd(xmm4, xmm4);
        a.movapd(xmm5, xmm3);
        a.mulsd(xmm5, xmm5);
        a.movapd(xmm6, xmm4);
        a.addsd(xmm6, xmm5);
        a.ucomisd(xmm6, xmm7);
        a.ja(outside);
        a.mulsd(xmm3, xmm2);
        a.addsd(xmm3, xmm3);
        a.addsd(xmm3, xmm1);
        a.subsd(xmm4, xmm5);
        a.addsd(xmm4, xmm0);
        a.movapd(xmm2, xmm4);
        a.inc(edx);
        a.cmp(edx, 256);
        a.jne(iterate);
        a.Label(ref outside);
        a.mov(__dword_ptr[rdi + rcx * 4], edx);
        a.inc(ecx);
        a.cmp(ecx, 64);
        a.jne(point);
    }

    /// <summary>The sum of sqrt(x) / (x + 1) over 1024 doubles.</summary>
    private static void Roots(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(eax, 1);
        a.cvtsi2sd(xmm3, eax);
        a.xorps(xmm0, xmm0);
        a.xor(eax, eax);
        a.Label(ref top);
        a.movsd(xmm1, __qword_ptr[rbx + rax]);
        a.sqrtsd(xmm2, xmm1);
        a.addsd(xmm1, xmm3);
        a.divsd(xmm2, xmm1);
        a.addsd(xmm0, xmm2);
        a.add(rax, 8);
        a.cmp(rax, 8192);
        a.jne(top);
        a.movsd(__qword_ptr[rbx + Half], xmm0);
    }

    /// <summary>64 KiB, 64 bytes at a time.</summary>
    private static void Copy(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(rsi, rbx);
        a.lea(rdi, __[rbx + Half]);
        a.mov(ecx, 1024);
        a.Label(ref top);
        a.movdqu(xmm0, __xmmword_ptr[rsi]);
        a.movdqu(xmm1, __xmmword_ptr[rsi + 16]);
        a.movdqu(xmm2, __xmmword_ptr[rsi + 32]);
        a.movdqu(xmm3, __xmmword_ptr[rsi + 48]);
        a.movdqu(__xmmword_ptr[rdi], xmm0);
        a.movdqu(__xmmword_ptr[rdi + 16], xmm1);
        a.movdqu(__xmmword_ptr[rdi + 32], xmm2);
        a.movdqu(__xmmword_ptr[rdi + 48], xmm3);
        a.add(rsi, 64);
        a.add(rdi, 64);
        a.dec(ecx);
        a.jnz(top);
    }

    /// <summary>The first zero among 4 KiB of bytes that are not, 16 at a time.</summary>
    private static void Length(Assembler a)
    {
        Label fill = a.CreateLabel(), top = a.CreateLabel();
        a.lea(rdi, __[rbx + Half]);
        a.mov(__byte_ptr[rdi + 4095], 0);
        a.pcmpeqd(xmm2, xmm2);
        a.xor(eax, eax);
        a.Label(ref fill);
        a.movdqa(__xmmword_ptr[rdi + rax], xmm2);
        a.add(rax, 16);
        a.cmp(rax, 4080);
        a.jne(fill);
        a.pxor(xmm0, xmm0);
        a.xor(eax, eax);
        a.Label(ref top);
        a.movdqa(xmm1, __xmmword_ptr[rdi + rax]);
        a.pcmpeqb(xmm1, xmm0);
        a.pmovmskb(edx, xmm1);
        a.add(rax, 16);
        a.test(edx, edx);
        a.jz(top);
        a.mov(__dword_ptr[rdi + 8192], eax);
    }

    /// <summary>A polynomial of degree 6 at 1024 doubles, its coefficients in memory.</summary>
    private static void Polynomial(Assembler a)
    {
        Label top = a.CreateLabel();
        a.lea(rdi, __[rbx + Half]);
        a.xor(eax, eax);
        a.Label(ref top);
        a.movsd(xmm0, __qword_ptr[rbx + rax]);
        a.movsd(xmm1, __qword_ptr[rbx]);
        for (int i = 1; i <= 6; i++)
        {
            a.mulsd(xmm1, xmm0);
            a.addsd(xmm1, __qword_ptr[rbx + i * 8]);
        }
        a.movsd(__qword_ptr[rdi + rax], xmm1);
        a.add(rax, 8);
        a.cmp(rax, 8192);
        a.jne(top);
    }
}
