using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>How an instruction is translated.</summary>
internal enum Form
{
    /// <summary>Not at all: the interpreter executes it, and the rest of its block.</summary>
    Interpreted,

    /// <summary>The guest's instruction itself, on the host's registers.</summary>
    Copied,
    Address,
    Nothing,

    /// <summary>The guest's instruction itself, on the host's vector registers too.</summary>
    Vector,
    Push,
    PushConstant,
    Pop,
    Leave,
    Jump,
    ConditionalJump,
    Call,
    IndirectJump,
    IndirectCall,
    Return,

    /// <summary>LOOP and JRCXZ: <see cref="LoopCode"/>.</summary>
    Loop,

    /// <summary>SYSCALL and SYSRET, which end their block: <see cref="PrivilegeCode"/>.</summary>
    Privilege,

    /// <summary>DIV and IDIV: <see cref="DivisionCode"/>.</summary>
    Division,

    /// <summary>Shifts and rotates with live flags: <see cref="RotateCode"/>.</summary>
    Rotate,

    /// <summary>Bit scans, bit tests in memory, BMI, ADX: <see cref="BitCode"/>.</summary>
    Bits,

    /// <summary>String instructions: <see cref="StringCode"/>.</summary>
    String,

    /// <summary>AH to DH: <see cref="HighByteCode"/>.</summary>
    HighByte,

    /// <summary>Flags as operands, STI, STAC, segment registers, CMPXCHG8B and 16B: <see cref="StateCode"/>.</summary>
    State,

    /// <summary>PUSH and POP of memory, XLAT: <see cref="StackCode"/>.</summary>
    Stack,
}

/// <summary>What an instruction leaves in the status flags, beside what the manual defines: the interpreter's choice.</summary>
internal enum FlagResult
{
    /// <summary>Nothing is written.</summary>
    None,

    /// <summary>All six as the processor has them.</summary>
    Arithmetic,

    /// <summary>All but CF, which stays.</summary>
    KeepsCarry,

    /// <summary>AF, undefined, is 0; so are OF and CF.</summary>
    Logic,

    /// <summary>AF is 0, the others as the processor has them.</summary>
    ShiftByOne,

    /// <summary>AF is 0; OF is CF xor SF.</summary>
    ShiftLeft,

    /// <summary>AF and OF are 0.</summary>
    ShiftRight,

    /// <summary>CF and OF as the processor has them; the others stay.</summary>
    CarryOverflow,

    /// <summary>OF alone.</summary>
    Overflow,

    /// <summary>ZF alone.</summary>
    Zero,

    /// <summary>CF and OF as the processor has them, AF 0, the others of the product's low half.</summary>
    Product,

    /// <summary>CF alone.</summary>
    Carry,

    /// <summary>Not to be had from the processor: translated only where nobody looks at them.</summary>
    Unlike,
}

/// <summary>How an instruction uses its memory operand.</summary>
internal enum MemoryUse
{
    None,
    Read,

    /// <summary>Written, or read and written: a store must be allowed before anything happens.</summary>
    Write,
}

/// <summary>One guest instruction of a block, as the translator sees it.</summary>
internal struct GuestInstruction
{
    public const RflagsBits Status = RflagsBits.OF | RflagsBits.SF | RflagsBits.ZF | RflagsBits.AF | RflagsBits.CF | RflagsBits.PF;

    public Instruction Instruction;
    public Form Form;
    public FlagResult Flags;
    public MemoryUse Memory;

    /// <summary>An instruction of a family that never leaves translated code.</summary>
    public bool Stays;

    /// <summary>The memory operand's part in a group, if it has one.</summary>
    public GroupedAccess Access;

    /// <summary>The memory operand is aligned if those before it are.</summary>
    public bool IsAligned;

    /// <summary>The memory operand, in a loop, is not near where it was the turn before.</summary>
    public bool Wanders;

    /// <summary>The memory operand, in a loop, is in one place all the time, whose host address is kept in a place of the context.</summary>
    public bool IsFixed;
    public byte Place;

    /// <summary>It has been reached in the first turn: the instruction cannot leave.</summary>
    public bool IsReached;

    /// <summary>RAX is an operand that the encoding does not name.</summary>
    public bool UsesAccumulator;

    /// <summary>Status flags that the instruction reads, and those that never survive it.</summary>
    public RflagsBits Reads, Kills;

    /// <summary>Status flags that somebody may look at after the instruction.</summary>
    public RflagsBits Live;

    /// <summary>Whether the state must be the interpreter's when the instruction starts: it may leave translated code.</summary>
    public readonly bool MayLeave => (Memory != MemoryUse.None && !IsReached) || (Form is not (Form.Copied or Form.Address or Form.Nothing or Form.Vector) && !Stays);

    private static readonly Dictionary<Code, Code> _generalForms = GeneralForms();

    public static GuestInstruction Of(in Instruction decoded)
    {
        GuestInstruction guest = new() { Instruction = decoded };
        ref Instruction instruction = ref guest.Instruction;
        instruction.HasRepPrefix = instruction.HasRepnePrefix = false;
        if (_generalForms.TryGetValue(instruction.Code, out Code general))
            instruction.Code = general;
        // Addresses of 16 bits, and data in the code segment.
        if (instruction.CodeSize == CodeSize.Code32 && !HasFlatAddress(instruction))
            return guest;
        guest.Classify();
        if (guest.Form == Form.Interpreted)
        {
            Families.Classify(ref guest, decoded);
            if (guest.Form != Form.Copied)
                return guest;
        }
        guest.Reads = instruction.RflagsRead & Status;
        guest.Kills = guest.Flags switch
        {
            FlagResult.None => RflagsBits.None,
            FlagResult.KeepsCarry => Status & ~RflagsBits.CF,
            FlagResult.Carry => RflagsBits.CF,
            FlagResult.Unlike => RflagsBits.None,
            _ => Status,
        };
        return guest;
    }

    private void Classify()
    {
        switch (Instruction.Mnemonic)
        {
            case Mnemonic.Mov:
                if (IsGeneral())
                    Copy(FlagResult.None, MemoryUse.Write);
                break;
            case Mnemonic.Movzx or Mnemonic.Movsx or Mnemonic.Movsxd:
                Copy(FlagResult.None, MemoryUse.Read);
                break;
            case Mnemonic.Bswap or Mnemonic.Not or Mnemonic.Xchg:
                Copy(FlagResult.None, MemoryUse.Write);
                break;
            case Mnemonic.Cdq or Mnemonic.Cqo or Mnemonic.Cwd or Mnemonic.Cbw or Mnemonic.Cwde or Mnemonic.Cdqe:
                UsesAccumulator = true;
                Copy(FlagResult.None, MemoryUse.None);
                break;
            case Mnemonic.Lea:
                Form = CanName() ? Form.Address : Form.Interpreted;
                break;
            case Mnemonic.Nop or Mnemonic.Endbr64:
                Form = Form.Nothing;
                break;
            case Mnemonic.Add or Mnemonic.Sub or Mnemonic.Adc or Mnemonic.Sbb or Mnemonic.Neg or Mnemonic.Xadd:
                Copy(FlagResult.Arithmetic, MemoryUse.Write);
                break;
            case Mnemonic.Cmp:
                Copy(FlagResult.Arithmetic, MemoryUse.Read);
                break;
            case Mnemonic.Cmpxchg:
                // With a register for destination that might be the accumulator itself; nobody writes that.
                if (Instruction.Op0Kind != OpKind.Memory)
                    break;
                UsesAccumulator = true;
                Copy(FlagResult.Arithmetic, MemoryUse.Write);
                break;
            case Mnemonic.Inc or Mnemonic.Dec:
                Copy(FlagResult.KeepsCarry, MemoryUse.Write);
                break;
            case Mnemonic.And or Mnemonic.Or or Mnemonic.Xor:
                Copy(FlagResult.Logic, MemoryUse.Write);
                break;
            case Mnemonic.Test:
                Copy(FlagResult.Logic, MemoryUse.Read);
                break;
            case Mnemonic.Shl or Mnemonic.Sal:
                Shift(FlagResult.ShiftLeft);
                break;
            case Mnemonic.Shr:
                Shift(FlagResult.ShiftRight);
                break;
            case Mnemonic.Sar:
                Shift(FlagResult.ShiftRight);
                break;
            case Mnemonic.Shld or Mnemonic.Shrd when Instruction.Op1Register.GetSize() == 2 && !(Instruction.Op2Kind == OpKind.Immediate8 && (Instruction.Immediate8 & 31) <= 16):
                // The result of more than 16 steps is undefined.
                break;
            case Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Shld or Mnemonic.Shrd:
                Copy(FlagResult.Unlike, MemoryUse.Write);
                break;
            case Mnemonic.Imul:
                UsesAccumulator = Instruction.OpCount == 1;
                Copy(FlagResult.Product, MemoryUse.Read);
                break;
            case Mnemonic.Mul:
                UsesAccumulator = true;
                Copy(FlagResult.Product, MemoryUse.Read);
                break;
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc:
                // With memory and a register the address depends on the bit's number.
                if (Instruction.Op0Kind == OpKind.Register)
                    Copy(FlagResult.Carry, MemoryUse.None);
                break;
            case Mnemonic.Push:
                if (Instruction.Code is Code.Push_r64 or Code.Push_r32)
                    Form = Form.Push;
                else if (Instruction.Code is Code.Pushq_imm8 or Code.Pushq_imm32 or Code.Pushd_imm8 or Code.Pushd_imm32)
                    Form = Form.PushConstant;
                break;
            case Mnemonic.Pop:
                if (Instruction.Code is Code.Pop_r64 or Code.Pop_r32 && Instruction.Op0Register is not (Register.RSP or Register.ESP))
                    Form = Form.Pop;
                break;
            case Mnemonic.Leave:
                if (Instruction.Code is Code.Leaveq or Code.Leaved)
                    Form = Form.Leave;
                break;
            case Mnemonic.Jmp:
                if (Instruction.Op0Kind is OpKind.NearBranch64 or OpKind.NearBranch32)
                    Form = Form.Jump;
                else if (Instruction.Code is Code.Jmp_rm64 or Code.Jmp_rm32)
                    Indirect(Form.IndirectJump);
                break;
            case Mnemonic.Call:
                if (Instruction.Op0Kind is OpKind.NearBranch64 or OpKind.NearBranch32)
                    Form = Form.Call;
                else if (Instruction.Code is Code.Call_rm64 or Code.Call_rm32)
                    Indirect(Form.IndirectCall);
                break;
            case Mnemonic.Ret:
                if (Instruction.Code is Code.Retnq or Code.Retnq_imm16 or Code.Retnd or Code.Retnd_imm16)
                    Form = Form.Return;
                break;
            default:
                if (LoopCode.Classify(ref this))
                    break;
                if (Instruction.FlowControl == FlowControl.ConditionalBranch)
                    Form = Instruction.IsJccShortOrNear && Instruction.Op0Kind is OpKind.NearBranch64 or OpKind.NearBranch32 ? Form.ConditionalJump : Form.Interpreted;
                else if (IsMoveOnCondition(Instruction.Mnemonic))
                    Copy(FlagResult.None, MemoryUse.Read);
                else if (IsSetOnCondition(Instruction.Mnemonic))
                    Copy(FlagResult.None, MemoryUse.Write);
                else
                    CopyVector();
                break;
        }
    }

    /// <summary>Makes it an instruction that is copied, where its operands are general registers, memory and constants.</summary>
    public void Copy(FlagResult flags, MemoryUse memory)
    {
        if (!CanName() || !IsGeneral())
            return;
        Form = Form.Copied;
        Flags = flags;
        int operand = MemoryOperand();
        if (operand < 0)
            return;
        // A memory operand that is not the first is a source; exchanges name it first.
        Memory = operand == 0 ? memory : MemoryUse.Read;
        if (operand != 0 && Instruction.Mnemonic == Mnemonic.Xchg)
            Form = Form.Interpreted;
    }

    private void CopyVector()
    {
        VectorTraits traits = VectorForms.Of(Instruction.Code);
        int operand = MemoryOperand();
        if (traits == VectorTraits.None || (operand >= 0 && Instruction.MemorySize.GetSize() == 0))
            return;
        Form = Form.Vector;
        Flags = (Instruction.RflagsModified & Status) != 0 ? FlagResult.Arithmetic : FlagResult.None;
        UsesAccumulator = (traits & VectorTraits.UsesAccumulator) != 0;
        // Vector instructions that name memory first are stores.
        Memory = operand < 0 ? MemoryUse.None : operand == 0 ? MemoryUse.Write : MemoryUse.Read;
    }

    private void Indirect(Form form)
    {
        if (!CanName())
            return;
        Form = form;
        Memory = MemoryOperand() < 0 ? MemoryUse.None : MemoryUse.Read;
    }

    /// <summary>A shift by a constant that leaves every flag defined or chosen; by CL, none may be needed.</summary>
    private void Shift(FlagResult flags)
    {
        if (Instruction.Op1Kind == OpKind.Register)
        {
            Copy(FlagResult.Unlike, MemoryUse.Write);
            return;
        }
        int bits = Instruction.Op0Kind == OpKind.Register ? Instruction.Op0Register.GetSize() * 8 : Instruction.MemorySize.GetSize() * 8;
        int count = (int)Instruction.GetImmediate(1) & (bits == 64 ? 63 : 31);
        if (count == 0 || count >= bits)
            return;
        // A count of 1 defines OF.
        Copy(count == 1 ? FlagResult.ShiftByOne : flags, MemoryUse.Write);
    }

    private readonly int MemoryOperand()
    {
        for (int i = 0; i < Instruction.OpCount; i++)
            if (Instruction.GetOpKind(i) == OpKind.Memory)
                return i;
        return -1;
    }

    private static bool HasFlatAddress(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            if (kind is OpKind.MemorySegSI or OpKind.MemorySegDI or OpKind.MemoryESDI)
                return false;
            if (kind is not (OpKind.Memory or OpKind.MemorySegESI or OpKind.MemorySegEDI))
                continue;
            Register register = instruction.MemoryBase != Register.None ? instruction.MemoryBase : instruction.MemoryIndex;
            if (instruction.MemorySegment == Register.CS || register.GetSize() == 2 || (register == Register.None && instruction.MemoryDisplSize == 2))
                return false;
        }
        return true;
    }

    /// <summary>Only general registers, memory and constants.</summary>
    private readonly bool IsGeneral()
    {
        for (int i = 0; i < Instruction.OpCount; i++)
        {
            OpKind kind = Instruction.GetOpKind(i);
            if (kind == OpKind.Register ? !Instruction.GetOpRegister(i).IsGPR() : kind is not (OpKind.Memory or (>= OpKind.Immediate8 and <= OpKind.Immediate32to64)))
                return false;
        }
        return true;
    }

    /// <summary>AH to DH cannot be named together with the host's upper registers.</summary>
    private readonly bool CanName()
    {
        for (int i = 0; i < Instruction.OpCount; i++)
            if (Instruction.GetOpKind(i) == OpKind.Register && Instruction.GetOpRegister(i) is >= Register.AH and <= Register.BH)
                return false;
        return true;
    }

    private static bool IsMoveOnCondition(Mnemonic mnemonic) => mnemonic is Mnemonic.Cmova or Mnemonic.Cmovae or Mnemonic.Cmovb or Mnemonic.Cmovbe
        or Mnemonic.Cmove or Mnemonic.Cmovg or Mnemonic.Cmovge or Mnemonic.Cmovl or Mnemonic.Cmovle or Mnemonic.Cmovne or Mnemonic.Cmovno
        or Mnemonic.Cmovnp or Mnemonic.Cmovns or Mnemonic.Cmovo or Mnemonic.Cmovp or Mnemonic.Cmovs;

    private static bool IsSetOnCondition(Mnemonic mnemonic) => mnemonic is Mnemonic.Seta or Mnemonic.Setae or Mnemonic.Setb or Mnemonic.Setbe
        or Mnemonic.Sete or Mnemonic.Setg or Mnemonic.Setge or Mnemonic.Setl or Mnemonic.Setle or Mnemonic.Setne or Mnemonic.Setno
        or Mnemonic.Setnp or Mnemonic.Setns or Mnemonic.Seto or Mnemonic.Setp or Mnemonic.Sets;

    /// <summary>Encodings that imply the accumulator, and those of the same instruction that name a register.</summary>
    private static Dictionary<Code, Code> GeneralForms() => new()
    {
        [Code.Inc_r16] = Code.Inc_rm16, [Code.Inc_r32] = Code.Inc_rm32, [Code.Dec_r16] = Code.Dec_rm16, [Code.Dec_r32] = Code.Dec_rm32,
        [Code.Mov_AL_moffs8] = Code.Mov_r8_rm8, [Code.Mov_AX_moffs16] = Code.Mov_r16_rm16, [Code.Mov_EAX_moffs32] = Code.Mov_r32_rm32, [Code.Mov_RAX_moffs64] = Code.Mov_r64_rm64,
        [Code.Mov_moffs8_AL] = Code.Mov_rm8_r8, [Code.Mov_moffs16_AX] = Code.Mov_rm16_r16, [Code.Mov_moffs32_EAX] = Code.Mov_rm32_r32, [Code.Mov_moffs64_RAX] = Code.Mov_rm64_r64,
        [Code.Xchg_r16_AX] = Code.Xchg_rm16_r16, [Code.Xchg_r32_EAX] = Code.Xchg_rm32_r32, [Code.Xchg_r64_RAX] = Code.Xchg_rm64_r64,
        [Code.Movnti_m32_r32] = Code.Mov_rm32_r32, [Code.Movnti_m64_r64] = Code.Mov_rm64_r64,
        [Code.Add_AL_imm8] = Code.Add_rm8_imm8, [Code.Add_AX_imm16] = Code.Add_rm16_imm16, [Code.Add_EAX_imm32] = Code.Add_rm32_imm32, [Code.Add_RAX_imm32] = Code.Add_rm64_imm32,
        [Code.Or_AL_imm8] = Code.Or_rm8_imm8, [Code.Or_AX_imm16] = Code.Or_rm16_imm16, [Code.Or_EAX_imm32] = Code.Or_rm32_imm32, [Code.Or_RAX_imm32] = Code.Or_rm64_imm32,
        [Code.Adc_AL_imm8] = Code.Adc_rm8_imm8, [Code.Adc_AX_imm16] = Code.Adc_rm16_imm16, [Code.Adc_EAX_imm32] = Code.Adc_rm32_imm32, [Code.Adc_RAX_imm32] = Code.Adc_rm64_imm32,
        [Code.Sbb_AL_imm8] = Code.Sbb_rm8_imm8, [Code.Sbb_AX_imm16] = Code.Sbb_rm16_imm16, [Code.Sbb_EAX_imm32] = Code.Sbb_rm32_imm32, [Code.Sbb_RAX_imm32] = Code.Sbb_rm64_imm32,
        [Code.And_AL_imm8] = Code.And_rm8_imm8, [Code.And_AX_imm16] = Code.And_rm16_imm16, [Code.And_EAX_imm32] = Code.And_rm32_imm32, [Code.And_RAX_imm32] = Code.And_rm64_imm32,
        [Code.Sub_AL_imm8] = Code.Sub_rm8_imm8, [Code.Sub_AX_imm16] = Code.Sub_rm16_imm16, [Code.Sub_EAX_imm32] = Code.Sub_rm32_imm32, [Code.Sub_RAX_imm32] = Code.Sub_rm64_imm32,
        [Code.Xor_AL_imm8] = Code.Xor_rm8_imm8, [Code.Xor_AX_imm16] = Code.Xor_rm16_imm16, [Code.Xor_EAX_imm32] = Code.Xor_rm32_imm32, [Code.Xor_RAX_imm32] = Code.Xor_rm64_imm32,
        [Code.Cmp_AL_imm8] = Code.Cmp_rm8_imm8, [Code.Cmp_AX_imm16] = Code.Cmp_rm16_imm16, [Code.Cmp_EAX_imm32] = Code.Cmp_rm32_imm32, [Code.Cmp_RAX_imm32] = Code.Cmp_rm64_imm32,
        [Code.Test_AL_imm8] = Code.Test_rm8_imm8, [Code.Test_AX_imm16] = Code.Test_rm16_imm16, [Code.Test_EAX_imm32] = Code.Test_rm32_imm32, [Code.Test_RAX_imm32] = Code.Test_rm64_imm32,
    };
}
