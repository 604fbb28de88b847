using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>Control instructions: initialisation, control and status words, environment and state images, stack pointer, FWAIT. FINIT, FSTCW and their like are FWAIT and then the form without waiting.</summary>
internal static unsafe class X87Control
{
    public static readonly Row[] Rows =
    [
        Control(Mnemonic.Fninit, &Initialize), Control(Mnemonic.Fnclex, &ClearExceptions),
        Control(Mnemonic.Fnstcw, &StoreControl), Control(Mnemonic.Fnstsw, &StoreStatus),
        Control(Mnemonic.Fnstenv, &StoreEnvironment), Control(Mnemonic.Fnsave, &Save),
        Waiting(Mnemonic.Fldcw, &LoadControl), Waiting(Mnemonic.Fldenv, &LoadEnvironment), Waiting(Mnemonic.Frstor, &Restore),
        Waiting(Mnemonic.Fnop, &Nothing), Waiting(Mnemonic.Fincstp, &Increment), Waiting(Mnemonic.Fdecstp, &Decrement),
        Waiting(Mnemonic.Ffree, &FreeRegister), Waiting(Mnemonic.Ffreep, &FreeAndPop),
        // Instructions of the 8087 and 287 that later processors ignore.
        Control(Mnemonic.Fneni, &Nothing), Control(Mnemonic.Fndisi, &Nothing), Control(Mnemonic.Fnsetpm, &Nothing),
        new(Mnemonic.Wait, (in Instruction instruction, ref Op op) => new Handler(&Wait)),
    ];

    /// <summary>Marks, in <see cref="Op.Third"/>, instructions that first report pending exceptions.</summary>
    private const ushort Waits = 1;

    private static Row Control(Mnemonic mnemonic, delegate*<VcpuContext*, Op*, Op*> handler) => Make(mnemonic, (nint)handler, 0);

    private static Row Waiting(Mnemonic mnemonic, delegate*<VcpuContext*, Op*, Op*> handler) => Make(mnemonic, (nint)handler, Waits);

    private static Row Make(Mnemonic mnemonic, nint handler, ushort waits) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        X87Operands.Bind(instruction, ref op, 0);
        op.Third = waits;
        // Environment and state images have a 16-bit and a 32-bit layout; the status word goes to memory or to AX.
        op.Extra = instruction.MemorySize is MemorySize.FpuEnv14 or MemorySize.FpuState94 ? 2u : 4u;
        if (instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register && instruction.Op0Register == Iced.Intel.Register.AX)
            op.Extra = 0;
        return new Handler((delegate*<VcpuContext*, Op*, Op*>)handler);
    });

    private static bool Ready(VcpuContext* c, Op* op) => X87Unit.ControlReady(c, op->Third != 0);

    private static Op* Nothing(VcpuContext* c, Op* op) => Ready(c, op) ? op + 1 : VectorState.Leave(c, op);

    private static Op* Wait(VcpuContext* c, Op* op)
    {
        if ((c->State.Cr0 & (Cr0.MP | Cr0.TS)) == (Cr0.MP | Cr0.TS))
            return VectorState.Leave(c, op, Vector.NM);
        if ((c->State.X87Status & X87Flags.ErrorSummary) != 0 && (c->State.Cr0 & Cr0.NE) != 0)
            return VectorState.Leave(c, op, Vector.MF);
        return op + 1;
    }

    private static Op* Initialize(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.Initialize(c);
        return op + 1;
    }

    private static Op* ClearExceptions(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op))
            return VectorState.Leave(c, op);
        c->State.X87Status = (ushort)(c->State.X87Status & ~(X87Flags.Exceptions | X87Flags.StackFault | X87Flags.ErrorSummary | X87Flags.Busy));
        return op + 1;
    }

    private static Op* StoreControl(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op) || !GuestAccess.Store(c, GuestAccess.Address(c, op), c->State.X87Control))
            return VectorState.Leave(c, op);
        return op + 1;
    }

    private static Op* StoreStatus(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op))
            return VectorState.Leave(c, op);
        if (op->Extra == 0)
            *(ushort*)((byte*)c + Gpr.RAX * 8) = c->State.X87Status;
        else if (!GuestAccess.Store(c, GuestAccess.Address(c, op), c->State.X87Status))
            return VectorState.Leave(c, op);
        return op + 1;
    }

    private static Op* LoadControl(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort value))
            return VectorState.Leave(c, op);
        SetControl(c, value);
        return op + 1;
    }

    private static void SetControl(VcpuContext* c, ushort value)
    {
        c->State.X87Control = (ushort)((value & X87Flags.ControlBits) | X87Flags.ControlReserved);
        c->State.X87Status = X87Flags.WithSummary(c->State.X87Status, c->State.X87Control);
    }

    private static Op* Increment(VcpuContext* c, Op* op) => Turn(c, op, 1);

    private static Op* Decrement(VcpuContext* c, Op* op) => Turn(c, op, -1);

    private static Op* Turn(VcpuContext* c, Op* op, int by)
    {
        if (!Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        X87Unit.Rotate(c, by);
        return op + 1;
    }

    private static Op* FreeRegister(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        X87Unit.Free(c, op->Dst);
        return op + 1;
    }

    private static Op* FreeAndPop(VcpuContext* c, Op* op)
    {
        if (!Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        X87Unit.Free(c, op->Dst);
        X87Unit.Pop(c);
        return op + 1;
    }

    private static Op* StoreEnvironment(VcpuContext* c, Op* op)
    {
        byte* image = stackalloc byte[X87Image.Capacity];
        if (!Ready(c, op) || !Put(c, op, image, X87Image.WriteEnvironment(&c->State, image, (int)op->Extra)))
            return VectorState.Leave(c, op);
        SetControl(c, (ushort)(c->State.X87Control | X87Flags.Exceptions));
        return op + 1;
    }

    private static Op* LoadEnvironment(VcpuContext* c, Op* op)
    {
        byte* image = stackalloc byte[X87Image.Capacity];
        if (!Ready(c, op) || !Fetch(c, op, image, X87Image.EnvironmentSize((int)op->Extra)))
            return VectorState.Leave(c, op);
        X87Image.ReadEnvironment(&c->State, image, (int)op->Extra);
        return op + 1;
    }

    private static Op* Save(VcpuContext* c, Op* op)
    {
        byte* image = stackalloc byte[X87Image.Capacity];
        if (!Ready(c, op) || !Put(c, op, image, X87Image.WriteState(&c->State, image, (int)op->Extra)))
            return VectorState.Leave(c, op);
        X87Unit.Initialize(c);
        return op + 1;
    }

    private static Op* Restore(VcpuContext* c, Op* op)
    {
        byte* image = stackalloc byte[X87Image.Capacity];
        if (!Ready(c, op) || !Fetch(c, op, image, X87Image.EnvironmentSize((int)op->Extra) + X87Image.RegistersSize))
            return VectorState.Leave(c, op);
        X87Image.ReadState(&c->State, image, (int)op->Extra);
        return op + 1;
    }

    private static bool Put(VcpuContext* c, Op* op, byte* image, int size)
    {
        ulong address = GuestAccess.Address(c, op);
        for (int i = 0; i < size; i += 2)
        {
            if (!GuestAccess.Store(c, address + (ulong)i, *(ushort*)(image + i)))
                return false;
        }
        return true;
    }

    private static bool Fetch(VcpuContext* c, Op* op, byte* image, int size)
    {
        ulong address = GuestAccess.Address(c, op);
        for (int i = 0; i < size; i += 2)
        {
            if (!GuestAccess.Load(c, address + (ulong)i, out *(ushort*)(image + i)))
                return false;
        }
        return true;
    }
}
