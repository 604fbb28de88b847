using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Runs single vector and x87 instructions by their rows, with a context made by hand and the test's own memory as the guest's.</summary>
internal sealed unsafe class InterpretedUnit : IUnit
{
    private readonly Op* _op = (Op*)NativeMemory.AlignedAlloc(64 * 2, 64);

    public InterpretedUnit()
    {
        Context = (VcpuContext*)NativeMemory.AlignedAlloc((nuint)sizeof(VcpuContext), 64);
        NativeMemory.Clear(Context, (nuint)sizeof(VcpuContext));
        Context->Tlb = NativeMemory.AlignedAlloc((nuint)(TlbEntry.Count * sizeof(TlbEntry)), 64);
        Reset();
    }

    public VcpuContext* Context { get; }

    public string Failure => $"fault {Context->Fault.Vector}";

    /// <summary>64-bit mode with SSE and x87 on, no fault.</summary>
    public void Reset()
    {
        Context->State.Cr0 = Cr0.PE | Cr0.NE;
        Context->State.Cr4 = Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE;
        Context->State.Xcr0 = Xcr0.X87 | Xcr0.Sse | Xcr0.Avx;
        Context->State.Efer = Efer.LMA;
        Context->State.Cs.Attributes = Segment.L;
        Context->Fault.Vector = Fault.None;
    }

    /// <summary>Encodes and decodes the instruction as guest code would be. False: no row answers for it.</summary>
    public bool Load(Instruction instruction)
    {
        const ulong rip = 0x1000;
        var bytes = new MemoryStream();
        Encoder.Create(64, new StreamCodeWriter(bytes)).Encode(instruction, rip);
        Decoder decoder = Decoder.Create(64, bytes.ToArray(), rip, DecoderOptions.AMD);
        decoder.Decode(out Instruction decoded);
        *_op = default;
        _op->Rip = rip;
        _op->Length = (byte)bytes.Length;
        OperandDecoder.Fill(decoded, _op, CodeMode.Code64);
        Handler handler = InstructionTable.Select(decoded, ref *_op, out _);
        _op->Execute = handler.Pointer;
        return !handler.IsNone;
    }

    /// <summary>Runs the loaded instruction on a state; false: it faulted (see the context).</summary>
    public bool Run(UnitState* state)
    {
        VcpuContext* c = Context;
        Map((ulong)state);
        SetState(&c->State, state);
        for (int i = 0; i < 4; i++)
            c->State.Gpr[i] = state->General[i];
        c->State.Gpr[Gpr.RSI] = c->State.Gpr[Gpr.RDI] = (ulong)state->Operand;
        c->SetRflags(0x202);
        c->Fault.Vector = Fault.None;
        Op* next = _op->Execute(c, _op);
        for (int i = 0; i < 4; i++)
            state->General[i] = c->State.Gpr[i];
        state->Rflags = c->GetRflags();
        GetState(&c->State, state);
        return next == _op + 1;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Context->Tlb);
        NativeMemory.AlignedFree(Context);
        NativeMemory.AlignedFree(_op);
    }

    // Linear addresses are host addresses: the page of the state and the one after it, for reading and writing.
    private void Map(ulong address)
    {
        TlbEntry* entries = (TlbEntry*)Context->Tlb;
        for (int i = 0; i < TlbEntry.Count; i++)
            entries[i].ReadTag = entries[i].WriteTag = TlbEntry.Invalid(i);
        for (ulong page = address & ~0xffful; page <= address + 4095; page += 4096)
        {
            TlbEntry* entry = entries + ((page >> 12) & (TlbEntry.Count - 1));
            entry->ReadTag = entry->WriteTag = page;
            entry->Addend = 0;
        }
    }

    /// <summary>Puts a vCPU's x87 and vector state to what a test begins with.</summary>
    internal static void SetState(CpuState* state, UnitState* unit)
    {
        SetImage(state, unit->Before);
        for (int i = 0; i < 16; i++)
            *(UInt128*)(state->Vector + 32 * i + 16) = *(UInt128*)(unit->BeforeUpper + 16 * i);
    }

    /// <summary>Takes a vCPU's x87 and vector state as a test's outcome.</summary>
    internal static void GetState(CpuState* state, UnitState* unit)
    {
        GetImage(state, unit->After);
        for (int i = 0; i < 16; i++)
            *(UInt128*)(unit->AfterUpper + 16 * i) = *(UInt128*)(state->Vector + 32 * i + 16);
    }

    private static void SetImage(CpuState* state, byte* image)
    {
        state->X87Control = *(ushort*)image;
        state->X87Status = *(ushort*)(image + 2);
        state->X87Tag = image[4];
        state->X87InstructionPointer = state->X87DataPointer = 0;
        state->X87Opcode = 0;
        state->Mxcsr = *(uint*)(image + 24);
        int top = (state->X87Status >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            state->X87[2 * ((top + i) & 7)] = *(ulong*)(image + 32 + 16 * i);
            state->X87[2 * ((top + i) & 7) + 1] = *(ushort*)(image + 40 + 16 * i);
        }
        for (int i = 0; i < 16; i++)
            *(UInt128*)(state->Vector + 32 * i) = *(UInt128*)(image + 160 + 16 * i);
    }

    private static void GetImage(CpuState* state, byte* image)
    {
        *(ushort*)image = state->X87Control;
        *(ushort*)(image + 2) = state->X87Status;
        image[4] = state->X87Tag;
        *(uint*)(image + 24) = state->Mxcsr;
        int top = (state->X87Status >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            *(ulong*)(image + 32 + 16 * i) = state->X87[2 * ((top + i) & 7)];
            *(ushort*)(image + 40 + 16 * i) = (ushort)state->X87[2 * ((top + i) & 7) + 1];
        }
        for (int i = 0; i < 16; i++)
            *(UInt128*)(image + 160 + 16 * i) = *(UInt128*)(state->Vector + 32 * i);
    }
}
