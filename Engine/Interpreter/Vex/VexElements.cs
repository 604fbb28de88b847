using System.Numerics;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>Insertion and extraction of elements, blends by a register, tests to flags, string comparisons (AVX).</summary>
internal static unsafe class VexElements
{
    public static readonly Row[] Rows =
    [
        Insertion<byte>(Mnemonic.Vpinsrb), Insertion<ushort>(Mnemonic.Vpinsrw), Insertion<uint>(Mnemonic.Vpinsrd), Insertion<ulong>(Mnemonic.Vpinsrq),
        Extraction<byte>(Mnemonic.Vpextrb), Extraction<ushort>(Mnemonic.Vpextrw), Extraction<uint>(Mnemonic.Vpextrd), Extraction<ulong>(Mnemonic.Vpextrq),
        Extraction<uint>(Mnemonic.Vextractps),
        new(Mnemonic.Vinsertps, (in Instruction instruction, ref Op op) =>
        {
            VexForm.Bind(instruction, ref op);
            if (VexForm.HasMemory(instruction))
                return new(&InsertSingle<MemorySource>);
            // The control chooses the source's lane, too.
            op.Src += (ushort)((op.Extra >> 6) * sizeof(uint));
            return new(&InsertSingle<RegisterSource>);
        }),
        Variable<sbyte>(Mnemonic.Vpblendvb), Variable<int>(Mnemonic.Vblendvps), Variable<long>(Mnemonic.Vblendvpd),
        VexRows.Of<Test<AllBits>>(Mnemonic.Vptest), VexRows.Of<Test<SingleSigns>>(Mnemonic.Vtestps), VexRows.Of<Test<DoubleSigns>>(Mnemonic.Vtestpd),
        Compare(Mnemonic.Vpcmpestri, StringCompare.Explicit), Compare(Mnemonic.Vpcmpestri64, StringCompare.Explicit | StringCompare.Wide),
        Compare(Mnemonic.Vpcmpestrm, StringCompare.Explicit | StringCompare.ToMask),
        Compare(Mnemonic.Vpcmpestrm64, StringCompare.Explicit | StringCompare.Wide | StringCompare.ToMask),
        Compare(Mnemonic.Vpcmpistri, 0), Compare(Mnemonic.Vpcmpistrm, StringCompare.ToMask),
    ];

    private static Row Insertion<T>(Mnemonic mnemonic)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        op.Extra &= (uint)(16 / sizeof(T) - 1);
        return VexForm.HasMemory(instruction) ? new(&Insert<MemorySource, T>) : new(&Insert<RegisterSource, T>);
    });

    private static Op* Insert<TSource, T>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out T value))
            return VectorState.Leave(c, op);
        Vector128<byte> result = VexForm.First(c, op).GetLower();
        ((T*)&result)[op->Extra] = value;
        return VexForm.Write(c, op, result);
    }

    private static Row Extraction<T>(Mnemonic mnemonic)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        op.Extra &= (uint)(16 / sizeof(T) - 1);
        return VexForm.HasMemory(instruction) ? new(&ExtractToMemory<T>) : new(&ExtractToRegister<T>);
    });

    private static Op* ExtractToRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        ulong value = 0;
        *(T*)&value = ((T*)((byte*)c + op->Src))[op->Extra];
        *(ulong*)((byte*)c + op->Dst) = value;
        return op + 1;
    }

    private static Op* ExtractToMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged =>
        VectorState.AvxReady(c) && GuestAccess.Store(c, GuestAccess.Address(c, op), ((T*)((byte*)c + op->Src))[op->Extra]) ? op + 1 : VectorState.Leave(c, op);

    private static Op* InsertSingle<TSource>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out uint value))
            return VectorState.Leave(c, op);
        Vector128<byte> result = VexForm.First(c, op).GetLower();
        uint* lanes = (uint*)&result;
        lanes[op->Extra >> 4 & 3] = value;
        for (int i = 0; i < 4; i++)
        {
            if ((op->Extra >> i & 1) != 0)
                lanes[i] = 0;
        }
        return VexForm.Write(c, op, result);
    }

    /// <summary>Blends whose mask is a fourth register: each element's highest bit takes the second source's.</summary>
    private static Row Variable<T>(Mnemonic mnemonic)
        where T : unmanaged, IBinaryInteger<T> => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        op.Dst = VexForm.Place(instruction, 0);
        op.Third = VexForm.Place(instruction, 1);
        op.Src = VexForm.Place(instruction, 2);
        op.Extra = VexForm.Place(instruction, 3);
        bool wide = VexForm.Is256(instruction);
        if (VexForm.HasMemory(instruction))
            return wide ? new(&Blend<MemorySource, Vex256, T>) : new(&Blend<MemorySource, Vex128, T>);
        return wide ? new(&Blend<RegisterSource, Vex256, T>) : new(&Blend<RegisterSource, Vex128, T>);
    });

    private static Op* Blend<TSource, TWidth, T>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
        where T : unmanaged, IBinaryInteger<T>
    {
        if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> second))
            return VectorState.Leave(c, op);
        Vector256<T> mask = Vector256.LessThan((*(Vector256<byte>*)((byte*)c + op->Extra)).As<byte, T>(), Vector256<T>.Zero);
        Vector256<byte> result = Vector256.ConditionalSelect(mask, second.As<byte, T>(), VexForm.First(c, op).As<byte, T>()).AsByte();
        return VexForm.Write(c, op, result.GetLower(), TWidth.Is256 ? result.GetUpper() : default);
    }

    /// <summary>Which bits a test looks at.</summary>
    private interface ITested
    {
        static abstract ulong Bits { get; }
    }

    private readonly struct AllBits : ITested
    {
        public static ulong Bits => ulong.MaxValue;
    }

    private readonly struct SingleSigns : ITested
    {
        public static ulong Bits => 0x8000_0000_8000_0000;
    }

    private readonly struct DoubleSigns : ITested
    {
        public static ulong Bits => 0x8000_0000_0000_0000;
    }

    private readonly struct Test<TBits> : IVexForms
        where TBits : struct, ITested
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

        private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth
        {
            if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> source))
                return VectorState.Leave(c, op);
            Vector256<byte> target = *(Vector256<byte>*)((byte*)c + op->Dst), bits = Vector256.Create(TBits.Bits).AsByte();
            if (!TWidth.Is256)
                (source, target) = (source.GetLower().ToVector256(), target.GetLower().ToVector256());
            source &= bits;
            c->SetArithmetic(((source & target) == default ? Rflags.ZF : 0) | ((source & ~target) == default ? Rflags.CF : 0));
            return op + 1;
        }
    }

    private static Row Compare(Mnemonic mnemonic, ulong options) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        op.Immediate = options;
        op.Third = Registers.OffsetOf(Register.XMM0);
        return VexForm.HasMemory(instruction) ? new(&CompareStrings<MemorySource>) : new(&CompareStrings<RegisterSource>);
    });

    private static Op* CompareStrings<TSource>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out Vector128<byte> second))
            return VectorState.Leave(c, op);
        if ((op->Immediate & StringCompare.ToMask) != 0)
            *(Vector128<byte>*)((byte*)c + op->Third + 16) = default;
        return StringCompare.Finish(c, op, second);
    }
}
