using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>Where the image of the guest's status flags is: AH as LAHF has them, and OF in bit 0 of AL.</summary>
internal enum FlagImage
{
    /// <summary>Nowhere: the host's flags hold all that anybody may look at.</summary>
    None,
    Rax,
    Context,

    /// <summary>Nowhere: <see cref="FlagRecipe"/> makes them again.</summary>
    Recipe,
}

/// <summary>What is still to be done to make the guest's AF and OF of an image that was taken from the host's flags.</summary>
internal enum FlagRest
{
    Nothing,

    /// <summary>AF is 0.</summary>
    Adjust,

    /// <summary>AF and OF are 0; AL holds something else.</summary>
    AdjustAndOverflow,

    /// <summary>AF is 0, and OF is CF xor SF; AL holds something else.</summary>
    LeftShift,
}

/// <summary>Where the flags are when no host flag holds them.</summary>
internal readonly record struct FlagState(FlagImage Image, bool Dead, FlagRecipe Recipe, FlagRest Rest);

/// <summary>Where the flags are, those that the host's register holds included.</summary>
internal readonly record struct FlagPlace(FlagImage Image, RflagsBits Host, bool Dead, FlagRest Wants, FlagRest Rest, FlagRecipe Recipe);

/// <summary>
/// Emits the keeping of status flags. They stay in the host's flags as long as nothing destroys those; before that they
/// are put into RAX, where they are on every way from block to block, too.
/// </summary>
internal sealed class FlagCode(HostEmitter code)
{
    /// <summary>Flags that the host's register holds as the guest has them.</summary>
    private RflagsBits _host;

    /// <summary>Nobody looks at the flags before they are written again.</summary>
    private bool _dead;

    /// <summary>What an image of the host's flags wants.</summary>
    private FlagRest _wants;

    /// <summary>What the image in RAX wants.</summary>
    private FlagRest _rest;

    private FlagRecipe _recipe;

    /// <summary>Where the flags are beside the host's register.</summary>
    public FlagImage Image { get; private set; }

    /// <summary>On the ways between blocks.</summary>
    public static FlagState InRax => new(FlagImage.Rax, false, default, FlagRest.Nothing);

    /// <summary>Host registers, a bit each, that must not be written without a word to <see cref="Overwrite"/>.</summary>
    public uint Registers => _recipe.Registers;

    /// <summary>What <see cref="Normalize"/> has left.</summary>
    public FlagState State
    {
        get => new(Image, _dead, Image == FlagImage.Recipe ? _recipe : default, Image == FlagImage.Rax ? _rest : FlagRest.Nothing);
        set
        {
            (Image, _dead, _recipe, _rest) = value;
            _host = RflagsBits.None;
            _wants = FlagRest.Nothing;
        }
    }

    /// <summary>All that is known of them, to go on with elsewhere from the same place.</summary>
    public FlagPlace Place
    {
        get => new(Image, _host, _dead, _wants, _rest, _recipe);
        set => (Image, _host, _dead, _wants, _rest, _recipe) = (value.Image, value.Host, value.Dead, value.Wants, value.Rest, value.Recipe);
    }

    /// <summary>A run starts: the flags are in RAX.</summary>
    public void Start()
    {
        Image = FlagImage.Rax;
        _host = RflagsBits.None;
        _dead = false;
        _wants = _rest = FlagRest.Nothing;
        _recipe = default;
    }

    /// <summary>As <see cref="Save"/>, where nothing but an exit may look before the flags are asked for again: a recipe will do.</summary>
    public void SaveLazily()
    {
        if (Image == FlagImage.None && !_dead && _recipe.Exists)
            Image = FlagImage.Recipe;
        if (Image != FlagImage.Recipe)
            Take();
        _host = RflagsBits.None;
    }

    /// <summary>To be called before an instruction that writes registers of the recipe.</summary>
    /// <param name="kills">Whether it writes all flags after that, and leaves only before.</param>
    public void Overwrite(bool kills)
    {
        if (Image == FlagImage.Recipe && !kills)
            Keep();
        if (Image != FlagImage.Recipe)
            _recipe = default;
    }

    /// <summary>The instruction written last, on host registers, may make its flags again.</summary>
    public void Recall(in Instruction instruction, FlagResult result)
    {
        if (!_dead && Image == FlagImage.None)
            _recipe = FlagRecipe.Of(instruction, result);
    }

    /// <summary>Whether the host's flags can be made again later, so that nobody needs to save them.</summary>
    public bool CanRecall => _recipe.Exists && Image is FlagImage.None or FlagImage.Recipe;

    /// <summary>The state in which they are left to be made again.</summary>
    public FlagState Recalled => new(FlagImage.Recipe, false, _recipe, FlagRest.Nothing);

    /// <summary>Puts the flags of a state into RAX, from code outside of the run.</summary>
    public void Restore(in FlagState state)
    {
        if (state.Image != FlagImage.Recipe && state.Rest == FlagRest.Nothing)
            return;
        State = state;
        Keep();
    }

    /// <summary>To be called before code that destroys the host's flags.</summary>
    public void Save()
    {
        Take();
        _host = RflagsBits.None;
        Complete();
    }

    /// <summary>The same, for code that is reached in two ways: the flags are in RAX on both, if anybody looks at them.</summary>
    public void Normalize()
    {
        SaveLazily();
        if (Image == FlagImage.Context)
            LoadImage();
    }

    /// <summary>Makes an image where there is none and somebody may look: the code may be left after it. The host's flags stay.</summary>
    public void Keep()
    {
        Take();
        Complete();
    }

    /// <summary>Makes an image where there is none and somebody may look, as the host's flags have it. They stay.</summary>
    private void Take()
    {
        Replay();
        if (Image != FlagImage.None || _dead)
            return;
        LoadFlags();
        if (_wants is FlagRest.Nothing or FlagRest.Adjust)
            // seto al
            code.Bytes(0x0f, 0x90, 0xc0);
        _rest = _wants;
        Image = FlagImage.Rax;
    }

    /// <summary>Makes an image in RAX the guest's. The host's flags stay, if anything of theirs is known.</summary>
    private void Complete()
    {
        if (Image != FlagImage.Rax || _rest == FlagRest.Nothing)
            return;
        if (_rest == FlagRest.AdjustAndOverflow)
            // mov al, 0
            code.Bytes(0xb0, 0);
        else if (_rest == FlagRest.LeftShift)
            // mov al, ah; rol al, 1; xor al, ah; and al, 1
            code.Bytes(0x88, 0xe0, 0xd0, 0xc0, 0x30, 0xe0, 0x24, 1);
        // and ah, 0xef; what that destroys comes back: cmp al, -127; sahf
        code.Bytes(0x80, 0xe4, 0xef);
        if (_host != RflagsBits.None)
        {
            if (_rest == FlagRest.Adjust)
                code.Bytes(0x3c, 0x81);
            code.Bytes(0x9e);
        }
        _rest = FlagRest.Nothing;
    }

    /// <summary>Makes the image in RAX, as the ways between blocks want it. The host's flags stay.</summary>
    public void Settle()
    {
        Keep();
        LoadImage();
    }

    /// <summary>To be called before code that uses RAX. No flags are written.</summary>
    public void FreeRax()
    {
        if (Image == FlagImage.Recipe)
            Keep();
        if (Image != FlagImage.Rax)
            return;
        Complete();
        // mov [flags], ax
        code.Bytes(0x66);
        code.Memory(HostEmitter.MovStore, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Flags, wide: false);
        Image = FlagImage.Context;
    }

    /// <summary>Brings flags into the host's register.</summary>
    public void Need(RflagsBits flags)
    {
        if ((flags & ~_host) == 0)
            return;
        if (Image == FlagImage.Recipe)
        {
            Replay();
            return;
        }
        // Not all that the host's register holds is the guest's.
        Take();
        LoadImage();
        _host = GuestInstruction.Status & ~RflagsBits.OF;
        if ((flags & RflagsBits.OF) != 0)
        {
            // cmp al, -127: overflows for 1 and not for 0
            code.Bytes(0x3c, 0x81);
            _host |= RflagsBits.OF;
        }
        // sahf
        code.Bytes(0x9e);
        _wants = FlagRest.Nothing;
    }

    /// <summary>To be called before an instruction that leaves flags as they are beside those that it writes.</summary>
    public void Prepare(FlagResult result, RflagsBits live)
    {
        switch (result)
        {
            case FlagResult.KeepsCarry when (live & RflagsBits.CF) != 0:
                Need(RflagsBits.CF);
                break;
            case FlagResult.Carry when (live & ~RflagsBits.CF) != 0:
                Keep();
                break;
            case FlagResult.Unlike or FlagResult.CarryOverflow or FlagResult.Overflow or FlagResult.Zero:
                Save();
                break;
        }
    }

    /// <summary>An instruction wrote flags in the host's register.</summary>
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
                _host = RflagsBits.None;
                _recipe = default;
                return;
            case FlagResult.Carry:
                CarryWritten(live);
                return;
            case FlagResult.CarryOverflow or FlagResult.Overflow:
                SomeWritten(result, live);
                return;
            case FlagResult.Zero:
                ZeroWritten(live);
                return;
        }
        Image = FlagImage.None;
        _host = RflagsBits.None;
        _recipe = default;
        _wants = FlagRest.Nothing;
        _dead = live == RflagsBits.None;
        if (_dead)
            return;
        switch (result)
        {
            case FlagResult.Arithmetic or FlagResult.KeepsCarry:
                _host = GuestInstruction.Status;
                break;
            case FlagResult.Logic or FlagResult.ShiftByOne:
                _host = GuestInstruction.Status & ~RflagsBits.AF;
                _wants = result == FlagResult.Logic ? FlagRest.AdjustAndOverflow : FlagRest.Adjust;
                break;
            case FlagResult.ShiftRight or FlagResult.ShiftLeft:
                _host = GuestInstruction.Status & ~(RflagsBits.AF | RflagsBits.OF);
                _wants = result == FlagResult.ShiftRight ? FlagRest.AdjustAndOverflow : FlagRest.LeftShift;
                break;
            case FlagResult.Product:
                // seto al; the product's own flags; CF is as OF: or ah, al
                code.Bytes(0x0f, 0x90, 0xc0);
                code.Copy(Test(product));
                LoadFlags();
                code.Bytes(0x08, 0xc4);
                (Image, _rest) = (FlagImage.Rax, FlagRest.Adjust);
                break;
        }
    }

    private void CarryWritten(RflagsBits live)
    {
        _recipe = default;
        _host = RflagsBits.CF;
        if ((live & ~RflagsBits.CF) == 0)
        {
            // Whatever else is in the host's flags, nobody looks at it.
            Image = FlagImage.None;
            _wants = FlagRest.Nothing;
            _dead = live == RflagsBits.None;
            return;
        }
        if ((live & RflagsBits.CF) == 0)
            return;
        LoadWhole();
        // The lowest bit of AH becomes CF, which stays as it is: rcr ah, 1; rol ah, 1
        code.Bytes(0xd0, 0xdc, 0xd0, 0xc4);
    }

    /// <summary>CF and OF, or OF, replace what the image has of them.</summary>
    private void SomeWritten(FlagResult result, RflagsBits live)
    {
        _recipe = default;
        _host = RflagsBits.None;
        if (live == RflagsBits.None)
            return;
        bool others = Image != FlagImage.None;
        if (others)
            LoadWhole();
        else
            // Nobody looks at the others.
            LoadFlags();
        // seto al
        code.Bytes(0x0f, 0x90, 0xc0);
        if (others && result == FlagResult.CarryOverflow)
            // rcr ah, 1; rol ah, 1
            code.Bytes(0xd0, 0xdc, 0xd0, 0xc4);
        (Image, _rest) = (FlagImage.Rax, FlagRest.Nothing);
        _wants = FlagRest.Nothing;
        _dead = false;
    }

    /// <summary>ZF replaces what the image has of it. Destroys the second scratch register.</summary>
    private void ZeroWritten(RflagsBits live)
    {
        _recipe = default;
        _host = RflagsBits.None;
        if (live == RflagsBits.None)
            return;
        if (Image == FlagImage.None)
            LoadFlags();
        else
        {
            LoadWhole();
            // setz r11b; movzx r11d, r11b; shl r11d, 14; and ah, 0xbf; or eax, r11d
            code.Bytes(0x41, 0x0f, 0x94, 0xc3, 0x45, 0x0f, 0xb6, 0xdb);
            code.Bytes(0x41, 0xc1, 0xe3, 14, 0x80, 0xe4, 0xbf, 0x44, 0x09, 0xd8);
        }
        (Image, _rest) = (FlagImage.Rax, FlagRest.Nothing);
        _wants = FlagRest.Nothing;
        _dead = false;
    }

    /// <summary>The status flags, which are saved, as RFLAGS has them into the second scratch register. Destroys RAX, and frees it.</summary>
    public void Word()
    {
        FreeRax();
        // movzx eax, word [flags]
        code.Bytes(0x41, 0x0f, 0xb7, 0x87);
        code.Int32(ContextLayout.Flags);
        // mov r11d, eax; shr r11d, 8; and r11d, SF ZF AF PF CF; and eax, 1; shl eax, 11; or r11d, eax
        code.Bytes(0x41, 0x89, 0xc3, 0x41, 0xc1, 0xeb, 8, 0x41, 0x81, 0xe3, 0xd5, 0, 0, 0);
        code.Bytes(0x83, 0xe0, 1, 0xc1, 0xe0, 11, 0x41, 0x09, 0xc3);
    }

    /// <summary>AL, 0 or 1, becomes OF of the image, which RAX is free of.</summary>
    public void StoreOverflow()
    {
        if (Image != FlagImage.Context)
            throw new InvalidOperationException("flags that are not in the context are changed there");
        code.Memory(0x88, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Flags, wide: false);
    }

    /// <summary>Brings the image into RAX; the host's flags stay.</summary>
    private void LoadImage()
    {
        if (Image == FlagImage.Rax)
        {
            Complete();
            return;
        }
        if (Image != FlagImage.Context)
            throw new InvalidOperationException("flags that were dropped are asked for");
        // movzx eax, word [flags]
        code.Bytes(0x41, 0x0f, 0xb7, 0x87);
        code.Int32(ContextLayout.Flags);
        (Image, _rest) = (FlagImage.Rax, FlagRest.Nothing);
    }

    /// <summary>The same where the host's flags have been written since the image was made, which is the guest's.</summary>
    private void LoadWhole()
    {
        if (Image == FlagImage.Rax && _rest != FlagRest.Nothing)
            throw new InvalidOperationException("flags that are not the guest's are to be changed");
        LoadImage();
    }

    /// <summary>Makes the host's flags by the recipe, if they are nowhere else.</summary>
    private void Replay()
    {
        if (Image != FlagImage.Recipe)
            return;
        if (_recipe.Inverse is { } inverse)
            code.Copy(inverse);
        code.Copy(_recipe.Instruction);
        Image = FlagImage.None;
        bool isLogic = _recipe.Result == FlagResult.Logic;
        _wants = isLogic ? FlagRest.AdjustAndOverflow : FlagRest.Nothing;
        _host = isLogic ? GuestInstruction.Status & ~RflagsBits.AF : GuestInstruction.Status;
    }

    /// <summary>TEST of a register with itself.</summary>
    public static Instruction Test(Register register) => Instruction.Create(register.GetSize() switch
    {
        8 => Code.Test_rm64_r64,
        4 => Code.Test_rm32_r32,
        2 => Code.Test_rm16_r16,
        _ => Code.Test_rm8_r8,
    }, register, register);

    /// <summary>LAHF.</summary>
    private void LoadFlags() => code.Bytes(0x9f);
}
