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
    /// <summary>Where a group's operands are known to be aligned: the offset of one, and to how many bytes.</summary>
    private readonly (int Offset, int Size)[] _aligned = new (int, int)[AccessGroups.Most + 1];
    private bool _grouped;

    /// <summary>The group whose address is in the first scratch register; 0: none.</summary>
    private int _held;

    private const int ReadTag = 0, WriteTag = 8, Host = 24;

    /// <summary>The host register that holds a guest register: its home, or the scratch register after loading it.</summary>
    public int Load(int guest, int scratch)
    {
        int home = HostRegisters.Home(guest);
        if (home >= 0)
            return home;
        if (scratch == HostRegisters.First)
            _held = 0;
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
    /// <param name="instruction">The instruction with the operand.</param>
    /// <param name="withSegment">Whether a segment's base is added.</param>
    /// <param name="less">Subtracted from the address.</param>
    public void Compute(in Instruction instruction, bool withSegment, int less = 0)
    {
        _held = 0;
        Register @base = instruction.MemoryBase, index = instruction.MemoryIndex;
        if (instruction.IsIPRelativeMemoryOperand)
            code.Constant(HostRegisters.First, instruction.IPRelativeMemoryAddress - (ulong)less);
        else if (@base == Register.None && index == Register.None)
            code.Constant(HostRegisters.First, instruction.MemoryDisplSize == 4 ? (uint)instruction.MemoryDisplacement64 : instruction.MemoryDisplacement64);
        else
        {
            bool wide = (@base != Register.None ? @base : index).GetSize() == 8;
            int from = @base == Register.None ? HostEmitter.None : Load(HostRegisters.Number(@base), HostRegisters.First);
            int by = index == Register.None ? HostEmitter.None : Load(HostRegisters.Number(index), HostRegisters.Second);
            int scale = System.Numerics.BitOperations.Log2((uint)instruction.MemoryIndexScale);
            code.Memory(HostEmitter.LeaOp, HostRegisters.First, from, by, scale, unchecked((int)instruction.MemoryDisplacement64 - less), wide);
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

    /// <summary>A run starts, or its copy without groups.</summary>
    public void Start(bool grouped)
    {
        _grouped = grouped;
        _held = 0;
        Array.Clear(_aligned);
    }

    /// <summary>The first scratch register is used otherwise.</summary>
    public void Forget() => _held = 0;

    /// <summary>
    /// Makes an instruction's memory operand reachable, which lies at the returned displacement from the first scratch
    /// register. The host's flags survive where the check has been made for the operand's group before.
    /// </summary>
    /// <param name="guest">An instruction with a memory operand, or one that pushes or pops.</param>
    /// <param name="miss">Takes a jump out of the code.</param>
    /// <param name="apart">Takes a jump to where the operands of the group that starts here are checked one by one.</param>
    public int Reach(in GuestInstruction guest, Action<int> miss, Action<int> apart)
    {
        GroupedAccess access = _grouped ? guest.Access : default;
        bool pushes = guest.Form is Form.Push or Form.PushConstant, writes = pushes || guest.Memory == MemoryUse.Write;
        if (access.Group != 0 && !access.Leads)
        {
            if (_held != access.Group)
                code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, Slot(access));
            _held = access.Group;
            return access.Offset;
        }
        if (access.Group != 0)
            flags.Normalize();
        else
            flags.Save();
        if (pushes || guest.Form == Form.Pop)
        {
            code.Memory(HostEmitter.LeaOp, HostRegisters.First, HostRegisters.Stack, (pushes ? -8 : 0) - access.Offset);
            _held = 0;
        }
        else
            Compute(guest.Instruction, withSegment: true, access.Offset);
        if (access.Group == 0)
        {
            Look(pushes || guest.Form == Form.Pop ? 8 : guest.Instruction.MemorySize.GetSize(), writes, miss);
            return 0;
        }
        Look(access.Span, access.Writes, apart);
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, Slot(access));
        _held = access.Group;
        return access.Offset;
    }

    /// <summary>Leaves where an operand that was reached is not aligned.</summary>
    public void Align(in GuestInstruction guest, int displacement, int size, Action<int> miss)
    {
        int group = _grouped ? guest.Access.Group : 0;
        (int offset, int aligned) = _aligned[group];
        if (group != 0 && aligned >= size && (displacement - offset) % size == 0)
            return;
        _aligned[group] = (displacement, size);
        flags.Save();
        int register = HostRegisters.First;
        if (displacement % size != 0)
        {
            register = HostRegisters.Second;
            code.Memory(HostEmitter.LeaOp, register, HostRegisters.First, displacement);
        }
        // test r10b or r11b, imm8: pages keep the alignment. What is not aligned faults in the interpreter.
        code.Bytes(0x41, 0xf6, (byte)(0xc0 | register & 7), (byte)(size - 1));
        miss(code.JumpIf(HostEmitter.IfNotEqual));
    }

    /// <summary>Makes an instruction's memory operand that at a displacement from the first scratch register.</summary>
    public static void Replace(ref Instruction instruction, int displacement)
    {
        instruction.MemoryBase = Register.R10;
        instruction.MemoryIndex = Register.None;
        instruction.MemoryIndexScale = 1;
        instruction.MemoryDisplacement64 = (ulong)displacement;
        instruction.MemoryDisplSize = displacement == 0 ? 0 : displacement <= sbyte.MaxValue ? 1 : 8;
        instruction.SegmentPrefix = Register.None;
    }

    private static int Slot(in GroupedAccess access) => ContextLayout.Groups + access.Group * sizeof(ulong);

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
        _held = 0;
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
