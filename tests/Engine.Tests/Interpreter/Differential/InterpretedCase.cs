using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>Runs cases in the interpreter, or translated, as a user's code: same addresses, same rights.</summary>
internal sealed unsafe class InterpretedCase : IDisposable
{
    private const ulong Handlers = 0x11_0000, TaskState = 0xa000, KernelStack = 0xf_0000;
    private const ushort User64 = 0x33, User32 = 0x23, UserData = 0x2b;

    private readonly TestMachine _machine;
    private readonly bool _translated;

    /// <param name="translator">The back end to run cases to the INT3 behind them; null: the interpreter runs one instruction.</param>
    public InterpretedCase(Func<Vcpu, IVcpuBackend>? translator = null)
    {
        _translated = translator is not null;
        _machine = new TestMachine(64, CpuLevel.V3, backend: translator);
        for (int vector = 0; vector < 32; vector++)
        {
            _machine.SetHandler(vector, Handlers + (ulong)vector * 16);
            _machine.Load(a => a.jmp(Handlers + (ulong)vector * 16), Handlers + (ulong)vector * 16);
        }
        byte[] page = new byte[PageNumber.Size];
        Array.Fill(page, (byte)0xcc);
        PhysicalMemory.Write(_machine.Vcpu, NativeCase.CodePage, page);
        // Users may raise INT3.
        _machine.Write(TestMachine.Idt + 3 * 16, _machine.Read(TestMachine.Idt + 3 * 16) | 3ul << 45);
        _machine.Write(TaskState + 4, KernelStack);
        _machine.State.Tr = new Segment { Selector = 0x40, Base = TaskState, Limit = 0x67, Attributes = Segment.P | 0xb };
    }

    /// <summary>The vector of the fault, or 3 when the instruction completed; as a signal's context would have it.</summary>
    public int Vector { get; private set; }

    public ulong Rip { get; private set; }

    public ulong Rflags { get; private set; }

    /// <summary>The fault's error code; 0 where it has none.</summary>
    public ulong ErrorCode { get; private set; }

    public ulong Gpr(int number) => _machine.State.Gpr[number];

    public TestMachine Machine => _machine;

    /// <summary>The window in the machine's memory.</summary>
    public ReadOnlySpan<byte> Window => new(_machine.Memory.Resolve(new PageNumber(TestMachine.Data >> 12), Access.Read) + (NativeCase.Window & 0xfff), NativeCase.WindowBytes);

    public void Run(NativeCase* unit)
    {
        ref CpuState state = ref _machine.State;
        bool wide = unit->Bitness == 64;
        state.Cs = Segments.Flat(wide ? User64 : User32, (ushort)(Segment.Code | 3 << 5 | (wide ? Segment.L : Segment.DB)));
        state.Es = state.Ss = state.Ds = Segments.Flat(UserData, 3 << 5 | Segment.DB);
        for (int i = 0; i < 16; i++)
            state.Gpr[i] = unit->Gpr[i];
        state.Rip = NativeCase.Code;
        state.Rflags = unit->Rflags;
        state.Halted = false;
        PhysicalMemory.Write(_machine.Vcpu, NativeCase.Code, new ReadOnlySpan<byte>(unit->Bytes, 16));
        PhysicalMemory.Write(_machine.Vcpu, NativeCase.Window, new ReadOnlySpan<byte>(unit->Memory, NativeCase.WindowBytes));
        // Translated code runs whole blocks: to the INT3 that follows, and some rounds in its handler.
        VcpuExit exit = _machine.Backend.Run(_translated ? 8 : 1);
        if (exit != VcpuExit.Interrupted)
            throw new InvalidOperationException($"the back end ended in {exit}");
        Vector = 3;
        Rip = state.Rip;
        Rflags = state.Rflags;
        if (state.Cpl == 3)
            return;
        Vector = (int)((state.Rip - Handlers) / 16);
        ulong frame = state.Gpr[Godwit.Engine.Cpu.Gpr.RSP] + (HasErrorCode(Vector) ? 8ul : 0);
        ErrorCode = HasErrorCode(Vector) ? _machine.Read(frame - 8) & 0xffff_ffff : 0;
        Rip = _machine.Read(frame) - (_translated && Vector == 3 ? 1ul : 0);
        Rflags = _machine.Read(frame + 16);
        state.Gpr[Godwit.Engine.Cpu.Gpr.RSP] = _machine.Read(frame + 24);
    }

    public void Dispose() => _machine.Dispose();

    private static bool HasErrorCode(int vector) => vector is 8 or (>= 10 and <= 14) or 17;
}
