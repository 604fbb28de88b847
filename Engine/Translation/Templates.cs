using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Translation;

/// <summary>
/// Makes templates of one vCPU's translations, and translations of templates, its own or another vCPU's: bit for bit what
/// the translator would make of the same blocks there, at a tenth of the cost.
/// </summary>
internal sealed unsafe class Templates(Vcpu vcpu, HostEmitter code, Links links, TranslationStore store)
{
    /// <summary>Where translations begin: what is in them is aligned to as much at most.</summary>
    public const int Alignment = 16;

    private const ulong OffsetMask = PageNumber.Size - 1;

    private readonly Template _template = new();
    private readonly List<nint> _members = [];
    private readonly List<(int Op, int Entry, int Body)> _runs = [];
    private readonly List<int> _numbers = [];
    private readonly List<bool> _taken = [];
    private TemplateCounts _counts;

    /// <summary>Finds and decodes the blocks of a trace; set before anything is translated.</summary>
    public BlockNeighbour? Neighbour { get; set; }

    /// <summary>What has become of templates here.</summary>
    public TemplateCounts Counts => _counts;

    /// <summary>Bytes of host code of the template found last.</summary>
    public int Bytes => _template.Header.Code;

    /// <summary>Of the translation written last: its runs, the blocks behind the first, whether it is a loop.</summary>
    public List<(int Op, int Entry, int Body)> Runs => _runs;

    public IReadOnlyList<nint> Members => _members;

    /// <summary>The blocks of the template found last, behind the first, as the translator is told of them.</summary>
    public (IReadOnlyList<nint> Blocks, IReadOnlyList<bool> Taken) Path => (_members, _taken);

    public bool IsLoop => _template.Header.IsLoop;

    /// <summary>Keeps what has just been translated, and not been linked yet.</summary>
    /// <param name="block">The block.</param>
    /// <param name="blocks">Has translated it.</param>
    /// <param name="made">The links made with it.</param>
    /// <param name="start">Where the translation begins.</param>
    public void Make(Block* block, BlockTranslator blocks, IReadOnlyList<TemplateLink> made, int start)
    {
        TemplateHeader header = new()
        {
            Physical = block->Physical, Rip = block->Rip, Mode = block->Mode, Members = 1 + blocks.Members.Count, Runs = blocks.Runs.Count,
            Links = made.Count, Relocations = code.Relocations.Length, Code = code.Offset - start, IsLoop = blocks.IsLoop, IsFixed = code.IsFixed, Shared = start,
        };
        for (int i = 0; i < header.Members; i++)
        {
            Block* member = blocks.Member(i);
            header.Ops += member->Ops;
            header.GuestBytes += member->Bytes;
        }
        _template.Start(header);
        Span<byte> lengths = _template.Lengths, guest = _template.Guest;
        for (int i = 0; i < header.Members; i++)
        {
            Block* member = blocks.Member(i);
            _template.Members[i] = new TemplateMember((ushort)(member->Rip & OffsetMask), member->Bytes, member->Ops, (ushort)member->Instructions, i != 0 && blocks.IsTaken(i));
            Op* op = (Op*)(member + 1);
            for (int j = 0; j < member->Ops; j++)
                lengths[j] = op[j].Length;
            lengths = lengths[member->Ops..];
            blocks.Bytes(i).CopyTo(guest);
            guest = guest[member->Bytes..];
        }
        for (int i = 0; i < header.Runs; i++)
        {
            (int op, int entry, int body) = blocks.Runs[i];
            _template.Runs[i] = new TemplateRun(op, entry == 0 ? 0 : entry - start, body - start);
        }
        for (int i = 0; i < header.Links; i++)
        {
            TemplateLink link = made[i];
            _template.Links[i] = new TemplateLink(link.Jump - start, link.Stub - start, link.Table == 0 ? 0 : link.Table - start, link.Polls);
        }
        if (!Note(blocks, start))
            return;
        code.Written(start).CopyTo(_template.Code);
        store.Put(_template);
        _counts.Made++;
    }

    /// <summary>
    /// Looks for a template for a block: made of the bytes that are there now, and of blocks with the same boundaries,
    /// which are decoded where they are not there yet.
    /// </summary>
    public bool Find(Block* block)
    {
        if (block->SecondPage != Block.OnePage || block->Instructions == Block.Stale || !store.TryGet(block->Physical, block->Mode, _template))
            return false;
        ref TemplateHeader header = ref _template.Header;
        if (((block->Rip ^ header.Rip) & OffsetMask) != 0 || (header.IsFixed && header.Rip != block->Rip))
        {
            _counts.Unfit++;
            return false;
        }
        byte* page = vcpu.Memory.Resolve(new PageNumber(block->Physical >> PageNumber.Shift), Access.Execute);
        if (page == null || !Equals(page))
        {
            _counts.Changed++;
            return false;
        }
        if (Decode(block))
            return true;
        _counts.Unfit++;
        return false;
    }

    /// <summary>Writes host code of the template found last, with links of its own; false: its instructions have another length at this RIP.</summary>
    public bool Write(Block* block)
    {
        int start = code.Offset;
        ref TemplateHeader header = ref _template.Header;
        ReadOnlySpan<TemplateLink> jumps = _template.Links;
        code.Code(_template.Code);
        _numbers.Clear();
        foreach (ref readonly TemplateLink jump in jumps)
        {
            _numbers.Add(links.Next);
            links.Add(block, start + jump.Jump, start + jump.Stub, jump.Table == 0 ? 0 : start + jump.Table, jump.Polls);
        }
        bool narrow = (block->Mode & CodeMode.SizeMask) != CodeMode.Code64;
        foreach (ref readonly Relocation relocation in _template.Relocations)
            if (!Relocate(relocation, start, header.Rip, block, narrow))
            {
                links.Remove(links.TakeMade());
                code.Offset = start;
                _counts.Unfit++;
                return false;
            }
        _runs.Clear();
        foreach (TemplateRun run in _template.Runs)
            _runs.Add((run.Op, run.Entry == 0 ? 0 : start + run.Entry, start + run.Body));
        _counts.Reused++;
        return true;
    }

    /// <summary>Takes over the relocations, counted from the start; false: one names an op of none of the blocks.</summary>
    private bool Note(BlockTranslator blocks, int start)
    {
        Span<Relocation> relocations = _template.Relocations;
        int link = 0, near = 0;
        for (int i = 0; i < relocations.Length; i++)
        {
            Relocation relocation = code.Relocations[i];
            ulong value = relocation.Value;
            switch (relocation.Kind)
            {
                case RelocationKind.Offset:
                    value -= (ulong)start;
                    break;
                case RelocationKind.Link:
                    value = (ulong)link++;
                    break;
                case RelocationKind.Op:
                    int tried = 0;
                    for (; tried < _template.Header.Members && !Holds(blocks.Member(near), (Op*)value); tried++)
                        near = (near + 1) % _template.Header.Members;
                    if (tried == _template.Header.Members)
                        return false;
                    value = (ulong)near << 16 | (ulong)((Op*)value - (Op*)(blocks.Member(near) + 1));
                    break;
            }
            relocations[i] = relocation with { Offset = relocation.Offset - start, Value = value };
        }
        return true;
    }

    private static bool Holds(Block* block, Op* op) => op >= (Op*)(block + 1) && op < (Op*)(block + 1) + block->Ops;

    /// <summary>Whether a page holds the bytes that the template was made of.</summary>
    private bool Equals(byte* page)
    {
        ReadOnlySpan<byte> guest = _template.Guest;
        foreach (TemplateMember member in _template.Members)
        {
            if (!guest[..member.Bytes].SequenceEqual(new ReadOnlySpan<byte>(page + member.Offset, member.Bytes)))
                return false;
            guest = guest[member.Bytes..];
        }
        return true;
    }

    /// <summary>Finds or decodes the template's blocks; false: there is no room, or they are others.</summary>
    private bool Decode(Block* block)
    {
        _members.Clear();
        _taken.Clear();
        ReadOnlySpan<byte> lengths = _template.Lengths;
        for (int i = 0; i < _template.Header.Members; i++)
        {
            TemplateMember expected = _template.Members[i];
            Block* member = i == 0 ? block : Neighbour!(block, (block->Rip & ~OffsetMask) | expected.Offset);
            // A device may have written here since it was decoded; its message is on the way.
            if (member == null || member->SecondPage != Block.OnePage || member->Instructions != expected.Instructions || member->Bytes != expected.Bytes || member->Ops != expected.Ops)
                return false;
            Op* op = (Op*)(member + 1);
            for (int j = 0; j < expected.Ops; j++)
                if (op[j].Length != lengths[j])
                    return false;
            lengths = lengths[expected.Ops..];
            if (i == 0)
                continue;
            _members.Add((nint)member);
            _taken.Add(expected.IsTaken);
        }
        return true;
    }

    /// <summary>Changes bytes for another place, RIP and vCPU; false: they would not be as many.</summary>
    private bool Relocate(in Relocation relocation, int start, ulong from, Block* block, bool narrow)
    {
        int at = start + relocation.Offset;
        ulong value = relocation.Value;
        switch (relocation.Kind)
        {
            case RelocationKind.Shared:
                code.Patch(at, code.Read(at) + _template.Header.Shared - start);
                return true;
            case RelocationKind.Offset:
                code.Patch(at, (int)value + start);
                return true;
            case RelocationKind.Link:
                code.Patch(at, _numbers[(int)value]);
                return true;
            case RelocationKind.Op:
                int member = (int)(value >> 16);
                code.Patch(at, (ulong)((Op*)((member == 0 ? block : (Block*)_members[member - 1]) + 1) + (value & 0xffff)));
                return true;
        }
        // With 32 bits nothing may wrap, as only the translator knows what it makes of that.
        ulong to = block->Rip;
        long distance = narrow ? (long)value - (long)from : (long)(value - from);
        ulong moved = to + (ulong)distance;
        if (narrow ? moved > uint.MaxValue || value > uint.MaxValue : relocation.Kind == RelocationKind.Target && (Wraps(from, value, distance) || Wraps(to, moved, distance)))
            return false;
        switch (relocation.Kind)
        {
            case RelocationKind.Immediate:
                if (!narrow && !HostEmitter.IsImmediate(moved))
                    return false;
                code.Patch(at, (int)moved);
                return true;
            case RelocationKind.Entry:
                int bytes = HostEmitter.DisplacementBytes(JumpCache.Offset(value) + relocation.Detail), displacement = JumpCache.Offset(moved) + relocation.Detail;
                if (HostEmitter.DisplacementBytes(displacement) != bytes)
                    return false;
                if (bytes == 1)
                    code.Patch(at, (byte)displacement);
                else if (bytes != 0)
                    code.Patch(at, displacement);
                return true;
            default:
                int form = HostEmitter.FormOf(value);
                if (HostEmitter.FormOf(moved) != form || (relocation.Kind == RelocationKind.Wide && HostEmitter.IsImmediate(moved)))
                    return false;
                if (form == 2)
                    code.Patch(at, moved);
                else
                    code.Patch(at, (int)moved);
                return true;
        }
    }

    /// <summary>Whether a branch's target lies on the other side than its distance says.</summary>
    private static bool Wraps(ulong rip, ulong target, long distance) => target < rip != distance < 0;
}
