using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits the loading and saving of the guest's vector registers and MXCSR. They are loaded by the first run of translated
/// code that has vector instructions, stay in the host's registers of the same numbers from block to block, and are saved
/// on the way out; VcpuContext.NativeVectors says where they are. Nothing that refuses vector instructions can change
/// while they are loaded, since control registers and MXCSR are written by the interpreter only. Upper halves are loaded
/// when VEX instructions need them; until then they stay in the context, where SSE instructions leave them alone.
/// </summary>
internal sealed class VectorRegisters(HostEmitter code)
{
    private const int Count = 16;
    private const int LoadMxcsr = 2, StoreMxcsr = 3;
    private const byte EmulationOrTaskSwitched = 0x0c;

    /// <summary>CR4.OSFXSR.</summary>
    private const int OsFxsr = 1 << 9;

    /// <summary>The exception masks of MXCSR.</summary>
    private const int Masks = 0x1f80;

    /// <summary>CR4.OSXSAVE.</summary>
    private const int OsXsave = 1 << 18;

    /// <summary>XCR0: the halves of YMM registers.</summary>
    private const int Halves = 6;

    /// <summary>VcpuContext.NativeVectors: XMM registers and MXCSR are loaded; upper halves are, too.</summary>
    private const byte Loaded = 1, UpperLoaded = 2;

    private readonly List<(int Displacement, int Back, int Load, Action<int> Exit)> _loads = [];
    private int _load, _loadUpper;

    /// <summary>
    /// The routine that loads, called by code with both scratch registers to spare; ZF is clear when vector instructions are to be left to
    /// the interpreter: they fault (CR0.EM, CR0.TS, CR4.OSFXSR), or may raise exceptions.
    /// </summary>
    public void WriteLoad()
    {
        _load = code.Offset;
        List<int> refused = [];
        code.TestContext(ContextLayout.Cr0, EmulationOrTaskSwitched);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        Missing(ContextLayout.Cr4, OsFxsr);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        Missing(ContextLayout.Mxcsr, Masks);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        ControlWord(StoreMxcsr, ContextLayout.HostMxcsr);
        ControlWord(LoadMxcsr, ContextLayout.Mxcsr);
        ZeroUpper();
        Each(Code.Movups_xmm_xmmm128, Register.XMM0);
        State(Loaded);
        // xor r10d, r10d
        code.Pair(HostEmitter.XorOp, HostRegisters.First, HostRegisters.First, wide: false);
        refused.ForEach(code.Land);
        // ret
        code.Bytes(0xc3);
        if (HostFeatures.HasAvx)
            WriteLoadUpper();
    }

    /// <summary>The same for VEX instructions, which CR4.OSXSAVE and XCR0 may refuse.</summary>
    private void WriteLoadUpper()
    {
        _loadUpper = code.Offset;
        List<int> refused = [];
        Missing(ContextLayout.Cr4, OsXsave);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        Missing(ContextLayout.Xcr0, Halves);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        Test(Loaded);
        int loaded = code.JumpIf(HostEmitter.IfNotEqual);
        code.Call(_load);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        code.Land(loaded);
        for (int i = 0; i < Count; i++)
            code.Copy(Instruction.Create(Code.VEX_Vinsertf128_ymm_ymm_xmmm128_imm8, Register.YMM0 + i, Register.YMM0 + i,
                new MemoryOperand(Register.R15, Registers.OffsetOf(Register.YMM0 + i) + 16, 8), 1));
        State(Loaded | UpperLoaded);
        code.Pair(HostEmitter.XorOp, HostRegisters.First, HostRegisters.First, wide: false);
        refused.ForEach(code.Land);
        // ret
        code.Bytes(0xc3);
    }

    /// <summary>Code that goes on where <see cref="Cpu.VcpuContext.NativeResume"/> says, after a miss: with the vector registers loaded that were then.</summary>
    public void WriteResume()
    {
        Was(Loaded);
        int none = code.JumpIf(HostEmitter.IfEqual);
        int upper = -1;
        if (HostFeatures.HasAvx)
        {
            Was(UpperLoaded);
            upper = code.JumpIf(HostEmitter.IfNotEqual);
        }
        code.Call(_load);
        code.Land(none);
        code.JumpTo(HostRegisters.Context, ContextLayout.Resume);
        if (upper < 0)
            return;
        code.Land(upper);
        code.Call(_loadUpper);
        code.JumpTo(HostRegisters.Context, ContextLayout.Resume);
    }

    /// <summary>On the way out: saves what is loaded. Keeps general registers.</summary>
    public void WriteSave()
    {
        Test(Loaded);
        int none = code.JumpIf(HostEmitter.IfEqual);
        ControlWord(StoreMxcsr, ContextLayout.Mxcsr);
        ControlWord(LoadMxcsr, ContextLayout.HostMxcsr);
        int saved = -1;
        if (HostFeatures.HasAvx)
        {
            Test(UpperLoaded);
            int narrow = code.JumpIf(HostEmitter.IfEqual);
            Each(Code.VEX_Vmovdqu_ymmm256_ymm, Register.YMM0);
            // The host's SSE code is slow beside upper halves in use.
            ZeroUpper();
            saved = code.JumpLater();
            code.Land(narrow);
        }
        Each(Code.Movups_xmmm128_xmm, Register.XMM0);
        if (saved >= 0)
            code.Land(saved);
        State(0);
        code.Land(none);
    }

    /// <summary>At the start of a run with vector instructions: loads unless that has happened. Destroys the flags and both scratch registers.</summary>
    /// <param name="upper">Whether VEX instructions are among them.</param>
    /// <param name="exit">Takes a jump out of the code.</param>
    public void Require(bool upper, Action<int> exit)
    {
        Test(upper ? UpperLoaded : Loaded);
        int displacement = code.JumpIf(HostEmitter.IfEqual);
        _loads.Add((displacement, code.Offset, upper ? _loadUpper : _load, exit));
    }

    /// <summary>Forgets what a run has asked for that is not translated after all.</summary>
    public void Drop() => _loads.Clear();

    /// <summary>Writes what <see cref="Require"/> has left for the end of a run.</summary>
    public void Finish()
    {
        foreach ((int displacement, int back, int load, Action<int> exit) in _loads)
        {
            code.Land(displacement);
            code.Call(load);
            exit(code.JumpIf(HostEmitter.IfNotEqual));
            code.Jump(back);
        }
        _loads.Clear();
    }

    /// <summary>ZF: none, in R10D: those of the bits that are clear.</summary>
    private void Missing(int field, int bits)
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.First, HostRegisters.Context, field, wide: false);
        // not r10d; test r10d, imm32
        code.Bytes(0x41, 0xf7, 0xd2, 0x41, 0xf7, 0xc2);
        code.Int32(bits);
    }

    /// <summary>LDMXCSR or STMXCSR.</summary>
    private void ControlWord(int form, int field)
    {
        code.Bytes(0x41, 0x0f, 0xae, (byte)(0x87 | form << 3));
        code.Int32(field);
    }

    /// <summary>A move between each register and its place in the context.</summary>
    private void Each(Code move, Register first)
    {
        for (int i = 0; i < Count; i++)
        {
            MemoryOperand place = new(Register.R15, Registers.OffsetOf(first + i), 8);
            code.Copy(move is Code.Movups_xmm_xmmm128 ? Instruction.Create(move, first + i, place) : Instruction.Create(move, place, first + i));
        }
    }

    /// <summary>VZEROUPPER, where there is one: no instruction merges with an upper half that was left over.</summary>
    private void ZeroUpper()
    {
        if (HostFeatures.HasAvx)
            code.Bytes(0xc5, 0xf8, 0x77);
    }

    /// <summary>test byte [NativeVectors], imm8</summary>
    private void Test(byte bit) => code.TestContext(ContextLayout.Vectors, bit);

    /// <summary>test byte [NativeMissVectors], imm8</summary>
    private void Was(byte bit) => code.TestContext(ContextLayout.MissVectors, bit);

    /// <summary>mov byte [NativeVectors], imm8</summary>
    private void State(byte state)
    {
        code.Bytes(0x41, 0xc6, 0x87);
        code.Int32(ContextLayout.Vectors);
        code.Bytes(state);
    }
}
