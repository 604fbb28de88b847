using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// What depends on the guest's RIP, on where the code lies, or on the vCPU, is written by the methods here, which note it:
/// so a translation can be used again elsewhere (docs/translator.md, Shared translations). <see cref="Constant"/> and the
/// other immediate operands are for values that are the same for all: never for a RIP, an op, a link or a code address.
/// </summary>
internal sealed unsafe partial class HostEmitter
{
    private Relocation[] _relocations = new Relocation[256];
    private int _relocated;

    /// <summary>The end of the code that all translations share, which jumps and calls reach from wherever they lie.</summary>
    public int Shared { get; set; }

    /// <summary>Whether relocations are noted.</summary>
    public bool IsRecording { get; private set; }

    /// <summary>The translation is right for its RIP alone.</summary>
    public bool IsFixed { get; private set; }

    /// <summary>What has been noted since <see cref="Record"/>; it may name bytes that were written anew.</summary>
    public ReadOnlySpan<Relocation> Relocations => _relocations.AsSpan(0, _relocated);

    /// <summary>Notes relocations from here on.</summary>
    public void Record()
    {
        _relocated = 0;
        IsFixed = false;
        IsRecording = true;
    }

    public void StopRecording() => IsRecording = false;

    /// <summary>Something has been written that depends on RIP in a way that is not noted.</summary>
    public void Fix() => IsFixed = true;

    /// <summary>Loads a RIP of the guest's, or what differs from one by a constant.</summary>
    public void Place(int register, ulong rip) => Place(register, rip, RelocationKind.Place);

    /// <summary>Loads the target of a branch.</summary>
    public void Target(int register, ulong rip) => Place(register, rip, RelocationKind.Target);

    /// <summary>Stores a RIP in 64 or 32 bits of memory, by way of a scratch register where it must be.</summary>
    public void StorePlace(ulong rip, int @base, int displacement, int scratch, bool wide)
    {
        if (!wide || IsImmediate(rip))
        {
            StoreConstant((int)rip, @base, displacement, wide);
            Note(RelocationKind.Immediate, Offset - sizeof(int), rip);
            return;
        }
        Place(scratch, rip, RelocationKind.Wide);
        Memory(MovStore, scratch, @base, displacement);
    }

    /// <summary>CMP of a RIP and 64 or 32 bits of memory; for equality only. By way of a scratch register where it must be.</summary>
    public void ComparePlace(ulong rip, int @base, int displacement, int scratch, bool wide)
    {
        if (!wide || IsImmediate(rip))
        {
            CompareMemory(@base, displacement, (int)rip, wide);
            Note(RelocationKind.Immediate, Offset - sizeof(int), rip);
            return;
        }
        Place(scratch, rip, RelocationKind.Wide);
        Memory(CmpOp, scratch, @base, displacement);
    }

    /// <summary>An instruction with a register and what lies in the jump cache's entry of a RIP.</summary>
    /// <param name="opcode">The instruction.</param>
    /// <param name="register">Its register.</param>
    /// <param name="cache">The register with the jump cache's address.</param>
    /// <param name="rip">The entry's RIP.</param>
    /// <param name="field">Bytes from the entry's start.</param>
    public void Entry(byte opcode, int register, int cache, ulong rip, byte field)
    {
        int displacement = JumpCache.Offset(rip) + field;
        Memory(opcode, register, cache, displacement);
        Note(RelocationKind.Entry, Offset - DisplacementBytes(displacement), rip, field);
    }

    /// <summary>A jump to the address that lies in the jump cache's entry of a RIP.</summary>
    public void JumpToEntry(int cache, ulong rip, byte field)
    {
        int displacement = JumpCache.Offset(rip) + field;
        JumpTo(cache, displacement);
        Note(RelocationKind.Entry, Offset - DisplacementBytes(displacement), rip, field);
    }

    /// <summary>Loads the address of an op.</summary>
    public void OpAddress(int register, Op* op)
    {
        Rex(true, 0, None, register);
        *_at++ = (byte)(0xb8 | (register & 7));
        OpAddress(op);
    }

    /// <summary>Writes the address of an op.</summary>
    public void OpAddress(Op* op)
    {
        *(ulong*)_at = (ulong)op;
        _at += sizeof(ulong);
        Note(RelocationKind.Op, Offset - sizeof(ulong), (ulong)op);
    }

    /// <summary>Loads a link's number.</summary>
    public void LinkNumber(int register, int link)
    {
        Constant(register, (ulong)link);
        Note(RelocationKind.Link, Offset - sizeof(int), (ulong)link);
    }

    /// <summary>Loads the offset of the translation's own code in the mapping, as <see cref="Offset"/> counts it.</summary>
    public void CodeOffset(int register, int target)
    {
        Constant(register, (ulong)target);
        Note(RelocationKind.Offset, Offset - sizeof(int), (ulong)target);
    }

    /// <summary>Which of three encodings <see cref="Constant"/> takes: 32 bits, the same sign-extended, or 64.</summary>
    public static int FormOf(ulong value) => value <= uint.MaxValue ? 0 : (long)value is >= int.MinValue and < 0 ? 1 : 2;

    /// <summary>Whether a value is that of a sign-extended operand of 32 bits.</summary>
    public static bool IsImmediate(ulong value) => (long)value == (int)value;

    /// <summary>Bytes of a displacement from a base register that needs none for 0.</summary>
    public static int DisplacementBytes(int displacement) => displacement switch
    {
        0 => 0,
        >= sbyte.MinValue and <= sbyte.MaxValue => 1,
        _ => 4,
    };

    /// <summary>What has been written since an offset.</summary>
    public ReadOnlySpan<byte> Written(int start) => new(_mapping.Writable + start, Offset - start);

    /// <summary>4 bytes at an offset.</summary>
    public int Read(int offset) => *(int*)(_mapping.Writable + offset);

    /// <summary>Overwrites bytes at an offset.</summary>
    public void Patch<T>(int offset, T value) where T : unmanaged => *(T*)(_mapping.Writable + offset) = value;

    private void Place(int register, ulong rip, RelocationKind kind)
    {
        Constant(register, rip);
        Note(kind, Offset - (FormOf(rip) == 2 ? sizeof(ulong) : sizeof(int)), rip);
    }

    /// <summary>4 bytes that lead to code, relative to their end, have been written.</summary>
    private void NoteDisplacement(int at, int target)
    {
        if (target < Shared)
            Note(RelocationKind.Shared, at, 0);
    }

    private void Note(RelocationKind kind, int at, ulong value, byte detail = 0)
    {
        if (!IsRecording)
            return;
        if (_relocated == _relocations.Length)
            Array.Resize(ref _relocations, 2 * _relocated);
        _relocations[_relocated++] = new Relocation(at, kind, detail, value);
    }

    /// <summary>Code from an offset on is written anew.</summary>
    private void Forget(int offset)
    {
        int kept = 0;
        for (int i = 0; i < _relocated; i++)
            if (_relocations[i].Offset < offset)
                _relocations[kept++] = _relocations[i];
        _relocated = kept;
    }
}
