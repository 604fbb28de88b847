using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits guest registers that lie in the context, addresses, and the software TLB's check: a hit leaves the host address
/// in the first scratch register, a miss leads out. Destroys both scratch registers and the flags, which are saved before.
/// </summary>
internal sealed class MemoryCode(HostEmitter code, FlagCode flags)
{
    private const int ReadTag = 0, WriteTag = 8, Host = 24;

    /// <summary>The host register that holds a guest register: its home, or the scratch register after loading it.</summary>
    public int Load(int guest, int scratch)
    {
        int home = HostRegisters.Home(guest);
        if (home >= 0)
            return home;
        code.Memory(HostEmitter.MovLoad, scratch, HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
        return scratch;
    }

    /// <summary>Gives a guest register its value from a host register, which may be its home.</summary>
    public void Store(int guest, int from)
    {
        int home = HostRegisters.Home(guest);
        if (home >= 0)
            code.Move(home, from);
        else
            code.Memory(HostEmitter.MovStore, from, HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
    }

    /// <summary>The address of a memory operand into the first scratch register. Without a segment no flags are written.</summary>
    public void Compute(in Instruction instruction, bool withSegment)
    {
        Register @base = instruction.MemoryBase, index = instruction.MemoryIndex;
        if (instruction.IsIPRelativeMemoryOperand)
            code.Constant(HostRegisters.First, instruction.IPRelativeMemoryAddress);
        else if (@base == Register.None && index == Register.None)
            code.Constant(HostRegisters.First, instruction.MemoryDisplSize == 4 ? (uint)instruction.MemoryDisplacement64 : instruction.MemoryDisplacement64);
        else
        {
            bool wide = (@base != Register.None ? @base : index).GetSize() == 8;
            int from = @base == Register.None ? HostEmitter.None : Load(HostRegisters.Number(@base), HostRegisters.First);
            int by = index == Register.None ? HostEmitter.None : Load(HostRegisters.Number(index), HostRegisters.Second);
            int scale = System.Numerics.BitOperations.Log2((uint)instruction.MemoryIndexScale);
            code.Memory(HostEmitter.LeaOp, HostRegisters.First, from, by, scale, (int)instruction.MemoryDisplacement64, wide);
        }
        if (withSegment)
            AddSegment(instruction);
    }

    private void AddSegment(in Instruction instruction)
    {
        if (instruction.MemorySegment == Register.FS)
            code.Memory(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Context, ContextLayout.FsBase);
        else if (instruction.MemorySegment == Register.GS)
            code.Memory(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Context, ContextLayout.GsBase);
    }

    public void Check(in Instruction instruction, int size, bool write, Action<int> miss)
    {
        flags.Save();
        Compute(instruction, withSegment: true);
        Look(size, write, miss);
    }

    /// <summary>The same with an address that is moved before its segment is added; the second scratch register is free for that.</summary>
    public void Check(in Instruction instruction, int size, bool write, Action<int> miss, Action move)
    {
        flags.Save();
        Compute(instruction, withSegment: false);
        move();
        AddSegment(instruction);
        Look(size, write, miss);
    }

    /// <summary>Eight bytes relative to the guest's stack pointer.</summary>
    public void CheckStack(int displacement, bool write, Action<int> miss) => CheckAt(HostRegisters.Stack, displacement, write, miss);

    /// <summary>Eight bytes relative to a host register.</summary>
    public void CheckAt(int register, int displacement, bool write, Action<int> miss)
    {
        flags.Save();
        code.Memory(HostEmitter.LeaOp, HostRegisters.First, register, displacement);
        Look(8, write, miss);
    }

    public void MoveStack(int bytes) => code.Memory(HostEmitter.LeaOp, HostRegisters.Stack, HostRegisters.Stack, bytes);

    /// <summary>
    /// Takes the entry's tag from the address: what is left is the offset in the page, or more than a page where the tag is
    /// another's. Invalid tags belong to other entries' pages. An access that crosses the page's end does not hit.
    /// </summary>
    private void Look(int size, bool write, Action<int> miss)
    {
        const int EntryShift = 5;
        code.Rotate(HostRegisters.Second, HostRegisters.First, 12 - EntryShift);
        code.And(HostRegisters.Second, (TlbEntry.Count - 1) << EntryShift, wide: false);
        code.Memory(HostEmitter.AddOp, HostRegisters.Second, HostRegisters.Context, ContextLayout.Tlb);
        code.Memory(HostEmitter.XorOp, HostRegisters.First, HostRegisters.Second, write ? WriteTag : ReadTag);
        code.Compare(HostRegisters.First, (int)PageNumber.Size - size);
        miss(code.JumpIf(HostEmitter.IfAbove));
        code.Memory(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Second, Host);
    }
}
