using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.SystemInstructions;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE. Segment registers are the system family's.</summary>
internal static unsafe class Stack
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Push, SelectPush),
        new(Mnemonic.Pop, SelectPop),
        new(Mnemonic.Pusha, SelectAll<PushAll>),
        new(Mnemonic.Pushad, SelectAll<PushAll>),
        new(Mnemonic.Popa, SelectAll<PopAll>),
        new(Mnemonic.Popad, SelectAll<PopAll>),
        new(Mnemonic.Pushf, SelectFlags<PushFlags>),
        new(Mnemonic.Pushfd, SelectFlags<PushFlags>),
        new(Mnemonic.Pushfq, SelectFlags<PushFlags>),
        new(Mnemonic.Popf, SelectFlags<PopFlags>) { EndsBlock = true },
        new(Mnemonic.Popfd, SelectFlags<PopFlags>) { EndsBlock = true },
        new(Mnemonic.Popfq, SelectFlags<PopFlags>) { EndsBlock = true },
        new(Mnemonic.Enter, SelectEnter),
        new(Mnemonic.Leave, SelectLeave),
    ];

    private static Handler SelectPush(in Instruction instruction, ref Op op)
    {
        op.Flags |= (byte)OpFlags.StackSegment;
        int size = -instruction.StackPointerIncrement;
        return instruction.Op0Kind switch
        {
            OpKind.Register when instruction.Op0Register.IsGPR() => StackForms.Pick<Push<FirstRegister>>(size, op),
            OpKind.Register => default,
            OpKind.Memory => StackForms.Pick<Push<MemorySource>>(size, op),
            _ => StackForms.Pick<Push<ImmediateSource>>(size, op),
        };
    }

    private static Handler SelectPop(in Instruction instruction, ref Op op)
    {
        op.Flags |= (byte)OpFlags.StackSegment;
        int size = instruction.StackPointerIncrement;
        if (instruction.Op0Kind == OpKind.Memory)
        {
            // An address by the stack pointer counts from its value after the pop (SDM 2B, POP).
            op.Extra = instruction.MemoryBase.GetFullRegister() == Register.RSP ? (uint)size : 0;
            return StackForms.Pick<PopMemory>(size, op);
        }
        return instruction.Op0Register.IsGPR() ? StackForms.Pick<PopRegister>(size, op) : default;
    }

    private static Handler SelectAll<TFamily>(in Instruction instruction, ref Op op)
        where TFamily : IByStack
    {
        op.Flags |= (byte)OpFlags.StackSegment;
        return StackForms.Pick<TFamily>(instruction.Mnemonic is Mnemonic.Pusha or Mnemonic.Popa ? 2 : 4, op);
    }

    private static Handler SelectFlags<TFamily>(in Instruction instruction, ref Op op)
        where TFamily : IByStack
    {
        op.Flags |= (byte)OpFlags.StackSegment;
        return StackForms.Pick<TFamily>(Math.Abs(instruction.StackPointerIncrement), op);
    }

    private static Handler SelectEnter(in Instruction instruction, ref Op op)
    {
        op.Flags |= (byte)OpFlags.StackSegment;
        op.Extra = (uint)instruction.Immediate8_2nd & 31;
        return StackForms.Pick<Enter>(instruction.OpCode.OperandSize / 8, op);
    }

    private static Handler SelectLeave(in Instruction instruction, ref Op op)
    {
        op.Flags |= (byte)OpFlags.StackSegment;
        return StackForms.Pick<Leave>(instruction.OpCode.OperandSize / 8, op);
    }

    private readonly struct Push<TSource> : IByStack
        where TSource : ISource
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            if (!TSource.Read(c, op, out T value) || !StackForms.Push<T, TStack>(c, value))
                return null;
            return op + 1;
        }
    }

    private readonly struct PopRegister : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            if (!StackForms.Pop<T, TStack>(c, out T value))
                return null;
            Registers.Set(c, op->Dst, value);
            return op + 1;
        }
    }

    private readonly struct PopMemory : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong sp = TStack.Get(c);
            if (!GuestAccess.Load(c, TStack.Address(c, sp), out T value))
                return null;
            if (!GuestAccess.Store(c, GuestAccess.Address(c, op, op->Extra), value))
                return null;
            TStack.Set(c, sp + (ulong)sizeof(T));
            return op + 1;
        }
    }

    private readonly struct PushAll : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong sp = TStack.Get(c);
            for (int i = 0; i < 8; i++)
            {
                ulong slot = sp - (ulong)((i + 1) * sizeof(T));
                if (!GuestAccess.Store(c, TStack.Address(c, slot), *(T*)&c->State.Gpr[i]))
                    return null;
            }
            TStack.Set(c, sp - (ulong)(8 * sizeof(T)));
            return op + 1;
        }
    }

    private readonly struct PopAll : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong sp = TStack.Get(c);
            T* values = stackalloc T[8];
            for (int i = 0; i < 8; i++)
                if (!GuestAccess.Load(c, TStack.Address(c, sp + (ulong)(i * sizeof(T))), out values[7 - i]))
                    return null;
            for (int i = 0; i < 8; i++)
                if (i != Gpr.RSP)
                    *(T*)&c->State.Gpr[i] = values[i];
            TStack.Set(c, sp + (ulong)(8 * sizeof(T)));
            return op + 1;
        }
    }

    private readonly struct PushFlags : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            if (!EFlags.MayUseStack(c))
                return null;
            // VM and RF read as 0 (SDM 2B, PUSHF).
            ulong flags = c->GetRflags() & ~(Rflags.VM | Rflags.RF);
            if (!StackForms.Push<T, TStack>(c, *(T*)&flags))
                return null;
            return op + 1;
        }
    }

    private readonly struct PopFlags : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            if (!EFlags.MayUseStack(c) || !StackForms.Pop<T, TStack>(c, out T value))
                return null;
            ulong before = c->State.Rflags;
            EFlags.Pop(c, ShiftForms.Extend(value), sizeof(T));
            // An interrupt that waited comes now, a trap after the next instruction, and AC changes what accesses may do.
            return ((before ^ c->State.Rflags) & c->State.Rflags & Rflags.IF) != 0 || ((before ^ c->State.Rflags) & (Rflags.TF | Rflags.AC)) != 0
                ? Plumbing.Leave(c, op)
                : op + 1;
        }
    }

    private readonly struct Enter : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong size = (ulong)sizeof(T);
            ulong sp = TStack.Get(c) - size;
            ulong rbp = c->State.Gpr[Gpr.RBP];
            if (!GuestAccess.Store(c, TStack.Address(c, sp), *(T*)&rbp))
                return null;
            ulong frame = sp;
            for (uint level = 1; level < op->Extra; level++)
            {
                rbp -= size;
                sp -= size;
                if (!GuestAccess.Load(c, TStack.Address(c, rbp), out T link) || !GuestAccess.Store(c, TStack.Address(c, sp), link))
                    return null;
            }
            if (op->Extra > 0)
            {
                sp -= size;
                if (!GuestAccess.Store(c, TStack.Address(c, sp), *(T*)&frame))
                    return null;
            }
            sp -= (ushort)op->Immediate;
            // The new top of stack must be writable, as if it were used (SDM 2A, ENTER).
            if (!GuestAccess.LoadForWrite(c, TStack.Address(c, sp), out T _))
                return null;
            if (sizeof(T) == 2)
                *(ushort*)&c->State.Gpr[Gpr.RBP] = (ushort)frame;
            else
                c->State.Gpr[Gpr.RBP] = frame;
            TStack.Set(c, sp);
            return op + 1;
        }
    }

    private readonly struct Leave : IByStack
    {
        public static Handler For<T, TStack>()
            where T : unmanaged, IWord<T>
            where TStack : IStackPointer => new(&Execute<T, TStack>);

        private static Op* Execute<T, TStack>(VcpuContext* c, Op* op)
            where T : unmanaged
            where TStack : IStackPointer
        {
            ulong frame = c->State.Gpr[Gpr.RBP];
            if (!GuestAccess.Load(c, TStack.Address(c, frame), out T value))
                return null;
            TStack.Set(c, frame + (ulong)sizeof(T));
            if (sizeof(T) == 4)
                c->State.Gpr[Gpr.RBP] = ShiftForms.Extend(value);
            else
                *(T*)&c->State.Gpr[Gpr.RBP] = value;
            return op + 1;
        }
    }
}
