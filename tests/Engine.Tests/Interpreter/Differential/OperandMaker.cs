using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>Chooses an instruction's operands, and registers so that its memory operands lie in the window.</summary>
internal sealed unsafe class OperandMaker(Random random, bool wide, NativeCase* unit)
{
    private static readonly Register[] _low8 = [Register.AL, Register.CL, Register.DL, Register.BL, Register.AH, Register.CH, Register.DH, Register.BH];

    /// <summary>The general register (by encoding) that the memory operand's address depends on last; -1: none.</summary>
    private int _fixed = -1;

    /// <summary>False where the operand kind is not an integer instruction's.</summary>
    public bool Fill(OpCodeInfo info, ref Instruction instruction)
    {
        for (int i = 0; i < info.OpCount; i++)
            if (!Operand(info.GetOpKind(i), info.ToInstructionString(), i, ref instruction))
                return false;
        return true;
    }

    /// <summary>Sets registers that the instruction uses without naming them.</summary>
    public void Prepare(in Instruction instruction)
    {
        Mnemonic mnemonic = instruction.Mnemonic;
        if (instruction.IsStackInstruction || instruction.IsCallNear || instruction.IsCallNearIndirect || mnemonic is Mnemonic.Ret or Mnemonic.Enter or Mnemonic.Leave)
        {
            unit->Gpr[Gpr.RSP] = random.Next(32) == 0 ? Address() : NativeCase.Window + 0x100 + (ulong)random.Next(-8, 8);
            unit->Gpr[Gpr.RBP] = random.Next(32) == 0 ? Address() : NativeCase.Window + 0x180 + (ulong)random.Next(-8, 8);
        }
        if (mnemonic == Mnemonic.Ret)
            Put(unit->Gpr[Gpr.RSP], Target());
        if (instruction.IsCallNearIndirect || instruction.IsJmpNearIndirect)
            PutTarget(instruction);
        if (mnemonic is Mnemonic.Popf or Mnemonic.Popfd or Mnemonic.Popfq)
            Put(unit->Gpr[Gpr.RSP], 0x202 | (ulong)random.NextInt64() & (Rflags.Arithmetic | Rflags.DF | Rflags.ID | Rflags.IOPL | Rflags.IF));
        if (instruction.IsStringInstruction)
        {
            unit->Gpr[Gpr.RSI] = Narrow(Address());
            // Which of two faults is reported is the processor's own affair: at most one operand is missing.
            unit->Gpr[Gpr.RDI] = unit->Gpr[Gpr.RSI] >= NativeCase.Hole ? Narrow(NativeCase.Window + 0x80) : Narrow(Address());
            unit->Gpr[Gpr.RCX] = Narrow((ulong)random.Next(12));
            if (instruction.Op0Kind is not (OpKind.MemoryESRDI or OpKind.MemorySegRSI) && instruction.Op1Kind is not (OpKind.MemoryESRDI or OpKind.MemorySegRSI))
                unit->Gpr[Gpr.RCX] |= wide ? (ulong)random.NextInt64() << 32 : 0;
        }
        if (mnemonic == Mnemonic.Xlatb)
            unit->Gpr[Gpr.RBX] = Narrow(NativeCase.Window + 0x40);
        if (instruction.FlowControl == FlowControl.ConditionalBranch && random.Next(2) == 0)
            unit->Gpr[Gpr.RCX] = (ulong)random.Next(3);
        if (mnemonic is Mnemonic.Div or Mnemonic.Idiv && random.Next(2) == 0)
            Divisible();
    }

    /// <summary>Whether all memory operands lie in the window (with what a bit offset adds).</summary>
    public bool InWindow(in Instruction instruction)
    {
        // CALL RSP would have its stack among the code.
        if (instruction.IsCallNearIndirect && instruction.Op0Kind == OpKind.Register && instruction.Op0Register.GetNumber() == Gpr.RSP)
            return false;
        if (instruction.Mnemonic is Mnemonic.Lea or Mnemonic.Nop)
            return true;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) is OpKind.Register or (>= OpKind.NearBranch16 and <= OpKind.Immediate32to64))
                continue;
            ulong address = instruction.GetVirtualAddress(i, 0, Value);
            if (!wide)
                address = (uint)address;
            if (instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc && instruction.Op1Kind == OpKind.Register)
            {
                int bytes = instruction.Op1Register.GetSize();
                ulong raw = unit->Gpr[instruction.Op1Register.GetNumber()];
                long offset = bytes switch
                {
                    2 => (short)raw,
                    4 => (int)raw,
                    _ => (long)raw,
                };
                address += (ulong)(offset >> 3);
            }
            if (address - NativeCase.Hole < NativeCase.HoleBytes)
                continue;
            if (address < NativeCase.Window + 32 || address > NativeCase.Window + NativeCase.WindowBytes - 64)
                return false;
        }
        return true;
    }

    private ulong Narrow(ulong value) => wide ? value : (uint)value;

    private bool Operand(OpCodeOperandKind kind, string text, int i, ref Instruction instruction)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_or_mem
                when random.Next(2) == 0:
            case OpCodeOperandKind.mem:
                return Memory(i, ref instruction);
            case OpCodeOperandKind.mem_offs:
                instruction.SetOpKind(i, OpKind.Memory);
                instruction.MemoryDisplacement64 = Address();
                instruction.MemoryDisplSize = wide ? 8 : 4;
                return true;
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode:
                return Set(i, Byte(), ref instruction);
            case OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_rm or OpCodeOperandKind.r16_opcode:
                return Set(i, Register.AX + Number(), ref instruction);
            case OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r32_vvvv:
                return Set(i, Register.EAX + Number(), ref instruction);
            case OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_opcode or OpCodeOperandKind.r64_vvvv:
                return Set(i, Register.RAX + Number(), ref instruction);
            case OpCodeOperandKind.al:
                return Set(i, Register.AL, ref instruction);
            case OpCodeOperandKind.cl:
                return Set(i, Register.CL, ref instruction);
            case OpCodeOperandKind.ax:
                return Set(i, Register.AX, ref instruction);
            case OpCodeOperandKind.eax:
                return Set(i, Register.EAX, ref instruction);
            case OpCodeOperandKind.rax:
                return Set(i, Register.RAX, ref instruction);
            case OpCodeOperandKind.imm8_const_1:
                return Immediate(i, OpKind.Immediate8, 1, ref instruction);
            case OpCodeOperandKind.imm8 when instruction.Mnemonic == Mnemonic.Enter:
                return Immediate(i, OpKind.Immediate8_2nd, (ulong)random.Next(8), ref instruction);
            case OpCodeOperandKind.imm8:
                return Immediate(i, OpKind.Immediate8, (byte)random.Next(256), ref instruction);
            case OpCodeOperandKind.imm16 when instruction.Mnemonic is Mnemonic.Enter or Mnemonic.Ret:
                return Immediate(i, OpKind.Immediate16, (ulong)random.Next(100), ref instruction);
            case OpCodeOperandKind.imm16:
                return Immediate(i, OpKind.Immediate16, (ushort)random.Next(), ref instruction);
            case OpCodeOperandKind.imm32:
                return Immediate(i, OpKind.Immediate32, (uint)random.NextInt64(), ref instruction);
            case OpCodeOperandKind.imm64:
                return Immediate(i, OpKind.Immediate64, (ulong)random.NextInt64(), ref instruction);
            case OpCodeOperandKind.imm8sex16:
                return Immediate(i, OpKind.Immediate8to16, (ulong)random.Next(-128, 128), ref instruction);
            case OpCodeOperandKind.imm8sex32:
                return Immediate(i, OpKind.Immediate8to32, (ulong)random.Next(-128, 128), ref instruction);
            case OpCodeOperandKind.imm8sex64:
                return Immediate(i, OpKind.Immediate8to64, (ulong)random.Next(-128, 128), ref instruction);
            case OpCodeOperandKind.imm32sex64:
                return Immediate(i, OpKind.Immediate32to64, (ulong)(int)random.NextInt64(), ref instruction);
            case OpCodeOperandKind.br32_1 or OpCodeOperandKind.br32_4:
                instruction.SetOpKind(i, OpKind.NearBranch32);
                instruction.NearBranch32 = (uint)Near();
                return true;
            case OpCodeOperandKind.br64_1 or OpCodeOperandKind.br64_4:
                instruction.SetOpKind(i, OpKind.NearBranch64);
                instruction.NearBranch64 = Near();
                return true;
            case OpCodeOperandKind.seg_rSI:
                instruction.SetOpKind(i, wide ? OpKind.MemorySegRSI : OpKind.MemorySegESI);
                return true;
            case OpCodeOperandKind.es_rDI:
                instruction.SetOpKind(i, wide ? OpKind.MemoryESRDI : OpKind.MemoryESEDI);
                return true;
            case OpCodeOperandKind.seg_rBX_al:
                instruction.SetOpKind(i, OpKind.Memory);
                instruction.MemoryBase = wide ? Register.RBX : Register.EBX;
                instruction.MemoryIndex = Register.AL;
                return true;
            default:
                return false;
        }
    }

    private int Number() => random.Next(wide ? 16 : 8);

    private Register Byte()
    {
        if (!wide || random.Next(3) == 0)
            return _low8[random.Next(8)];
        int number = random.Next(16);
        return number < 4 ? _low8[number] : Register.SPL + (number - 4);
    }

    private static bool Set(int i, Register register, ref Instruction instruction)
    {
        instruction.SetOpKind(i, OpKind.Register);
        instruction.SetOpRegister(i, register);
        return true;
    }

    private static bool Immediate(int i, OpKind kind, ulong value, ref Instruction instruction)
    {
        instruction.SetOpKind(i, kind);
        instruction.SetImmediate(i, value);
        return true;
    }

    /// <summary>An operand's address: in the window, or now and then where nothing is mapped.</summary>
    private ulong Address() => random.Next(32) == 0
        ? NativeCase.Hole + (ulong)random.Next(0x1000, NativeCase.HoleBytes - 0x1000)
        : NativeCase.Window + 0x80 + (ulong)random.Next(0x100);

    private bool Memory(int i, ref Instruction instruction)
    {
        instruction.SetOpKind(i, OpKind.Memory);
        ulong address = instruction.Mnemonic == Mnemonic.Cmpxchg16b && random.Next(4) != 0 ? Address() & ~15ul : Address();
        if (wide && random.Next(6) == 0)
        {
            instruction.MemoryBase = Register.RIP;
            instruction.MemoryDisplacement64 = address;
            instruction.MemoryDisplSize = 8;
            return true;
        }
        bool narrow = !wide || random.Next(5) == 0;
        Register first = narrow ? Register.EAX : Register.RAX;
        int @base = Number(), index = random.Next(2) == 0 ? Number() : -1;
        if (index == Gpr.RSP || index == @base)
            index = -1;
        int scale = 1 << random.Next(4);
        int displacement = random.Next(3) switch
        {
            0 => 0,
            1 => random.Next(-128, 128),
            _ => random.Next(-100000, 100000),
        };
        instruction.MemoryBase = first + @base;
        if (index >= 0)
        {
            instruction.MemoryIndex = first + index;
            instruction.MemoryIndexScale = scale;
        }
        instruction.MemoryDisplacement64 = (ulong)displacement;
        instruction.MemoryDisplSize = displacement == 0 ? 0 : displacement is >= -128 and < 128 ? 1 : narrow ? 4 : 8;
        ulong rest = (ulong)displacement + (index >= 0 ? unit->Gpr[index] * (ulong)scale : 0);
        ulong value = address - rest;
        unit->Gpr[@base] = narrow && wide ? (uint)value | (ulong)random.NextInt64() << 32 : value;
        _fixed = @base;
        LimitBitOffset(instruction);
        return true;
    }

    /// <summary>A bit offset in a register must not lead out of the window; its register is chosen after the address.</summary>
    private void LimitBitOffset(in Instruction instruction)
    {
        if (instruction.Mnemonic is not (Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc))
            return;
        for (int i = 0; i < 16; i++)
            if (i != _fixed && (instruction.MemoryIndex == Register.None || i != instruction.MemoryIndex.GetNumber()))
                unit->Gpr[i] = (ulong)random.Next(-500, 500);
    }

    /// <summary>A direct branch's target: never in the instruction itself.</summary>
    private ulong Near() => NativeCase.Code + (ulong)(random.Next(2) == 0 ? random.Next(-100, 0) : random.Next(16, 100));

    private ulong Target() => NativeCase.CodePage + 0x100 + (ulong)random.Next(0x600);

    private void Put(ulong address, ulong value)
    {
        ulong offset = address - NativeCase.Window;
        if (offset <= NativeCase.WindowBytes - 8)
            *(ulong*)(unit->Memory + offset) = value;
    }

    private void PutTarget(in Instruction instruction)
    {
        if (instruction.Op0Kind == OpKind.Register)
        {
            unit->Gpr[instruction.Op0Register.GetNumber()] = Target();
            return;
        }
        for (int i = 0; i + 8 <= NativeCase.WindowBytes; i++)
            unit->Memory[i] = 0;
        ulong target = Target();
        // Wherever in the window it reads: the operand's address is computed as the processor will.
        ulong address = instruction.GetVirtualAddress(0, 0, Value);
        Put(wide && instruction.MemoryBase.GetSize() == 8 ? address : (uint)address, target);
    }

    private ulong Value(Register register, int element, int size)
    {
        if (register.IsSegmentRegister())
            return 0;
        ulong value = unit->Gpr[register.GetNumber()];
        return register.GetSize() == 4 ? (uint)value : value;
    }

    private void Divisible()
    {
        switch (random.Next(3))
        {
            case 0:
                unit->Gpr[Gpr.RDX] = 0;
                break;
            case 1:
                unit->Gpr[Gpr.RDX] = (ulong)((long)unit->Gpr[Gpr.RAX] >> 63);
                break;
            default:
                unit->Gpr[Gpr.RDX] = (ulong)random.Next(0x100);
                break;
        }
    }
}
