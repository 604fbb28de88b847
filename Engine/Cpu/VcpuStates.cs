using Godwit.Engine.Devices;

namespace Godwit.Engine.Cpu;

/// <summary>Captures and restores a vCPU that does not run.</summary>
public static unsafe class VcpuStates
{
    /// <summary>The saved state of a vCPU at a safe point.</summary>
    public static VcpuState Capture(VcpuContext* c)
    {
        CpuState* s = &c->State;
        return new VcpuState
        {
            Gpr = new ReadOnlySpan<ulong>(s->Gpr, 16).ToArray(),
            Rip = s->Rip,
            Rflags = s->Rflags,
            Es = Save(s->Es),
            Cs = Save(s->Cs),
            Ss = Save(s->Ss),
            Ds = Save(s->Ds),
            Fs = Save(s->Fs),
            Gs = Save(s->Gs),
            Ldtr = Save(s->Ldtr),
            Tr = Save(s->Tr),
            Gdtr = new DescriptorTableState { Base = s->Gdtr.Base, Limit = s->Gdtr.Limit },
            Idtr = new DescriptorTableState { Base = s->Idtr.Base, Limit = s->Idtr.Limit },
            Cr0 = s->Cr0,
            Cr2 = s->Cr2,
            Cr3 = s->Cr3,
            Cr4 = s->Cr4,
            Xcr0 = s->Xcr0,
            Dr0 = s->Dr0,
            Dr1 = s->Dr1,
            Dr2 = s->Dr2,
            Dr3 = s->Dr3,
            Dr6 = s->Dr6,
            Dr7 = s->Dr7,
            Efer = s->Efer,
            Star = s->Star,
            Lstar = s->Lstar,
            Cstar = s->Cstar,
            Fmask = s->Fmask,
            KernelGsBase = s->KernelGsBase,
            SysenterCs = s->SysenterCs,
            SysenterEsp = s->SysenterEsp,
            SysenterEip = s->SysenterEip,
            Pat = s->Pat,
            TscAux = s->TscAux,
            MiscEnable = s->MiscEnable,
            SpecControl = s->SpecControl,
            MtrrDefaultType = s->MtrrDefaultType,
            TscAdjust = s->TscAdjust,
            X87 = new ReadOnlySpan<ulong>(s->X87, 16).ToArray(),
            X87Control = s->X87Control,
            X87Status = s->X87Status,
            X87Tag = s->X87Tag,
            X87Opcode = s->X87Opcode,
            X87InstructionPointer = s->X87InstructionPointer,
            X87DataPointer = s->X87DataPointer,
            Mxcsr = s->Mxcsr,
            Vector = new ReadOnlySpan<byte>(s->Vector, 512).ToArray(),
            Halted = s->Halted,
            InterruptShadow = s->InterruptShadow,
            NmiBlocked = s->NmiBlocked,
            NmiPending = s->NmiPending,
            RetiredInstructions = s->RetiredInstructions,
        };
    }

    /// <summary>
    /// Puts a vCPU into a saved state and forgets what was pending in its context. Throws <see cref="InvalidStateException"/>,
    /// with nothing changed, for what no vCPU can have saved.
    /// </summary>
    public static void Restore(VcpuContext* c, VcpuState state)
    {
        VcpuStateValidation.Check(state);
        CpuState* s = &c->State;
        state.Gpr.CopyTo(new Span<ulong>(s->Gpr, 16));
        s->Rip = state.Rip;
        s->Es = Load(state.Es);
        s->Cs = Load(state.Cs);
        s->Ss = Load(state.Ss);
        s->Ds = Load(state.Ds);
        s->Fs = Load(state.Fs);
        s->Gs = Load(state.Gs);
        s->Ldtr = Load(state.Ldtr);
        s->Tr = Load(state.Tr);
        s->Gdtr = new DescriptorTable { Base = state.Gdtr.Base, Limit = state.Gdtr.Limit };
        s->Idtr = new DescriptorTable { Base = state.Idtr.Base, Limit = state.Idtr.Limit };
        s->Cr0 = state.Cr0;
        s->Cr2 = state.Cr2;
        s->Cr3 = state.Cr3;
        s->Cr4 = state.Cr4;
        s->Xcr0 = state.Xcr0;
        s->Dr0 = state.Dr0;
        s->Dr1 = state.Dr1;
        s->Dr2 = state.Dr2;
        s->Dr3 = state.Dr3;
        s->Dr6 = state.Dr6;
        s->Dr7 = state.Dr7;
        s->Efer = state.Efer;
        s->Star = state.Star;
        s->Lstar = state.Lstar;
        s->Cstar = state.Cstar;
        s->Fmask = state.Fmask;
        s->KernelGsBase = state.KernelGsBase;
        s->SysenterCs = state.SysenterCs;
        s->SysenterEsp = state.SysenterEsp;
        s->SysenterEip = state.SysenterEip;
        s->Pat = state.Pat;
        s->TscAux = state.TscAux;
        s->MiscEnable = state.MiscEnable;
        s->SpecControl = state.SpecControl;
        s->MtrrDefaultType = state.MtrrDefaultType;
        s->TscAdjust = state.TscAdjust;
        state.X87.CopyTo(new Span<ulong>(s->X87, 16));
        s->X87Control = state.X87Control;
        s->X87Status = state.X87Status;
        s->X87Tag = state.X87Tag;
        s->X87Opcode = state.X87Opcode;
        s->X87InstructionPointer = state.X87InstructionPointer;
        s->X87DataPointer = state.X87DataPointer;
        s->Mxcsr = state.Mxcsr;
        state.Vector.CopyTo(new Span<byte>(s->Vector, 512));
        s->Halted = state.Halted;
        s->InterruptShadow = state.InterruptShadow;
        s->NmiBlocked = state.NmiBlocked;
        s->NmiPending = state.NmiPending;
        s->RetiredInstructions = state.RetiredInstructions;
        c->SetRflags(state.Rflags);
        s->Rflags = state.Rflags;
        c->Fault = new Fault { Vector = Fault.None };
        c->PendingExit = -1;
    }

    private static SegmentState Save(in Segment segment) => new()
    {
        Base = segment.Base,
        Limit = segment.Limit,
        Selector = segment.Selector,
        Attributes = segment.Attributes,
    };

    private static Segment Load(SegmentState segment) => new()
    {
        Base = segment.Base,
        Limit = segment.Limit,
        Selector = segment.Selector,
        Attributes = segment.Attributes,
    };
}
