using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Godwit.Engine.Translation;

/// <summary>What a template begins with: what it was made for, and how much of everything follows.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TemplateHeader
{
    /// <summary>Guest physical address of the first block's first byte, and the RIP that it was made for.</summary>
    public ulong Physical, Rip;

    /// <summary>How many: blocks, their ops and bytes in all, runs, links, relocations, and bytes of host code.</summary>
    public int Members, Ops, GuestBytes, Runs, Links, Relocations, Code;

    /// <summary>Where the host code began, which its jumps to shared code count on.</summary>
    public int Shared;

    /// <summary>The CodeMode.</summary>
    public byte Mode;

    /// <summary>The translation is a loop; it is right for its RIP alone.</summary>
    public bool IsLoop, IsFixed;
}

/// <summary>A block of a template, in the order of its trace.</summary>
/// <param name="Offset">Where it begins in its page, which is the same for all.</param>
/// <param name="Bytes">Bytes of code.</param>
/// <param name="Ops">Ops, the internal ones included.</param>
/// <param name="Instructions">Instructions.</param>
/// <param name="IsTaken">The trace has come to it by a branch that was taken.</param>
internal readonly record struct TemplateMember(ushort Offset, ushort Bytes, ushort Ops, ushort Instructions, bool IsTaken);

/// <summary>A run of translated code: the op's index, and where its entry and what is charged already begin; 0: it has no entry.</summary>
internal readonly record struct TemplateRun(int Op, int Entry, int Body);

/// <summary>A jump that may be linked: where its displacement, its stub and its way by the jump cache (0: none) lie, and whether it polls.</summary>
internal readonly record struct TemplateLink(int Jump, int Stub, int Table, bool Polls);

/// <summary>
/// A translation as others can use it: the guest's code that it was made of, host code, and what is to be changed in that
/// for another RIP, place and vCPU. Offsets count from the start of the host code. One buffer, which is used again.
/// </summary>
internal sealed class Template
{
    private byte[] _bytes = new byte[8192];

    public ref TemplateHeader Header => ref Unsafe.As<byte, TemplateHeader>(ref _bytes[0]);

    /// <summary>All of it.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, CodeAt + Header.Code);

    public Span<TemplateMember> Members => Part<TemplateMember>(MembersAt, Header.Members);

    public Span<TemplateRun> Runs => Part<TemplateRun>(RunsAt, Header.Runs);

    public Span<TemplateLink> Links => Part<TemplateLink>(LinksAt, Header.Links);

    public Span<Relocation> Relocations => Part<Relocation>(RelocationsAt, Header.Relocations);

    /// <summary>The length of each op's instruction, block by block; 0: it is none.</summary>
    public Span<byte> Lengths => _bytes.AsSpan(LengthsAt, Header.Ops);

    /// <summary>The guest's code, block by block.</summary>
    public Span<byte> Guest => _bytes.AsSpan(GuestAt, Header.GuestBytes);

    public Span<byte> Code => _bytes.AsSpan(CodeAt, Header.Code);

    private static int MembersAt => Unsafe.SizeOf<TemplateHeader>();

    private int RunsAt => MembersAt + Header.Members * Unsafe.SizeOf<TemplateMember>();

    private int LinksAt => RunsAt + Header.Runs * Unsafe.SizeOf<TemplateRun>();

    private int RelocationsAt => LinksAt + Header.Links * Unsafe.SizeOf<TemplateLink>();

    private int LengthsAt => RelocationsAt + Header.Relocations * Unsafe.SizeOf<Relocation>();

    private int GuestAt => LengthsAt + Header.Ops;

    private int CodeAt => GuestAt + Header.GuestBytes;

    /// <summary>Makes room for what a header says; the rest is to be filled in.</summary>
    public void Start(in TemplateHeader header)
    {
        Header = header;
        int length = CodeAt + header.Code;
        if (length <= _bytes.Length)
            return;
        _bytes = new byte[Math.Max(length, 2 * _bytes.Length)];
        Header = header;
    }

    /// <summary>Takes what another has been.</summary>
    public void Load(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > _bytes.Length)
            _bytes = new byte[Math.Max(bytes.Length, 2 * _bytes.Length)];
        bytes.CopyTo(_bytes);
    }

    private Span<T> Part<T>(int at, int count) where T : unmanaged =>
        MemoryMarshal.Cast<byte, T>(_bytes.AsSpan(at, count * Unsafe.SizeOf<T>()));
}
