using System.Runtime.InteropServices;

namespace Godwit.Engine.Translation;

/// <summary>
/// What the vCPUs of one machine have translated, for each other and for the same code at other addresses
/// (docs/translator.md, Shared translations). Nothing in here is executed: a vCPU copies a template, compares the guest's
/// code with its own memory, and makes host code of its own; what is old or wrong is of no use, and does no harm. Any
/// thread. The memory is filled round and round, so that the oldest templates go; it is there while a vCPU has joined.
/// </summary>
public sealed unsafe class TranslationStore
{
    /// <summary>Bytes of templates; they take as much as is used.</summary>
    public const long DefaultBytes = 32 << 20;

    /// <summary>Slots that a key may be in, one behind the other.</summary>
    private const int Ways = 4;

    /// <summary>Bytes of templates for each slot: most are larger.</summary>
    private const long BytesOfSlot = 256;

    private readonly Lock _gate = new();
    private readonly ulong _size;
    private readonly ulong _sets;
    private byte* _memory;
    private Slot* _slots;
    private int _users;

    /// <summary>Bytes written since the start, those skipped at the memory's end included, and as many as fit: no place is 0.</summary>
    private ulong _end;

    /// <param name="bytes">Bytes of templates at most; 0: none are kept.</param>
    public TranslationStore(long bytes = DefaultBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        _size = (ulong)bytes;
        _sets = System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)(bytes / BytesOfSlot / Ways) + 1);
    }

    /// <summary>A vCPU begins to use the store.</summary>
    internal void Join()
    {
        lock (_gate)
        {
            if (_users++ != 0 || _size == 0)
                return;
            // Allocations of these sizes are fresh mappings: they cost what is touched.
            _memory = (byte*)NativeMemory.Alloc((nuint)_size);
            _slots = (Slot*)NativeMemory.AllocZeroed((nuint)_sets * Ways, (nuint)sizeof(Slot));
            _end = _size;
        }
    }

    /// <summary>A vCPU uses it no more.</summary>
    internal void Leave()
    {
        lock (_gate)
        {
            if (--_users != 0)
                return;
            NativeMemory.Free(_memory);
            NativeMemory.Free(_slots);
            _memory = null;
            _slots = null;
        }
    }

    /// <summary>Keeps a template, in place of one for the same code.</summary>
    internal void Put(Template template)
    {
        ReadOnlySpan<byte> bytes = template.Bytes;
        ulong key = KeyOf(template.Header.Physical, template.Header.Mode), length = (ulong)bytes.Length;
        if (length > _size)
            return;
        lock (_gate)
        {
            ulong place = _end, left = _size - place % _size;
            if (left < length)
                place += left;
            bytes.CopyTo(new Span<byte>(_memory + place % _size, bytes.Length));
            _end = place + length;
            Slot* set = SetOf(key), slot = set;
            for (int i = 0; i < Ways; i++)
            {
                if (set[i].Key == key)
                {
                    slot = set + i;
                    break;
                }
                // The oldest, or one never used.
                if (set[i].Place < slot->Place)
                    slot = set + i;
            }
            *slot = new Slot { Key = key, Place = place, Length = bytes.Length };
        }
    }

    /// <summary>Copies the template for the code at a physical address; false: there is none.</summary>
    internal bool TryGet(ulong physical, byte mode, Template template)
    {
        ulong key = KeyOf(physical, mode);
        // Mostly there is none, which needs no lock: what others put in at this moment is found the next time.
        if (_size == 0 || Find(key) == null)
            return false;
        lock (_gate)
        {
            Slot* slot = Find(key);
            if (slot == null || slot->Place + _size < _end)
                return false;
            template.Load(new ReadOnlySpan<byte>(_memory + slot->Place % _size, slot->Length));
            return true;
        }
    }

    private static ulong KeyOf(ulong physical, byte mode) => physical << 4 | mode;

    private Slot* SetOf(ulong key)
    {
        // Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4.
        ulong hash = key * 0x9e37_79b9_7f4a_7c15;
        return _slots + (hash >> 32 & (_sets - 1)) * Ways;
    }

    private Slot* Find(ulong key)
    {
        Slot* set = SetOf(key);
        for (int i = 0; i < Ways; i++)
            if (Volatile.Read(ref set[i].Key) == key)
                return set + i;
        return null;
    }

    /// <summary>Where a template lies.</summary>
    private struct Slot
    {
        public ulong Key, Place;
        public int Length;
    }
}
