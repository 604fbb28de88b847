using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits the keeping of status flags. They are in the context (see VcpuContext.NativeFlags) whenever somebody may look;
/// beside that, right after an instruction, some of them stand in the host's flags, and need no load.
/// </summary>
internal sealed class FlagCode(HostEmitter code)
{
    private const byte WithoutAdjust = 0xef;

    /// <summary>Flags that the host's register holds as the guest has them.</summary>
    private RflagsBits _standing;

    /// <summary>A block starts: flags are in the context only.</summary>
    public void Start() => _standing = RflagsBits.None;

    /// <summary>What was just emitted wrote the host's flags.</summary>
    public void Lost() => _standing = RflagsBits.None;

    /// <summary>Brings flags into the host's register. Destroys RAX.</summary>
    public void Need(RflagsBits flags)
    {
        if ((flags & ~_standing) == 0)
            return;
        // movzx eax, word [flags]; and ah, 0xfe; or ah, [carry]; add al, 0x7f (OF); sahf
        code.Bytes(0x41, 0x0f, 0xb7, 0x87);
        code.Int32(ContextLayout.Flags);
        if ((flags & RflagsBits.CF) != 0)
        {
            // AH has no encoding beside R15: the carry comes through the low byte of a shifted word.
            code.Memory(0x8a, HostRegisters.Second, HostRegisters.Context, ContextLayout.Carry, wide: false);
            // ror ax, 8; and al, 0xfe; or al, r11b; ror ax, 8
            code.Bytes(0x66, 0xc1, 0xc8, 8);
            code.Bytes(0x24, 0xfe);
            code.Bytes(0x44, 0x08, 0xd8);
            code.Bytes(0x66, 0xc1, 0xc8, 8);
        }
        code.Bytes(0x04, 0x7f);
        code.Bytes(0x9e);
        _standing = GuestInstruction.Status & ~RflagsBits.AF;
        if ((flags & RflagsBits.CF) == 0)
            _standing &= ~RflagsBits.CF;
    }

    /// <summary>An instruction wrote flags in the host's register: keeps those that may be looked at.</summary>
    /// <param name="result">How they are to be read.</param>
    /// <param name="live">Those that may be looked at.</param>
    /// <param name="product">The register with the low half of a product.</param>
    public void Written(FlagResult result, RflagsBits live, Register product)
    {
        switch (result)
        {
            case FlagResult.None:
                return;
            case FlagResult.Unlike:
                _standing = RflagsBits.None;
                return;
            case FlagResult.Carry:
                _standing = RflagsBits.CF;
                if ((live & RflagsBits.CF) != 0)
                    SetCarry();
                return;
            case FlagResult.KeepsCarry:
                _standing = (_standing & RflagsBits.CF) | (GuestInstruction.Status & ~RflagsBits.CF);
                if ((live & ~RflagsBits.CF) != 0)
                {
                    LoadFlags();
                    SetOverflow();
                    Keep(0xff);
                }
                return;
        }
        if (live == RflagsBits.None)
        {
            // Nobody looks at them, not even the next instruction.
            _standing = RflagsBits.None;
            return;
        }
        switch (result)
        {
            case FlagResult.Arithmetic:
                LoadFlags();
                SetOverflow();
                SetCarry();
                Keep(0xff);
                _standing = GuestInstruction.Status;
                break;
            case FlagResult.Logic:
                LoadFlags();
                SetOverflow();
                SetCarry();
                Keep(WithoutAdjust);
                _standing = GuestInstruction.Status & ~RflagsBits.AF;
                break;
            case FlagResult.ShiftRight:
                LoadFlags();
                code.Bytes(0xb0, 0);
                SetCarry();
                Keep(WithoutAdjust);
                _standing = GuestInstruction.Status & ~(RflagsBits.AF | RflagsBits.OF);
                break;
            case FlagResult.ShiftLeft:
                LoadFlags();
                SetCarry();
                // mov al, ah; shr al, 7; xor al, [carry]
                code.Bytes(0x88, 0xe0, 0xc0, 0xe8, 7);
                code.Memory(0x32, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Carry, wide: false);
                Keep(WithoutAdjust);
                _standing = RflagsBits.None;
                break;
            case FlagResult.Product:
                SetCarry();
                code.Copy(Test(product));
                LoadFlags();
                code.Memory(0x8a, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Carry, wide: false);
                Keep(WithoutAdjust);
                _standing = RflagsBits.None;
                break;
        }
    }

    private static Instruction Test(Register register) => Instruction.Create(register.GetSize() switch
    {
        8 => Code.Test_rm64_r64,
        4 => Code.Test_rm32_r32,
        2 => Code.Test_rm16_r16,
        _ => Code.Test_rm8_r8,
    }, register, register);

    /// <summary>LAHF.</summary>
    private void LoadFlags() => code.Bytes(0x9f);

    /// <summary>SETO AL.</summary>
    private void SetOverflow() => code.Bytes(0x0f, 0x90, 0xc0);

    /// <summary>SETC into the context.</summary>
    private void SetCarry()
    {
        code.Bytes(0x41, 0x0f, 0x92, 0x87);
        code.Int32(ContextLayout.Carry);
    }

    /// <summary>Stores AX, and which of its flags count.</summary>
    private void Keep(byte mask)
    {
        code.Bytes(0x66);
        code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Flags, wide: false);
        code.Bytes(0x41, 0xc6, 0x87);
        code.Int32(ContextLayout.Kept);
        code.Bytes(mask);
    }
}
