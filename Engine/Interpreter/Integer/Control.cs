using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>Near branches: Jcc, JMP, CALL, RET, LOOPcc, JrCXZ; and SETcc. Far forms are the system family's.</summary>
internal static unsafe class Control
{
    public static Row[] Rows { get; } =
    [
        .. Conditions.Rows<ConditionalJumps>(),
        .. Conditions.Rows<ConditionalSets>(),
        new(Mnemonic.Jmp, SelectJmp),
        new(Mnemonic.Call, SelectCall),
        new(Mnemonic.Ret, SelectRet),
        new(Mnemonic.Loop, SelectLoop<Always>),
        new(Mnemonic.Loope, SelectLoop<WhenZero>),
        new(Mnemonic.Loopne, SelectLoop<WhenNotZero>),
        new(Mnemonic.Jcxz, SelectCountZero),
        new(Mnemonic.Jecxz, SelectCountZero),
        new(Mnemonic.Jrcxz, SelectCountZero),
    ];

    /// <summary>The flag part of LOOPcc.</summary>
    private interface ILoopCondition
    {
        static abstract bool Holds(VcpuContext* c);
    }

    private static Handler SelectJmp(in Instruction instruction, ref Op op)
    {
        if (instruction.IsJmpShortOrNear)
        {
            op.Flags |= (byte)OpFlags.Branch;
            return new Handler(&Jump);
        }
        if (!instruction.IsJmpNearIndirect)
            return default;
        int size = Width.Of(instruction, 0);
        return Width.IsMemory(instruction, 0) ? Width.Pick<IndirectJump<MemorySource>>(size) : Width.Pick<IndirectJump<FirstRegister>>(size);
    }

    private static Handler SelectCall(in Instruction instruction, ref Op op)
    {
        if (instruction.IsCallNear)
        {
            op.Flags |= (byte)OpFlags.Branch;
            // The size that is pushed is the branch's operand size.
            return StackForms.Pick<DirectCall>(instruction.Op0Kind switch
            {
                OpKind.NearBranch16 => 2,
                OpKind.NearBranch32 => 4,
                _ => 8,
            }, op);
        }
        if (!instruction.IsCallNearIndirect)
            return default;
        int size = Width.Of(instruction, 0);
        return Width.IsMemory(instruction, 0)
            ? StackForms.Pick<IndirectCall<MemorySource>>(size, op)
            : StackForms.Pick<IndirectCall<FirstRegister>>(size, op);
    }

    private static Handler SelectRet(in Instruction instruction, ref Op op) =>
        StackForms.Pick<Return>(instruction.OpCode.OperandSize / 8, op);

    private static Handler SelectLoop<TCondition>(in Instruction instruction, ref Op op)
        where TCondition : ILoopCondition
    {
        op.Flags |= (byte)OpFlags.Branch;
        return Width.Pick<LoopOn<TCondition>>(instruction.OpCode.AddressSize / 8);
    }

    private static Handler SelectCountZero(in Instruction instruction, ref Op op)
    {
        op.Flags |= (byte)OpFlags.Branch;
        return Width.Pick<CountZero>(instruction.Mnemonic switch
        {
            Mnemonic.Jcxz => 2,
            Mnemonic.Jecxz => 4,
            _ => 8,
        });
    }

    /// <summary>Goes to a direct branch's target.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Taken(VcpuContext* c, Op* op)
    {
        if (op->Link != null)
            return Block.Enter(c, (Block*)op->Link);
        return JumpCache.Jump(c, op->Immediate);
    }

    /// <summary>Goes on after a direct branch, which is the last op of its block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* NotTaken(VcpuContext* c, Op* op)
    {
        if (op->Displacement != 0)
            return Block.Enter(c, (Block*)op->Displacement);
        return op + 1;
    }

    /// <summary>Goes to a target from a register or from memory; false: it is not canonical, and the fault is recorded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool CheckTarget<T>(VcpuContext* c, ulong target)
        where T : unmanaged
    {
        if (sizeof(T) == 8 && !Paging.IsCanonical(target))
            return c->Raise(Cpu.Vector.GP, 0);
        return true;
    }

    private static Op* Jump(VcpuContext* c, Op* op) => Taken(c, op);

    private readonly struct IndirectJump<TSource> : IByWidth
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            if (!TSource.Read(c, op, out T raw))
                return null;
            ulong target = ShiftForms.Extend(raw);
            if (!CheckTarget<T>(c, target))
                return null;
            return JumpCache.Jump(c, target);
        }
    }

    private readonly struct DirectCall : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong next = op->NextRip;
            if (!StackForms.Push<T, TStack>(c, *(T*)&next))
                return null;
            return Taken(c, op);
        }
    }

    private readonly struct IndirectCall<TSource> : IByStack
        where TSource : ISource
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            if (!TSource.Read(c, op, out T raw))
                return null;
            ulong target = ShiftForms.Extend(raw);
            if (!CheckTarget<T>(c, target))
                return null;
            ulong next = op->NextRip;
            if (!StackForms.Push<T, TStack>(c, *(T*)&next))
                return null;
            return JumpCache.Jump(c, target);
        }
    }

    private readonly struct Return : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong sp = TStack.Get(c);
            if (!GuestAccess.Load(c, TStack.Address(c, sp), out T raw))
                return null;
            ulong target = ShiftForms.Extend(raw);
            if (!CheckTarget<T>(c, target))
                return null;
            TStack.Set(c, sp + (ulong)sizeof(T) + op->Immediate);
            return JumpCache.Jump(c, target);
        }
    }

    private readonly struct ConditionalJumps : IConditionFamily
    {
        public static Mnemonic Of(ConditionCode code) => code switch
        {
            ConditionCode.o => Mnemonic.Jo,
            ConditionCode.no => Mnemonic.Jno,
            ConditionCode.b => Mnemonic.Jb,
            ConditionCode.ae => Mnemonic.Jae,
            ConditionCode.e => Mnemonic.Je,
            ConditionCode.ne => Mnemonic.Jne,
            ConditionCode.be => Mnemonic.Jbe,
            ConditionCode.a => Mnemonic.Ja,
            ConditionCode.s => Mnemonic.Js,
            ConditionCode.ns => Mnemonic.Jns,
            ConditionCode.p => Mnemonic.Jp,
            ConditionCode.np => Mnemonic.Jnp,
            ConditionCode.l => Mnemonic.Jl,
            ConditionCode.ge => Mnemonic.Jge,
            ConditionCode.le => Mnemonic.Jle,
            _ => Mnemonic.Jg,
        };

        public static Handler Select<TCondition>(in Instruction instruction, ref Op op)
            where TCondition : ICondition
        {
            op.Flags |= (byte)OpFlags.Branch;
            return new Handler(&Execute<TCondition>);
        }

        private static Op* Execute<TCondition>(VcpuContext* c, Op* op)
            where TCondition : ICondition => TCondition.Holds(c) ? Taken(c, op) : NotTaken(c, op);
    }

    private readonly struct ConditionalSets : IConditionFamily
    {
        public static Mnemonic Of(ConditionCode code) => code switch
        {
            ConditionCode.o => Mnemonic.Seto,
            ConditionCode.no => Mnemonic.Setno,
            ConditionCode.b => Mnemonic.Setb,
            ConditionCode.ae => Mnemonic.Setae,
            ConditionCode.e => Mnemonic.Sete,
            ConditionCode.ne => Mnemonic.Setne,
            ConditionCode.be => Mnemonic.Setbe,
            ConditionCode.a => Mnemonic.Seta,
            ConditionCode.s => Mnemonic.Sets,
            ConditionCode.ns => Mnemonic.Setns,
            ConditionCode.p => Mnemonic.Setp,
            ConditionCode.np => Mnemonic.Setnp,
            ConditionCode.l => Mnemonic.Setl,
            ConditionCode.ge => Mnemonic.Setge,
            ConditionCode.le => Mnemonic.Setle,
            _ => Mnemonic.Setg,
        };

        public static Handler Select<TCondition>(in Instruction instruction, ref Op op)
            where TCondition : ICondition =>
            Width.IsMemory(instruction, 0) ? new Handler(&Memory<TCondition>) : new Handler(&Register<TCondition>);

        private static Op* Register<TCondition>(VcpuContext* c, Op* op)
            where TCondition : ICondition
        {
            Registers.Set(c, op->Dst, TCondition.Holds(c) ? Word8.One : Word8.Zero);
            return op + 1;
        }

        private static Op* Memory<TCondition>(VcpuContext* c, Op* op)
            where TCondition : ICondition
        {
            if (!GuestAccess.Store(c, GuestAccess.Address(c, op), TCondition.Holds(c) ? Word8.One : Word8.Zero))
                return null;
            return op + 1;
        }
    }

    private readonly struct Always : ILoopCondition
    {
        public static bool Holds(VcpuContext* c) => true;
    }

    private readonly struct WhenZero : ILoopCondition
    {
        public static bool Holds(VcpuContext* c) => c->FlagResult == 0;
    }

    private readonly struct WhenNotZero : ILoopCondition
    {
        public static bool Holds(VcpuContext* c) => c->FlagResult != 0;
    }

    private readonly struct LoopOn<TCondition> : IByWidth
        where TCondition : ILoopCondition
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            ulong rcx = c->State.Gpr[Gpr.RCX];
            T count = *(T*)&rcx - T.One;
            if (sizeof(T) == 4)
                c->State.Gpr[Gpr.RCX] = ShiftForms.Extend(count);
            else
                *(T*)&c->State.Gpr[Gpr.RCX] = count;
            return count != T.Zero && TCondition.Holds(c) ? Taken(c, op) : NotTaken(c, op);
        }
    }

    private readonly struct CountZero : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            ulong rcx = c->State.Gpr[Gpr.RCX];
            return *(T*)&rcx == T.Zero ? Taken(c, op) : NotTaken(c, op);
        }
    }
}
