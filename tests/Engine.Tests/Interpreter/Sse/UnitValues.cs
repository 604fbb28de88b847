namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Random states rich in the values at which floating-point and saturating instructions change their ways.</summary>
internal static unsafe class UnitValues
{
    private static readonly uint[] s_singles =
    [
        0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x7f800001, 0xffa00000,
        0x7fffffff, 1, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000, 0x00800001, 0x80800000, 0x7f7fffff, 0xff7fffff,
        0x4f000000, 0xcf000000, 0x4effffff, 0x5f000000, 0xdf000000, 0x5effffff, 0x3f000000, 0x3effffff, 0x3f7fffff, 0x40490fdb,
        0x4b000000, 0x4b7fffff, 0x3fc00000, 0xbf000000, 0x20000000, 0x1f800000, 0x5f7fffff, 0x64000000, 0x00400000,
    ];

    private static readonly ulong[] s_doubles =
    [
        0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000,
        0x7ff8000000000000, 0xfff8000000000000, 0x7ff0000000000001, 0xfff4000000000000, 0x7fffffffffffffff, 1, 0x8000000000000001,
        0x000fffffffffffff, 0x800fffffffffffff, 0x0010000000000000, 0x0010000000000001, 0x8010000000000000, 0x7fefffffffffffff,
        0xffefffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000000000, 0xc1e0000000200000, 0x43e0000000000000,
        0xc3e0000000000000, 0x43dfffffffffffff, 0x3fe0000000000000, 0x3fdfffffffffffff, 0x3fefffffffffffff, 0x400921fb54442d18,
        0x4330000000000000, 0x433fffffffffffff, 0x3ff8000000000000, 0xbfe0000000000000, 0x47efffffe0000000, 0x47efffffefffffff,
        0x47f0000000000000, 0x36a0000000000000, 0x3690000000000000, 0x3810000000000000, 0x380fffffffffffff, 0x380ffffff0000000,
        0x3fefffffe0000000, 0x3ff0000010000000, 0x2000000000000000, 0x1ff0000000000000, 0x5fe0000000000000,
    ];

    public static ulong Single(Random random) => random.Next(8) switch
    {
        0 or 1 or 2 => s_singles[random.Next(s_singles.Length)],
        3 => s_singles[random.Next(s_singles.Length)] + (uint)random.Next(-2, 3),
        4 => BitConverter.SingleToUInt32Bits(random.Next(-1000, 1000)),
        5 => BitConverter.SingleToUInt32Bits((float)(random.NextDouble() * 4 - 2)),
        6 => ((uint)random.Next(100, 155) << 23) | (uint)random.Next(1 << 23) | ((uint)random.Next(2) << 31),
        _ => (uint)random.NextInt64(1L << 32),
    } & 0xffffffff;

    public static ulong Double(Random random) => random.Next(8) switch
    {
        0 or 1 or 2 => s_doubles[random.Next(s_doubles.Length)],
        3 => s_doubles[random.Next(s_doubles.Length)] + (ulong)random.Next(-2, 3),
        4 => BitConverter.DoubleToUInt64Bits(random.Next(-1000, 1000)),
        5 => BitConverter.DoubleToUInt64Bits(random.NextDouble() * 4 - 2),
        6 => (ulong)random.Next(900, 1150) << 52 | (ulong)random.NextInt64(1L << 52) | (ulong)random.Next(2) << 63,
        _ => Bits(random),
    };

    public static ulong Bits(Random random)
    {
        Span<byte> bytes = stackalloc byte[8];
        random.NextBytes(bytes);
        return BitConverter.ToUInt64(bytes);
    }

    /// <summary>Eight bytes: random, two singles, a double, small numbers, or saturation limits.</summary>
    public static ulong Quad(Random random) => random.Next(8) switch
    {
        0 or 1 => Bits(random),
        2 or 3 => Single(random) | Single(random) << 32,
        4 or 5 => Double(random),
        6 => (ulong)random.NextInt64(-70, 70),
        _ => 0x7f80_8000_7fff_ff01ul ^ (ulong)random.Next(2) * 0x80ff_ff7f_0001_8000ul,
    };

    /// <summary>Fills registers, operand and control words; all SSE exceptions masked.</summary>
    public static void Fill(UnitState* state, Random random)
    {
        new Span<byte>(state, sizeof(UnitState)).Clear();
        byte* image = state->Before;
        *(ushort*)image = (ushort)(0x7f | (uint)random.Next(16) << 8);
        if ((*(ushort*)image & 0x300) == 0x100)
            *(ushort*)image |= 0x200;
        // x87 exceptions wait for the next waiting instruction, which the stub does not have: they may be unmasked, but
        // none may wait when the instruction starts.
        if (random.Next(2) == 0)
            *(ushort*)image &= (ushort)(0xffc0 | random.Next(64));
        int flags = random.Next(2) == 0 ? 0 : random.Next(64) & *(ushort*)image;
        *(ushort*)(image + 2) = (ushort)(flags | random.Next(8) << 11 | ((random.Next(256) << 8) & 0x4700));
        image[4] = random.Next(4) == 0 ? (byte)random.Next(256) : (byte)0xff;
        uint mxcsr = 0x1f80 | (uint)(random.Next(2) == 0 ? 0 : random.Next(64));
        if (random.Next(2) == 0)
            mxcsr |= (uint)random.Next(4) << 13;
        if (random.Next(4) == 0)
            mxcsr |= (uint)random.Next(4) switch { 0 => 0x8000u, 1 => 0x40u, 2 => 0x8040u, _ => 0u };
        *(uint*)(image + 24) = mxcsr;
        for (int i = 0; i < 8; i++)
        {
            (ulong significand, ushort exponent) = Extended(random);
            *(ulong*)(image + 32 + 16 * i) = significand;
            *(ushort*)(image + 40 + 16 * i) = exponent;
        }
        // Some vectors repeat earlier lanes, so that comparisons and cancellations meet equal numbers.
        for (int i = 0; i < 32; i++)
            *(ulong*)(image + 160 + 8 * i) = i > 1 && random.Next(5) == 0 ? *(ulong*)(image + 160 + 8 * random.Next(i)) : Quad(random);
        for (int i = 0; i < 32; i++)
            *(ulong*)(state->BeforeUpper + 8 * i) = random.Next(5) == 0 ? *(ulong*)(image + 160 + 8 * random.Next(32)) : Quad(random);
        for (int i = 0; i < 4; i++)
            state->General[i] = Quad(random);
        for (int i = 0; i < UnitState.MemorySize / 8; i++)
            ((ulong*)state->Operand)[i] = i < 2 && random.Next(5) == 0 ? *(ulong*)(image + 160 + 8 * random.Next(32)) : Quad(random);
    }

    /// <summary>An 80-bit number: any class, pseudo-denormals and unsupported encodings included.</summary>
    public static (ulong Significand, ushort Exponent) Extended(Random random)
    {
        uint sign = (uint)random.Next(2) << 15;
        ulong significand = random.Next(6) switch
        {
            0 => 0x8000000000000000,
            1 => 0xffffffffffffffff,
            3 => 0x8000000000000000 + (ulong)random.Next(1 << random.Next(1, 30)),
            4 => 0xffffffffffffffff - (ulong)random.Next(1 << random.Next(1, 30)),
            2 => 0x8000000000000000 | (ulong)random.Next(4096) << 52,
            _ => Bits(random) | 0x8000000000000000,
        };
        return random.Next(16) switch
        {
            0 => (0, (ushort)sign),
            1 => (significand >> 1 | 1, (ushort)sign),
            2 => (0x8000000000000000, (ushort)(sign | 0x7fff)),
            3 => (significand | 0x4000000000000000 | (uint)random.Next(3), (ushort)(sign | 0x7fff)),
            4 => (significand & ~0x4000000000000000ul | 1, (ushort)(sign | 0x7fff)),
            5 => (significand, (ushort)sign),
            6 => (random.Next(4) == 0 ? Bits(random) >> 1 : significand, (ushort)(sign + random.Next(0x7ffe))),
            7 => (significand, (ushort)(sign + 0x7ffe - random.Next(70))),
            8 => (significand, (ushort)(sign + 1 + random.Next(70))),
            9 => (significand, (ushort)(sign + 0x3fff + random.Next(70))),
            _ => (significand, (ushort)(sign + 0x3fff + random.Next(-5, 12))),
        };
    }
}
