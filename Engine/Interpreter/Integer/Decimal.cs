using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>What only code of 16 and 32 bits has: DAA, DAS, AAA, AAS, AAM, AAD, BOUND. Undefined flags follow AL or are clear.</summary>
internal static unsafe class Decimal
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Daa, (in Instruction instruction, ref Op op) => new Handler(&Daa)),
        new(Mnemonic.Das, (in Instruction instruction, ref Op op) => new Handler(&Das)),
        new(Mnemonic.Aaa, (in Instruction instruction, ref Op op) => new Handler(&Aaa)),
        new(Mnemonic.Aas, (in Instruction instruction, ref Op op) => new Handler(&Aas)),
        new(Mnemonic.Aam, (in Instruction instruction, ref Op op) => new Handler(&Aam)),
        new(Mnemonic.Aad, (in Instruction instruction, ref Op op) => new Handler(&Aad)),
        new(Mnemonic.Bound, (in Instruction instruction, ref Op op) => Width.Pick<Bound>(Width.Of(instruction, 0))),
    ];

    private static bool Adjust(VcpuContext* c) => (c->FlagAux & VcpuContext.AuxAdjust) != 0;

    private static void Set(VcpuContext* c, byte al, bool carry, bool adjust)
    {
        *(byte*)&c->State.Gpr[Gpr.RAX] = al;
        LazyFlags flags = LazyFlags.With(new Word8(al), carry ? 1ul : 0, 0);
        new LazyFlags(flags.Result, flags.Aux | (adjust ? VcpuContext.AuxAdjust : 0)).Commit(c);
    }

    private static Op* Daa(VcpuContext* c, Op* op)
    {
        byte old = (byte)c->State.Gpr[Gpr.RAX];
        int al = old;
        bool adjust = (old & 15) > 9 || Adjust(c), carry = old > 0x99 || LazyFlags.Carry(c) != 0;
        if (adjust)
            al += 6;
        if (carry)
            al += 0x60;
        Set(c, (byte)al, carry, adjust);
        return op + 1;
    }

    private static Op* Das(VcpuContext* c, Op* op)
    {
        byte old = (byte)c->State.Gpr[Gpr.RAX];
        int al = old;
        bool adjust = (old & 15) > 9 || Adjust(c), high = old > 0x99 || LazyFlags.Carry(c) != 0;
        bool carry = high || (adjust && old < 6);
        if (adjust)
            al -= 6;
        if (high)
            al -= 0x60;
        Set(c, (byte)al, carry, adjust);
        return op + 1;
    }

    private static Op* Aaa(VcpuContext* c, Op* op)
    {
        ushort ax = (ushort)c->State.Gpr[Gpr.RAX];
        bool adjust = (ax & 15) > 9 || Adjust(c);
        if (adjust)
            ax += 0x106;
        SetUnpacked(c, ax, adjust);
        return op + 1;
    }

    private static Op* Aas(VcpuContext* c, Op* op)
    {
        ushort ax = (ushort)c->State.Gpr[Gpr.RAX];
        bool adjust = (ax & 15) > 9 || Adjust(c);
        if (adjust)
            ax -= 0x106;
        SetUnpacked(c, ax, adjust);
        return op + 1;
    }

    private static void SetUnpacked(VcpuContext* c, ushort ax, bool adjust)
    {
        *(ushort*)&c->State.Gpr[Gpr.RAX] = (ushort)(ax & 0xff0f);
        Set(c, (byte)(ax & 15), adjust, adjust);
    }

    private static Op* Aam(VcpuContext* c, Op* op)
    {
        byte al = (byte)c->State.Gpr[Gpr.RAX], radix = (byte)op->Immediate;
        if (radix == 0)
        {
            c->Raise(Cpu.Vector.DE);
            return null;
        }
        *(ushort*)&c->State.Gpr[Gpr.RAX] = (ushort)(al / radix << 8);
        Set(c, (byte)(al % radix), carry: false, adjust: false);
        return op + 1;
    }

    private static Op* Aad(VcpuContext* c, Op* op)
    {
        ushort ax = (ushort)c->State.Gpr[Gpr.RAX];
        *(ushort*)&c->State.Gpr[Gpr.RAX] = 0;
        Set(c, (byte)((ax & 0xff) + (ax >> 8) * (byte)op->Immediate), carry: false, adjust: false);
        return op + 1;
    }

    private readonly struct Bound : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            if (!GuestAccess.Load(c, GuestAccess.Address(c, op), out T low)
                || !GuestAccess.Load(c, GuestAccess.Address(c, op, (ulong)sizeof(T)), out T high))
                return null;
            long index = (long)LazyFlags.SignExtend(Registers.Get<T>(c, op->Dst));
            if (index < (long)LazyFlags.SignExtend(low) || index > (long)LazyFlags.SignExtend(high))
            {
                c->Raise(Cpu.Vector.BR);
                return null;
            }
            return op + 1;
        }
    }
}
