using System.Numerics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>A condition of Jcc, SETcc and CMOVcc (SDM 2A, appendix B.1.4.7).</summary>
internal unsafe interface ICondition
{
    static abstract bool Holds(VcpuContext* c);
}

/// <summary>Instructions that exist for each condition.</summary>
internal interface IConditionFamily
{
    static abstract Mnemonic Of(ConditionCode code);

    static abstract Handler Select<TCondition>(in Instruction instruction, ref Op op)
        where TCondition : ICondition;
}

/// <summary>The sixteen conditions on lazy flags.</summary>
internal static unsafe class Conditions
{
    public static Row[] Rows<TFamily>()
        where TFamily : IConditionFamily =>
    [
        new(TFamily.Of(ConditionCode.o), TFamily.Select<Overflow>),
        new(TFamily.Of(ConditionCode.no), TFamily.Select<Not<Overflow>>),
        new(TFamily.Of(ConditionCode.b), TFamily.Select<Below>),
        new(TFamily.Of(ConditionCode.ae), TFamily.Select<Not<Below>>),
        new(TFamily.Of(ConditionCode.e), TFamily.Select<Equal>),
        new(TFamily.Of(ConditionCode.ne), TFamily.Select<Not<Equal>>),
        new(TFamily.Of(ConditionCode.be), TFamily.Select<BelowOrEqual>),
        new(TFamily.Of(ConditionCode.a), TFamily.Select<Not<BelowOrEqual>>),
        new(TFamily.Of(ConditionCode.s), TFamily.Select<Sign>),
        new(TFamily.Of(ConditionCode.ns), TFamily.Select<Not<Sign>>),
        new(TFamily.Of(ConditionCode.p), TFamily.Select<Parity>),
        new(TFamily.Of(ConditionCode.np), TFamily.Select<Not<Parity>>),
        new(TFamily.Of(ConditionCode.l), TFamily.Select<Less>),
        new(TFamily.Of(ConditionCode.ge), TFamily.Select<Not<Less>>),
        new(TFamily.Of(ConditionCode.le), TFamily.Select<LessOrEqual>),
        new(TFamily.Of(ConditionCode.g), TFamily.Select<Not<LessOrEqual>>),
    ];

    private readonly struct Not<TCondition> : ICondition
        where TCondition : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => !TCondition.Holds(c);
    }

    private readonly struct Overflow : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => ((c->FlagAux ^ (c->FlagAux << 1)) & VcpuContext.AuxCarry) != 0;
    }

    private readonly struct Below : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => (int)c->FlagAux < 0;
    }

    private readonly struct Equal : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => c->FlagResult == 0;
    }

    private readonly struct BelowOrEqual : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => (int)c->FlagAux < 0 || c->FlagResult == 0;
    }

    private readonly struct Sign : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => SignBit(c) != 0;
    }

    private readonly struct Parity : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) =>
            (BitOperations.PopCount((byte)c->FlagResult ^ ((c->FlagAux >> 8) & 0xff)) & 1) == 0;
    }

    private readonly struct Less : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => (SignBit(c) ^ OverflowBit(c)) != 0;
    }

    private readonly struct LessOrEqual : ICondition
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Holds(VcpuContext* c) => c->FlagResult == 0 || Less.Holds(c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint SignBit(VcpuContext* c) => (uint)(c->FlagResult >> 63) ^ (c->FlagAux & VcpuContext.AuxSignInvert);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint OverflowBit(VcpuContext* c) => (c->FlagAux ^ (c->FlagAux << 1)) >> 31;
}
