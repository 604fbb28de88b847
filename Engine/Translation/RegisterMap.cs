using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Where guest registers are in one run: as <see cref="HostRegisters"/> has them, but that some which the run uses much lie
/// in host registers of others that it uses little or not at all. Those wait in the context meanwhile. The way in
/// exchanges them, and so does every way out.
/// </summary>
internal sealed class RegisterMap(HostEmitter code)
{
    private const int Registers = 16;

    /// <summary>What a loan must save: the loads and stores of a turn, or of a run that does not go round, whose ways in and out cost more.</summary>
    private const int LeastInLoop = 1, LeastInRun = 6;

    private readonly sbyte[] _homes = new sbyte[Registers];
    private readonly int[] _uses = new int[Registers];
    private readonly List<(int Borrower, int Owner, int Host)> _loans = [];
    private readonly InstructionInfoFactory _registers = new();
    private uint _pinned;

    /// <summary>The host register that holds a guest register; -1: it is in the context.</summary>
    public int Home(int guest) => _homes[guest];

    /// <summary>Whether registers lie elsewhere than on the ways between runs.</summary>
    public bool Lends => _loans.Count != 0;

    /// <summary>Chooses for the instructions of a run.</summary>
    public void Choose(ReadOnlySpan<GuestInstruction> run, bool isLoop)
    {
        _loans.Clear();
        for (int guest = 0; guest < Registers; guest++)
            _homes[guest] = (sbyte)HostRegisters.Home(guest);
        if (!Count(run))
            return;
        while (true)
        {
            int borrower = -1, owner = -1;
            for (int guest = 0; guest < Registers; guest++)
                if (HostRegisters.Home(guest) < 0 && _homes[guest] < 0 && (borrower < 0 || _uses[guest] > _uses[borrower]))
                    borrower = guest;
                else if (HostRegisters.Home(guest) >= 0 && _homes[guest] >= 0 && (_pinned >> guest & 1) == 0 && (owner < 0 || _uses[guest] < _uses[owner]))
                    owner = guest;
            if (borrower < 0 || owner < 0 || _uses[borrower] - _uses[owner] < (isLoop ? LeastInLoop : LeastInRun))
                return;
            _loans.Add((borrower, owner, _homes[owner]));
            (_homes[borrower], _homes[owner]) = (_homes[owner], -1);
        }
    }

    /// <summary>Emits the way in. No flags are written.</summary>
    public void Enter()
    {
        foreach ((int borrower, int owner, int host) in _loans)
            Exchange(owner, host, borrower);
    }

    /// <summary>Emits what comes before every way out: registers are where others expect them. No flags are written.</summary>
    public void Return()
    {
        foreach ((int borrower, int owner, int host) in _loans)
            Exchange(borrower, host, owner);
    }

    private void Exchange(int leaves, int host, int comes)
    {
        code.Memory(HostEmitter.MovStore, host, HostRegisters.Context, ContextLayout.Gpr + 8 * leaves);
        code.Memory(HostEmitter.MovLoad, host, HostRegisters.Context, ContextLayout.Gpr + 8 * comes);
    }

    /// <summary>
    /// Counts uses, and finds registers that must stay in their own host's: those that instructions use without naming them,
    /// or name because there is no choice. False: no register of the context is used.
    /// </summary>
    private bool Count(ReadOnlySpan<GuestInstruction> run)
    {
        Array.Clear(_uses);
        _pinned = 0;
        foreach (ref readonly GuestInstruction guest in run)
            foreach (UsedRegister used in _registers.GetInfo(guest.Instruction).GetUsedRegisters())
            {
                if (!used.Register.IsGPR())
                    continue;
                int number = HostRegisters.Number(used.Register);
                _uses[number] += used.Access is OpAccess.ReadWrite or OpAccess.ReadCondWrite ? 2 : 1;
                if (!IsFree(guest, used.Register, number))
                    _pinned |= 1u << number;
            }
        for (int guest = 0; guest < Registers; guest++)
            if (HostRegisters.Home(guest) < 0 && _uses[guest] != 0)
                return true;
        return false;
    }

    /// <summary>Whether an instruction is emitted with any register in the place of one that it uses.</summary>
    private static bool IsFree(in GuestInstruction guest, Register register, int number)
    {
        ref readonly Instruction instruction = ref guest.Instruction;
        if (RegisterCode.IsHigh(register) || (Implied(guest) >> number & 1) != 0
            || guest.Form is Form.Division or Form.String or Form.State or Form.Stack or Form.Leave or Form.Loop or Form.Privilege)
            return false;
        if (Is(instruction.MemoryBase, number) || Is(instruction.MemoryIndex, number))
            return true;
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Register && Is(instruction.GetOpRegister(i), number))
                return true;
        return false;
    }

    private static bool Is(Register register, int number) => register.IsGPR() && HostRegisters.Number(register) == number;

    /// <summary>Registers, a bit each, that an instruction uses without naming them, though it may name them as well, or names as the only ones possible.</summary>
    private static uint Implied(in GuestInstruction guest)
    {
        const uint Rax = 1 << 0, Rcx = 1 << 1, Rdx = 1 << 2, Rsp = 1 << 4;
        if (guest.Form is Form.Push or Form.PushConstant or Form.Pop or Form.Call or Form.IndirectCall or Form.Return)
            return Rsp;
        uint accumulator = guest.UsesAccumulator ? Rax | Rdx : 0;
        return accumulator | guest.Instruction.Mnemonic switch
        {
            Mnemonic.Mulx => Rdx,
            Mnemonic.Pcmpistri or Mnemonic.Pcmpestri or Mnemonic.Vpcmpistri or Mnemonic.Vpcmpestri => Rcx,
            // CL says how far.
            Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr
                or Mnemonic.Shld or Mnemonic.Shrd => Rcx,
            _ => 0,
        };
    }
}
