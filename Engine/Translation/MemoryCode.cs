using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>What a check does with the slot of a loop's TLB entry.</summary>
internal enum SlotUse
{
    None,

    /// <summary>Notes the entry that it finds.</summary>
    Note,

    /// <summary>Goes by the entry that was noted.</summary>
    Take,
}

/// <summary>
/// Emits guest registers that lie in the context, addresses, and the software TLB's check: a hit leaves the host address
/// in the first scratch register, a miss leads out. Destroys both scratch registers and the flags, which are saved before.
/// </summary>
internal sealed class MemoryCode(HostEmitter code, FlagCode flags, RegisterMap map)
{
    private bool _grouped;

    /// <summary>The first scratch register holds what makes a host address of the guest's own.</summary>
    private bool _added;

    /// <summary>The group whose address is in the first scratch register; 0: none.</summary>
    private int _held;

    /// <summary>The code is 32-bit code with flat segments: addresses have 32 bits, and every segment's base counts.</summary>
    public bool Narrow { get; set; }

    /// <summary>Bytes that a push takes.</summary>
    public int Slot => Narrow ? 4 : 8;

    private readonly List<Stray> _strays = [];
    private readonly int[] _slotOf = new int[BlockTranslator.LongestTrace], _slotOfGroup = new int[AccessGroups.Most + 1];
    private SlotUse _slots;
    private int _slot;

    /// <summary>Where the check that is being emitted begins: with the flags saved, and an address to compute.</summary>
    private int _begins;

    /// <summary>Slots for the TLB entries of a loop.</summary>
    private const int Slots = 8;

    /// <summary>Operands of a loop whose host addresses are kept behind them.</summary>
    public const int Places = 16;

    /// <summary>No slot.</summary>
    private const int None = -1;

    /// <summary>The operand goes from page to page: a slot is of no use for it.</summary>
    private bool Wanders { get; set; }

    private const int ReadTag = 0, WriteTag = 8, Addend = 16, Host = 24;

    /// <summary>The host register that a guest register lies in; -1: it is in the context.</summary>
    public int Home(int guest) => map.Home(guest);

    /// <summary>The host register that holds a guest register: its home, or the scratch register after loading it.</summary>
    public int Load(int guest, int scratch)
    {
        int home = map.Home(guest);
        if (home >= 0)
            return home;
        if (scratch == HostRegisters.First)
            _held = 0;
        code.Memory(HostEmitter.MovLoad, scratch, HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
        return scratch;
    }

    /// <summary>A copy of a guest register in a host register that is no home.</summary>
    public void Copy(int guest, int to)
    {
        if (to == HostRegisters.First)
            _held = 0;
        if (map.Home(guest) >= 0)
            code.Move(to, map.Home(guest));
        else
            code.Memory(HostEmitter.MovLoad, to, HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
    }

    /// <summary>Gives a guest register its value from a host register, which may be its home.</summary>
    public void Store(int guest, int from)
    {
        int home = map.Home(guest);
        if (home >= 0)
            code.Move(home, from);
        else
            code.Memory(HostEmitter.MovStore, from, HostRegisters.Context, ContextLayout.Gpr + 8 * guest);
    }

    /// <summary>The address of a memory operand into the first scratch register, without its segment's base. No flags are written.</summary>
    /// <param name="instruction">The instruction with the operand.</param>
    /// <param name="less">Subtracted from the address.</param>
    /// <param name="to">Another register to compute it into.</param>
    /// <param name="wide">Whether that takes 64 bits of the address, or 32, if that is not relative to RIP.</param>
    public void Compute(in Instruction instruction, int less = 0, int to = HostRegisters.First, bool wide = true)
    {
        if (to == HostRegisters.First)
            _held = 0;
        Register @base = instruction.MemoryBase, index = instruction.MemoryIndex;
        if (instruction.IsIPRelativeMemoryOperand)
        {
            // Of 32 bits, it is not as far from another RIP.
            if (@base == Register.EIP)
                code.Fix();
            code.Place(to, instruction.IPRelativeMemoryAddress - (ulong)less);
        }
        else if (@base == Register.None && index == Register.None)
            code.Constant(to, Cut(instruction.MemoryDisplacement64, wide && instruction.MemoryDisplSize != 4));
        else
        {
            wide &= (@base != Register.None ? @base : index).GetSize() == 8;
            int from = @base == Register.None ? HostEmitter.None : Load(HostRegisters.Number(@base), HostRegisters.First);
            int by = index == Register.None ? HostEmitter.None : Load(HostRegisters.Number(index), HostRegisters.Second);
            int scale = System.Numerics.BitOperations.Log2((uint)instruction.MemoryIndexScale);
            int displacement = unchecked((int)instruction.MemoryDisplacement64 - less);
            if (by == HostEmitter.None && displacement == 0)
                code.Pair(HostEmitter.MovLoad, to, from, wide);
            else
                code.Memory(HostEmitter.LeaOp, to, from, by, scale, displacement, wide);
        }
    }

    private static ulong Cut(ulong value, bool wide) => wide ? value : (uint)value;

    /// <summary>Adds the base of an operand's segment. In 32-bit code FS and GS must be flat, as the other segments are then.</summary>
    private void AddSegment(in Instruction instruction, int size, Action<int> miss)
    {
        Register segment = instruction.MemorySegment;
        bool extra = segment is Register.FS or Register.GS;
        if (!extra && !Narrow)
            return;
        int @base = Registers.SegmentBase(segment);
        if (extra && Narrow)
            CheckFlat(@base, size, miss);
        code.Memory(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Context, @base, wide: !Narrow);
    }

    /// <summary>As SegmentChecks, for a segment of the whole 4 GiB that is present and writable: the offset must not wrap.</summary>
    private void CheckFlat(int segment, int size, Action<int> miss)
    {
        const int Limit = 8, Selector = 12;
        const int Kept = Segment.P | Segment.S | Segment.Code | Segment.Expand | Segment.Writable, Wanted = Segment.P | Segment.S | Segment.Writable;
        if (size > 1)
        {
            code.Compare(HostRegisters.First, -size, wide: false);
            miss(code.JumpIf(HostEmitter.IfAbove));
        }
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, segment + Selector, wide: false);
        code.And(HostRegisters.Second, Kept << 16, wide: false);
        code.Compare(HostRegisters.Second, Wanted << 16, wide: false);
        miss(code.JumpIf(HostEmitter.IfNotEqual));
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, segment + Limit, wide: false);
        code.Compare(HostRegisters.Second, -1, wide: false);
        miss(code.JumpIf(HostEmitter.IfNotEqual));
    }

    /// <summary>A run starts, or its copy without groups.</summary>
    public void Start(bool grouped, SlotUse slots)
    {
        _grouped = grouped;
        _slots = slots;
        if (slots == SlotUse.Note)
        {
            _slot = 0;
            Array.Fill(_slotOf, None);
        }
        _strays.Clear();
        _held = 0;
    }

    /// <summary>The check whose miss is being told of; none where something else leads out.</summary>
    public Miss Missed { get; private set; }

    /// <summary>The instruction that is being emitted, for <see cref="WriteStrays"/>.</summary>
    public int Instruction { get; set; }

    /// <summary>Instructions of a turn of the loop that is being emitted.</summary>
    public int Turn { get; set; }

    /// <summary>Writes what becomes of addresses that have left their slot's page: the TLB is looked at, and the slot is another's.</summary>
    /// <param name="at">Takes the instruction that what follows belongs to.</param>
    public void WriteStrays(Action<int> at)
    {
        foreach (Stray stray in _strays)
        {
            code.Land(stray.Jump);
            at(stray.Instruction);
            flags.State = stray.Flags;
            _begins = stray.Begins;
            code.Memory(HostEmitter.XorOp, HostRegisters.First, HostRegisters.Second, stray.Tag);
            Find(stray.Size, stray.Tag, stray.Miss);
            code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, stray.Slot);
            code.Jump(stray.Back);
        }
        _strays.Clear();
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
        bool pushes = guest.Form is Form.Push or Form.PushConstant or Form.Call, writes = pushes || guest.Memory == MemoryUse.Write;
        if (guest.IsReached)
            return Reached(guest.Place);
        Wanders = guest.Wanders || guest.IsFixed;
        _added = access.Group != 0 ? access.Keeps : IsPlain(guest);
        if (access.Group != 0 && !access.Leads)
        {
            if (_held != access.Group)
                code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, SlotOf(access));
            _held = access.Group;
            if (_slots == SlotUse.Note)
                _slotOf[Instruction] = _slotOfGroup[access.Group];
            return access.Offset;
        }
        if (access.Group != 0)
            flags.Normalize();
        else
            flags.SaveLazily();
        _begins = code.Offset;
        if (pushes || guest.Form is Form.Pop or Form.Return)
        {
            _added = false;
            Stack(HostRegisters.Stack, (pushes ? -Slot : 0) - access.Offset);
            if (access.Group == 0)
            {
                Look(Slot, writes, miss);
                return 0;
            }
        }
        else
        {
            int size = guest.Instruction.MemorySize.GetSize();
            Compute(guest.Instruction, access.Offset);
            AddSegment(guest.Instruction, size, miss);
            if (access.Group == 0)
            {
                Look(size, writes, miss);
                if (_added && guest.Instruction.MemoryIndex != Register.None && guest.Instruction.MemoryBase != Register.None)
                    code.Pair(HostEmitter.AddOp, HostRegisters.First, map.Home(HostRegisters.Number(guest.Instruction.MemoryBase)));
                if (guest.IsFixed && _slots == SlotUse.Note)
                    code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, PlaceOf(guest.Place));
                return 0;
            }
        }
        Look(access.Span, access.Writes, apart, access);
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, SlotOf(access));
        _held = access.Group;
        if (_slots == SlotUse.Note)
            _slotOfGroup[access.Group] = _slotOf[Instruction];
        return access.Offset;
    }

    /// <summary>
    /// Whether an operand that is checked alone is reached by adding to its own address, so that the processor need not wait
    /// for the tag: the registers of the address are the host's, too.
    /// </summary>
    private bool IsPlain(in GuestInstruction guest)
    {
        ref readonly Instruction instruction = ref guest.Instruction;
        return guest.Form is Form.Copied or Form.Vector && !Narrow && !guest.IsFixed && instruction.MemorySegment is not (Register.FS or Register.GS)
            && (instruction.MemoryBase != Register.None || instruction.MemoryIndex != Register.None) && IsHost(instruction.MemoryBase) && IsHost(instruction.MemoryIndex)
            && (guest.Form == Form.Copied || (VectorForms.Of(instruction.Code) & VectorTraits.Aligned) == 0);

        bool IsHost(Register register) => register == Register.None || (register.IsGPR64() && map.Home(HostRegisters.Number(register)) >= 0);
    }

    /// <summary>Leaves where an operand that was reached is not aligned.</summary>
    public void Align(int displacement, int size, Action<int> miss)
    {
        flags.SaveLazily();
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

    /// <summary>Makes an instruction's memory operand that which <see cref="Reach"/> has reached, at a displacement.</summary>
    public void Replace(ref Instruction instruction, int displacement)
    {
        if (_added)
        {
            instruction.SegmentPrefix = Register.None;
            if (instruction.MemoryIndex != Register.None)
            {
                // The base is added already.
                instruction.MemoryBase = Register.R10;
                instruction.MemoryIndex = Register.RAX + map.Home(HostRegisters.Number(instruction.MemoryIndex));
                if (instruction.MemoryDisplSize != 1)
                    instruction.MemoryDisplSize = instruction.MemoryDisplacement64 == 0 ? 0 : 8;
                return;
            }
            instruction.MemoryBase = Register.RAX + map.Home(HostRegisters.Number(instruction.MemoryBase));
            instruction.MemoryIndex = Register.R10;
            instruction.MemoryIndexScale = 1;
            return;
        }
        instruction.MemoryBase = Register.R10;
        instruction.MemoryIndex = Register.None;
        instruction.MemoryIndexScale = 1;
        instruction.MemoryDisplacement64 = (ulong)displacement;
        instruction.MemoryDisplSize = displacement == 0 ? 0 : displacement <= sbyte.MaxValue ? 1 : 8;
        instruction.SegmentPrefix = Register.None;
    }

    /// <summary>The host address of an operand that is where it was in the first turn, into the first scratch register.</summary>
    private int Reached(int place)
    {
        int held = -1 - place;
        _added = false;
        if (_held != held)
            code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, PlaceOf(place));
        _held = held;
        return 0;
    }

    private static int PlaceOf(int place) => ContextLayout.Slots + sizeof(ulong) * (Slots + place);

    private static int SlotOf(in GroupedAccess access) => ContextLayout.Groups + access.Group * sizeof(ulong);

    /// <summary>Begins a check of an operand that is in no group.</summary>
    private void Begin()
    {
        _added = false;
        flags.SaveLazily();
        _begins = code.Offset;
    }

    public void Check(in Instruction instruction, int size, bool write, Action<int> miss)
    {
        Begin();
        Compute(instruction);
        AddSegment(instruction, size, miss);
        Look(size, write, miss);
    }

    /// <summary>The same with an address that is moved before its segment is added; the second scratch register is free for that.</summary>
    public void Check(in Instruction instruction, int size, bool write, Action<int> miss, Action move)
    {
        Begin();
        Compute(instruction);
        move();
        AddSegment(instruction, size, miss);
        Look(size, write, miss);
    }

    /// <summary>What a push takes, relative to the guest's stack pointer.</summary>
    public void CheckStack(int displacement, bool write, Action<int> miss) => CheckAt(HostRegisters.Stack, displacement, write, miss);

    /// <summary>As much of the stack, relative to a host register.</summary>
    public void CheckAt(int register, int displacement, bool write, Action<int> miss)
    {
        Begin();
        Stack(register, displacement);
        Look(Slot, write, miss);
    }

    public void MoveStack(int bytes) => code.Memory(HostEmitter.LeaOp, HostRegisters.Stack, HostRegisters.Stack, bytes, wide: !Narrow);

    /// <summary>The linear address of an offset in the stack into the first scratch register.</summary>
    private void Stack(int register, int displacement)
    {
        _held = 0;
        code.Memory(HostEmitter.LeaOp, HostRegisters.First, register, displacement, wide: !Narrow);
        if (Narrow)
            code.Memory(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Context, Registers.SegmentBase(Register.SS), wide: false);
    }

    /// <summary>
    /// Takes the entry's tag from the address: what is left is the offset in the page, or more than a page where the tag is
    /// another's. Invalid tags belong to other entries' pages. An access that crosses the page's end does not hit.
    /// </summary>
    private void Look(int size, bool write, Action<int> miss, in GroupedAccess access = default)
    {
        int tag = write ? WriteTag : ReadTag;
        int slot = None;
        if (_slots == SlotUse.Note && !Wanders && _slot < Slots)
            _slotOf[Instruction] = slot = ContextLayout.Slots + sizeof(ulong) * _slot++;
        else if (_slots == SlotUse.Take)
            slot = _slotOf[Instruction % Turn];
        if (slot >= 0 && _slots == SlotUse.Take)
        {
            code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, slot);
            code.Memory(HostEmitter.XorOp, HostRegisters.First, HostRegisters.Second, tag);
            code.Compare(HostRegisters.First, (int)PageNumber.Size - size);
            int jump = code.JumpIf(HostEmitter.IfAbove);
            _strays.Add(new Stray(jump, code.Offset, _begins, tag, size, slot, Instruction, flags.State, miss));
        }
        else
        {
            Find(size, tag, miss);
            if (slot >= 0)
                code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, slot);
        }
        if (access.Steps != 0)
            Step(access, miss);
        else if (_added)
            code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Second, Addend);
        else
            code.Memory(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Second, Host);
    }

    /// <summary>
    /// The first of a group's ranges lies in a page, at the offset in the first scratch register: so must the last. Leaves
    /// what is to be added to addresses.
    /// </summary>
    private void Step(in GroupedAccess access, Action<int> apart)
    {
        code.Compare(access.Step, (int)PageNumber.Size);
        apart(code.JumpIf(HostEmitter.IfAbove));
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, SlotOf(access));
        code.Add(Iced.Intel.Instruction.Create(Code.Imul_r64_rm64_imm8, Register.R11, Register.RAX + access.Step, access.Steps));
        code.Pair(HostEmitter.AddOp, HostRegisters.First, HostRegisters.Second);
        code.Compare(HostRegisters.First, (int)PageNumber.Size - access.Span);
        apart(code.JumpIf(HostEmitter.IfAbove));
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, SlotOf(access));
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.First, Addend);
    }

    private void Find(int size, int tag, Action<int> miss)
    {
        const int EntryShift = 5;
        code.Rotate(HostRegisters.Second, HostRegisters.First, 12 - EntryShift);
        code.And(HostRegisters.Second, (TlbEntry.Count - 1) << EntryShift, wide: false);
        code.Memory(HostEmitter.AddOp, HostRegisters.Second, HostRegisters.Context, ContextLayout.Tlb);
        code.Memory(HostEmitter.XorOp, HostRegisters.First, HostRegisters.Second, tag);
        code.Compare(HostRegisters.First, (int)PageNumber.Size - size);
        Missed = new Miss(_begins, tag, size, tag == WriteTag);
        miss(code.JumpIf(HostEmitter.IfAbove));
        Missed = default;
    }

    /// <summary>A check in a loop that did not find its page in its slot.</summary>
    private readonly record struct Stray(int Jump, int Back, int Begins, int Tag, int Size, int Slot, int Instruction, FlagState Flags, Action<int> Miss);
}
