using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits the ways from block to block. They go by what the interpreter has linked and looked up, and enter a block as it
/// does: budget, exit requests and overwritten code are looked at on every entry. The target block is in the first
/// scratch register on the way.
/// </summary>
internal sealed unsafe class EdgeCode(HostEmitter code)
{
    /// <summary>Goes to a target known by RIP: by the link of an op where there is one, else by the jump cache.</summary>
    /// <param name="op">The op that is linked to the target.</param>
    /// <param name="target">The target's RIP.</param>
    /// <param name="from">The branch's RIP: links exist within a page only. 0: not known.</param>
    /// <param name="exit">Takes a jump out of the code.</param>
    /// <param name="link">The op that holds the link, if not the same.</param>
    /// <param name="field">The link's field.</param>
    public void Follow(Op* op, ulong target, ulong from, Action<int> exit, Op* link = null, int field = -1)
    {
        Find(link != null ? link : op, target, from, exit, field < 0 ? ContextLayout.OpLink : field);
        Enter(exit);
    }

    /// <summary>Finds the block of a target known by RIP.</summary>
    public void Find(Op* op, ulong target, ulong from, Action<int> exit) => Find(op, target, from, exit, ContextLayout.OpLink);

    private void Find(Op* op, ulong target, ulong from, Action<int> exit, int field)
    {
        int linked = -1;
        if (from == 0 || (from ^ target) >> 12 == 0)
        {
            code.Constant(HostRegisters.First, (ulong)op);
            code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, field);
            code.Pair(HostEmitter.TestOp, HostRegisters.First, HostRegisters.First);
            linked = code.JumpIf(HostEmitter.IfNotEqual);
        }
        int entry = JumpCache.Offset(target);
        code.Constant(HostRegisters.Rax, target);
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, ContextLayout.Jumps);
        code.Memory(HostEmitter.CmpOp, HostRegisters.Rax, HostRegisters.First, entry);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, entry + 8);
        if (linked >= 0)
            code.Land(linked);
    }

    /// <summary>Finds the block of the RIP in the first scratch register, as the jump cache hashes it.</summary>
    public void FindIndirect(Action<int> exit)
    {
        code.Move(HostRegisters.Second, HostRegisters.First);
        code.Shift(5, HostRegisters.Second, 12);
        code.Pair(HostEmitter.XorOp, HostRegisters.Second, HostRegisters.First);
        code.And(HostRegisters.Second, JumpCache.Entries - 1, wide: false);
        code.Shift(4, HostRegisters.Second, 4);
        code.Memory(HostEmitter.AddOp, HostRegisters.Second, HostRegisters.Context, ContextLayout.Jumps);
        code.Memory(HostEmitter.CmpOp, HostRegisters.First, HostRegisters.Second, 0);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Second, 8);
    }

    /// <summary>Checks, charges and goes.</summary>
    public void Enter(Action<int> exit)
    {
        Check(exit);
        code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Budget);
        Jump();
    }

    /// <summary>As <see cref="Block.Enter"/>, without charging: RAX is what would be left of the budget.</summary>
    public void Check(Action<int> exit)
    {
        Left();
        exit(code.JumpIf(HostEmitter.IfNegative));
        // cmp dword [exit request], 0
        code.Bytes(0x41, 0x83, 0xbf);
        code.Int32(ContextLayout.ExitRequest);
        code.Bytes(0);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
    }

    /// <summary>What is left of the budget, anew, into RAX.</summary>
    public void Charge() => Left();

    /// <summary>Charges RAX and goes.</summary>
    public void Go()
    {
        code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Budget);
        Jump();
    }

    private void Left()
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.First, ContextLayout.BlockInstructions, wide: false);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Budget);
        code.Pair(HostEmitter.SubOp, HostRegisters.Rax, HostRegisters.Second);
    }

    private void Jump()
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.First, ContextLayout.BlockNative, wide: false);
        code.CodeAddress(HostRegisters.Rax, 0);
        code.Pair(HostEmitter.AddOp, HostRegisters.Rax, HostRegisters.Second);
        // jmp rax
        code.Bytes(0xff, 0xe0);
    }
}
