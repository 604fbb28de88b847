namespace Godwit.Engine.Cpu;

/// <summary>A segment or system descriptor's first eight bytes (Intel SDM 3A, 3.4.5 and 3.5).</summary>
internal readonly struct Descriptor(ulong raw)
{
    /// <summary>System types (S = 0), SDM 3A, table 3-2. The available TSS types have their busy forms at +2.</summary>
    public const int Tss16 = 1, Ldt = 2, CallGate16 = 4, TaskGate = 5, InterruptGate16 = 6, TrapGate16 = 7;

    public const int Tss32 = 9, CallGate32 = 12, InterruptGate32 = 14, TrapGate32 = 15;

    /// <summary>The busy bit within a TSS type.</summary>
    public const int Busy = 2;

    public ulong Raw => raw;

    /// <summary>As in <see cref="Segment.Attributes"/>.</summary>
    public ushort Attributes => (ushort)((raw >> 40) & 0xf0ff);

    public int Type => (int)(raw >> 40) & 0xf;

    public bool IsSystem => (raw & (1ul << 44)) == 0;

    public int Dpl => (int)(raw >> 45) & 3;

    public bool Present => (raw & (1ul << 47)) != 0;

    public bool Long => (raw & (1ul << 53)) != 0;

    public bool Big => (raw & (1ul << 54)) != 0;

    public bool IsCode => (raw & (0x18ul << 40)) == 0x18ul << 40;

    public bool IsConforming => (raw & (1ul << 42)) != 0;

    public bool IsReadableCode => (raw & (0x1aul << 40)) == 0x1aul << 40;

    public bool IsWritableData => (raw & (0x1aul << 40)) == 0x12ul << 40;

    public bool IsAccessed => (raw & (1ul << 40)) != 0;

    public uint Base => (uint)((raw >> 16) & 0xff_ffff) | (uint)(raw >> 56) << 24;

    /// <summary>The last valid offset, granularity applied.</summary>
    public uint Limit
    {
        get
        {
            uint limit = (uint)(raw & 0xffff) | ((uint)(raw >> 32) & 0xf_0000);
            return (raw & (1ul << 55)) != 0 ? limit << 12 | 0xfff : limit;
        }
    }

    /// <summary>Gates: the target's selector.</summary>
    public ushort GateSelector => (ushort)(raw >> 16);

    /// <summary>Gates: the low 32 bits of the target's offset.</summary>
    public uint GateOffset => (uint)(raw & 0xffff) | (uint)(raw >> 32) & 0xffff_0000;

    /// <summary>Call gates: parameters to copy. IDT gates of IA-32e mode: bits 0-2 are the IST index.</summary>
    public int GateCount => (int)(raw >> 32) & 0x1f;

    /// <summary>The segment register that loading this descriptor under a selector makes.</summary>
    public Segment ToSegment(ushort selector) => new()
    {
        Base = Base,
        Limit = Limit,
        Selector = selector,
        Attributes = (ushort)(Attributes | (IsSystem ? 0 : Segment.Accessed)),
    };
}
