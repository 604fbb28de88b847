using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Emits the loading and saving of the guest's vector registers and MXCSR. They are loaded by the first run of translated
/// code that has vector instructions, stay in the host's registers of the same numbers from block to block, and are saved
/// on the way out; VcpuContext.NativeVectors says where they are. Nothing that refuses vector instructions can change
/// while they are loaded, since control registers and MXCSR are written by the interpreter only.
/// </summary>
internal sealed class VectorRegisters(HostEmitter code)
{
    private const byte LoadOp = 0x10, StoreOp = 0x11;
    private const int LoadMxcsr = 2, StoreMxcsr = 3;
    private const byte EmulationOrTaskSwitched = 0x0c;

    /// <summary>CR4.OSFXSR.</summary>
    private const int OsFxsr = 1 << 9;

    /// <summary>The exception masks of MXCSR.</summary>
    private const int Masks = 0x1f80;

    private const byte Loaded = 1;

    private readonly List<(int Displacement, int Back, Action<int> Exit)> _loads = [];
    private int _load;

    /// <summary>
    /// The routine that loads, called by code with RAX to spare; ZF is clear when vector instructions are to be left to
    /// the interpreter: they fault (CR0.EM, CR0.TS, CR4.OSFXSR), or may raise exceptions.
    /// </summary>
    public void WriteLoad()
    {
        _load = code.Offset;
        List<int> refused = [];
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, ContextLayout.Cr0, wide: false);
        // test al, imm8
        code.Bytes(0xa8, EmulationOrTaskSwitched);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        Missing(ContextLayout.Cr4, OsFxsr);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        Missing(ContextLayout.Mxcsr, Masks);
        refused.Add(code.JumpIf(HostEmitter.IfNotEqual));
        ControlWord(StoreMxcsr, ContextLayout.HostMxcsr);
        ControlWord(LoadMxcsr, ContextLayout.Mxcsr);
        if (HostFeatures.HasAvx)
            // vzeroupper: no instruction merges with an upper half that was left over.
            code.Bytes(0xc5, 0xf8, 0x77);
        Registers16(LoadOp);
        State(Loaded);
        // xor eax, eax
        code.Bytes(0x31, 0xc0);
        refused.ForEach(code.Land);
        // ret
        code.Bytes(0xc3);
    }

    /// <summary>On the way out: saves what is loaded. Keeps general registers.</summary>
    public void WriteSave()
    {
        Compare();
        int none = code.JumpIf(HostEmitter.IfEqual);
        ControlWord(StoreMxcsr, ContextLayout.Mxcsr);
        ControlWord(LoadMxcsr, ContextLayout.HostMxcsr);
        Registers16(StoreOp);
        State(0);
        code.Land(none);
    }

    /// <summary>At the start of a run with vector instructions: loads unless that has happened. Destroys RAX and the flags.</summary>
    public void Require(Action<int> exit)
    {
        Compare();
        int displacement = code.JumpIf(HostEmitter.IfEqual);
        _loads.Add((displacement, code.Offset, exit));
    }

    /// <summary>Forgets what a run has asked for that is not translated after all.</summary>
    public void Drop() => _loads.Clear();

    /// <summary>Writes what <see cref="Require"/> has left for the end of a run.</summary>
    public void Finish()
    {
        foreach ((int displacement, int back, Action<int> exit) in _loads)
        {
            code.Land(displacement);
            code.Call(_load);
            exit(code.JumpIf(HostEmitter.IfNotEqual));
            code.Jump(back);
        }
        _loads.Clear();
    }

    /// <summary>EAX: those of the bits that are clear.</summary>
    private void Missing(int field, int bits)
    {
        code.Memory(HostEmitter.MovLoad, HostRegisters.Rax, HostRegisters.Context, field, wide: false);
        // not eax; test eax, imm32
        code.Bytes(0xf7, 0xd0, 0xa9);
        code.Int32(bits);
    }

    /// <summary>LDMXCSR or STMXCSR.</summary>
    private void ControlWord(int form, int field)
    {
        code.Bytes(0x41, 0x0f, 0xae, (byte)(0x87 | form << 3));
        code.Int32(field);
    }

    /// <summary>MOVUPS of all registers.</summary>
    private void Registers16(byte opcode)
    {
        for (int i = 0; i < 16; i++)
        {
            code.Bytes((byte)(0x41 | (i & 8) >> 1), 0x0f, opcode, (byte)(0x87 | (i & 7) << 3));
            code.Int32(Registers.OffsetOf(Register.XMM0 + i));
        }
    }

    /// <summary>cmp byte [NativeVectors], 0</summary>
    private void Compare()
    {
        code.Bytes(0x41, 0x80, 0xbf);
        code.Int32(ContextLayout.Vectors);
        code.Bytes(0);
    }

    /// <summary>mov byte [NativeVectors], imm8</summary>
    private void State(byte state)
    {
        code.Bytes(0x41, 0xc6, 0x87);
        code.Int32(ContextLayout.Vectors);
        code.Bytes(state);
    }
}
