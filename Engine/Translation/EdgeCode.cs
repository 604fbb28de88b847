using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits entries of blocks and the ways between them. An entry charges the block to the budget; the one in front of it
/// looks for exit requests first, and is where branches backwards and indirect ones go, so that every cycle of branches
/// passes one. What the entry refuses leaves with RIP on the block. The flags are in RAX on every way.
/// </summary>
internal sealed unsafe class EdgeCode(HostEmitter code, Links links)
{
    /// <summary>Bytes from the polling entry to the one that charges, and to what comes after that.</summary>
    public const int PollBytes = 14, EntryBytes = 28;

    /// <summary>Bytes of a way by the jump cache at most.</summary>
    public const int TableBytes = 64;

    /// <summary>What code that leaves for a miss returns: no op lies there.</summary>
    public const int Missed = 1;

    private readonly List<(int Jump, ulong Target, bool Polls, bool Crosses)> _jumps = [];
    private int _leaveWithLink, _leave, _leaveKept, _go, _missed, _missedKept;
    private readonly List<(int Jump, ulong Target, ulong From)> _returning = [];
    private RegisterMap? _map;
    private readonly List<TemplateLink> _made = [];
    private bool _polls;

    /// <summary>Where code leaves with RIP in the first scratch register.</summary>
    public int Go => _go;

    /// <summary>
    /// Writes the ways out that all blocks share: for a miss, with the address in the first scratch register and its record
    /// in the second, with RIP in the first and a link's number in the second, with RIP, and with the op to go on with in the
    /// second. The last ends where the state is to be stored, with what is returned in RAX.
    /// </summary>
    public void WriteLeave()
    {
        _missed = code.Offset;
        StoreFlags();
        _missedKept = code.Offset;
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Miss);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.MissRecord);
        // movzx r11d, byte [vectors]; mov [miss vectors], r11b
        code.Bytes(0x45, 0x0f, 0xb6, 0x9f);
        code.Int32(ContextLayout.Vectors);
        code.Bytes(0x45, 0x88, 0x9f);
        code.Int32(ContextLayout.MissVectors);
        code.Constant(HostRegisters.Second, Missed);
        int leave = code.JumpLater();
        _leaveWithLink = code.Offset;
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.Link, wide: false);
        _go = code.Offset;
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Rip);
        code.Constant(HostRegisters.Second, 0);
        _leave = code.Offset;
        StoreFlags();
        _leaveKept = code.Offset;
        code.Land(leave);
        code.Move(HostRegisters.Rax, HostRegisters.Second);
    }

    private void StoreFlags()
    {
        // mov [flags], ax
        code.Bytes(0x66);
        code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Flags, wide: false);
    }

    /// <summary>The jumps that have got links since <see cref="Begin"/>.</summary>
    public IReadOnlyList<TemplateLink> Made => _made;

    /// <summary>A block's translation begins.</summary>
    public void Begin() => _made.Clear();

    /// <summary>A run starts: another's jumps are forgotten.</summary>
    /// <param name="map">Where its registers are.</param>
    /// <param name="polls">Whether exit requests are looked for on every way out of it.</param>
    public void Start(RegisterMap map, bool polls)
    {
        _jumps.Clear();
        _returning.Clear();
        _map = map;
        _polls = polls;
    }

    /// <summary>Leaves with an op.</summary>
    public void Leave(Op* op, FlagImage flags)
    {
        code.OpAddress(HostRegisters.Second, op);
        code.Jump(flags == FlagImage.Context ? _leaveKept : _leave);
    }

    /// <summary>Leaves for a miss: the check is to be made again once the TLB has the page, or else the op is to go on with.</summary>
    public void Leave(Op* op, FlagImage flags, in Miss miss, int uncharged)
    {
        code.Memory(HostEmitter.XorOp, HostRegisters.First, HostRegisters.Second, miss.Tag);
        _map!.Return();
        int displacement = code.CodeAddress(HostRegisters.Second);
        code.Jump(flags == FlagImage.Context ? _missedKept : _missed);
        code.Land(displacement);
        int record = code.Offset;
        code.OpAddress(op);
        code.Int32(_map.Lends ? sizeof(MissRecord) : miss.Begins - record);
        code.Bytes((byte)miss.Size, (byte)(miss.Size >> 8), (byte)((miss.Writes ? MissRecord.Write : 0) | (miss.IsAligned ? MissRecord.Aligned : 0)), (byte)uncharged);
        if (!_map.Lends)
            return;
        _map.Enter();
        code.Jump(miss.Begins);
    }

    /// <summary>
    /// The entry of a block's second copy, with what it refuses; returns where it lies. Where the budget does not reach, it
    /// leads to the first one.
    /// </summary>
    public int EnterLoop(ulong rip, int instructions, int first, FlagCode flags, in FlagState state)
    {
        int charged = code.Offset;
        GiveBack(instructions);
        flags.Restore(state);
        _map!.Return();
        code.Jump(first);
        int refused = code.Offset;
        flags.Restore(state);
        _map.Return();
        code.Place(HostRegisters.First, rip);
        code.Jump(_go);
        code.Align(16);
        int top = code.Offset;
        Entry(instructions, refused, charged);
        return top;
    }

    /// <summary>Gives back what was charged for instructions that do not run. Destroys the flags.</summary>
    public void GiveBack(int instructions)
    {
        if (instructions != 0)
            Budget(0x87, instructions);
    }

    /// <summary>The entries of a block; what they refuse is written to where it leaves right away.</summary>
    public void Enter(ulong rip, int instructions)
    {
        // add qword [budget], imm8; mov first, rip; jmp
        int charged = code.Offset;
        Budget(0x87, instructions);
        int refused = code.Offset;
        code.Place(HostRegisters.First, rip);
        code.Jump(_go);
        code.Align(16);
        Polling = code.Offset;
        Entry(instructions, refused, charged);
    }

    private void Entry(int instructions, int refused, int charged)
    {
        // cmp dword [exit request], 0; jne
        code.Bytes(0x41, 0x83, 0xbf);
        code.Int32(ContextLayout.ExitRequest);
        code.Bytes(0);
        code.JumpIf(HostEmitter.IfNotEqual, refused);
        // sub qword [budget], imm8; js
        Budget(0xaf, instructions);
        code.JumpIf(HostEmitter.IfNegative, charged);
    }

    /// <summary>
    /// The way into a run for the interpreter, which has charged the first block; returns where it lies. Where the budget
    /// does not reach for the others, it leaves with the run's first op. The flags are in RAX.
    /// </summary>
    public int EnterCharged(int rest, int body, Op* first)
    {
        if (rest == 0)
            return body;
        int start = code.Offset;
        Budget(0xaf, rest);
        int refused = code.JumpIf(HostEmitter.IfNegative);
        code.Jump(body);
        code.Land(refused);
        GiveBack(rest);
        Leave(first, FlagImage.Rax);
        return start;
    }

    /// <summary>Where the polling entry written last lies.</summary>
    public int Polling { get; private set; }

    /// <summary>Makes the entries of a block lead out.</summary>
    public void Close(int entry)
    {
        int refused = code.TargetOf(entry + PollBytes - sizeof(int));
        code.PatchJump(entry, refused);
        code.PatchJump(entry + PollBytes, refused);
    }

    /// <summary>Goes to a target known by RIP.</summary>
    /// <param name="target">The target's RIP.</param>
    /// <param name="from">The RIP of the instruction that goes there.</param>
    public void Follow(ulong target, ulong from)
    {
        _map!.Return();
        Follow(code.JumpLater(), target, from);
    }

    /// <summary>The same by a conditional jump.</summary>
    public void FollowIf(byte condition, ulong target, ulong from)
    {
        int jump = code.JumpIf(condition);
        if (_map!.Lends)
            _returning.Add((jump, target, from));
        else
            Follow(jump, target, from);
    }

    private void Follow(int jump, ulong target, ulong from) =>
        _jumps.Add((jump, target, _polls || target <= from, (target ^ from) >> 12 != 0));

    /// <summary>Finds the code of the RIP in the first scratch register: its address lies 8 bytes behind what the second points to.</summary>
    public void FindIndirect(Action<int> exit) => FindIndirect(exit, ContextLayout.Jumps);

    /// <summary>The same for the privilege whose jump cache a field of the context points to.</summary>
    public void FindIndirect(Action<int> exit, int jumps)
    {
        code.Rotate(HostRegisters.Second, HostRegisters.First, 12);
        code.Pair(HostEmitter.XorOp, HostRegisters.Second, HostRegisters.First, wide: false);
        code.And(HostRegisters.Second, JumpCache.Entries - 1, wide: false);
        code.Shift(4, HostRegisters.Second, 4, wide: false);
        code.Memory(HostEmitter.AddOp, HostRegisters.Second, HostRegisters.Context, jumps);
        code.Memory(HostEmitter.CmpOp, HostRegisters.First, HostRegisters.Second, 0);
        exit(code.JumpIf(HostEmitter.IfNotEqual));
    }

    /// <summary>Goes to what <see cref="FindIndirect"/> has found, with its RIP in the first scratch register.</summary>
    public void GoIndirect()
    {
        _map!.Return();
        code.JumpTo(HostRegisters.Second, 8);
    }

    /// <summary>Keeps what was found while both scratch registers are used.</summary>
    public void Remember()
    {
        code.Memory(HostEmitter.MovStore, HostRegisters.First, HostRegisters.Context, ContextLayout.Target);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Second, 8);
        code.Memory(HostEmitter.MovStore, HostRegisters.Second, HostRegisters.Context, ContextLayout.TargetCode);
    }

    public void GoRemembered()
    {
        _map!.Return();
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, ContextLayout.Target);
        code.JumpTo(HostRegisters.Context, ContextLayout.TargetCode);
    }

    /// <summary>Writes where the run's jumps lead as long as they are not linked, and makes their links.</summary>
    public void Finish(Block* source)
    {
        foreach ((int jump, ulong target, ulong from) in _returning)
        {
            code.Land(jump);
            Follow(target, from);
        }
        foreach ((int jump, ulong target, bool polls, bool crosses) in _jumps)
        {
            int link = links.Next;
            int stub = code.Offset;
            code.Target(HostRegisters.First, target);
            code.LinkNumber(HostRegisters.Second, link);
            code.Jump(_leaveWithLink);
            int table = 0;
            if (crosses)
                table = WriteTable(target);
            code.PatchDisplacement(jump, stub);
            links.Add(source, jump, stub, table, polls);
            _made.Add(new TemplateLink(jump, stub, table, polls));
        }
        _jumps.Clear();
    }

    /// <summary>Writes code that goes to a target by the jump cache; returns where it lies.</summary>
    public int WriteTable(ulong target)
    {
        int table = code.Offset;
        code.Place(HostRegisters.First, target);
        code.Memory(HostEmitter.MovLoad, HostRegisters.Second, HostRegisters.Context, ContextLayout.Jumps);
        code.Entry(HostEmitter.CmpOp, HostRegisters.First, HostRegisters.Second, target, 0);
        code.JumpIf(HostEmitter.IfNotEqual, _go);
        code.JumpToEntry(HostRegisters.Second, target, 8);
        return table;
    }

    /// <summary>ADD or SUB of a constant and the budget.</summary>
    private void Budget(byte form, int instructions)
    {
        code.Bytes(0x49, 0x83, form);
        code.Int32(ContextLayout.Budget);
        code.Bytes((byte)instructions);
    }
}
