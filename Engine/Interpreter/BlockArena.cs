using System.Runtime.InteropServices;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// The memory of decoded blocks: regions that are filled one after the other and, once all are full, emptied in the same
/// order. Branches of blocks that stay may lead straight to blocks of the region that goes; those branches are noted, with
/// the age of what they lie in, and forget where they lead.
/// </summary>
internal sealed unsafe class BlockArena : IDisposable
{
    /// <summary>As many regions as keep the emptying of one short.</summary>
    private const int MostRegions = 64;

    private readonly byte* _memory;
    private readonly nuint _regionBytes;
    private readonly nuint[] _used;
    private readonly long[] _ages;
    private readonly NativeTable<Incoming>[] _incoming;
    private readonly int[] _incomingCounts;
    private int _current;
    private long _age = 1;

    /// <param name="bytes">Bytes of memory; a region has at least <paramref name="leastRegion"/>.</param>
    /// <param name="leastRegion">Bytes that must fit into a region.</param>
    public BlockArena(nuint bytes, nuint leastRegion)
    {
        _regionBytes = Math.Max(bytes / MostRegions, leastRegion) & ~(nuint)63;
        int regions = (int)(bytes / _regionBytes);
        ArgumentOutOfRangeException.ThrowIfLessThan(regions, 2, nameof(bytes));
        // Allocations of this size are fresh mappings: they cost what is touched.
        _memory = (byte*)NativeMemory.AlignedAlloc(_regionBytes * (nuint)regions, 64);
        _used = new nuint[regions];
        _ages = new long[regions];
        _incomingCounts = new int[regions];
        _incoming = new NativeTable<Incoming>[regions];
        for (int i = 0; i < regions; i++)
            _incoming[i] = new NativeTable<Incoming>(64);
    }

    /// <summary>Where the next block goes; null: the current region has no room for so many bytes.</summary>
    public Block* Reserve(nuint bytes) =>
        _used[_current] + bytes <= _regionBytes ? (Block*)(Start(_current) + _used[_current]) : null;

    /// <summary>Keeps the first bytes of what was reserved.</summary>
    public void Take(nuint bytes) => _used[_current] += bytes;

    /// <summary>The blocks of the region that is emptied next, packed; none as long as there are regions never used.</summary>
    public void Oldest(out Block* from, out Block* to)
    {
        int next = (_current + 1) % _used.Length;
        from = (Block*)Start(next);
        to = (Block*)(Start(next) + _used[next]);
    }

    /// <summary>A branch's field has been pointed to a block of the arena.</summary>
    public void Linked(Op** field, Block* target)
    {
        int region = RegionOf(target);
        ref int count = ref _incomingCounts[region];
        if (count == _incoming[region].Capacity)
            _incoming[region].Grow();
        _incoming[region][count++] = new Incoming { Field = field, Age = _ages[RegionOf(field)] };
    }

    /// <summary>Empties the oldest region, whose blocks nobody finds any more, and fills it from now on.</summary>
    public void Turn()
    {
        Oldest(out Block* from, out Block* to);
        int region = (_current + 1) % _used.Length;
        for (int i = 0; i < _incomingCounts[region]; i++)
        {
            Op** field = _incoming[region][i].Field;
            // What is younger than the note is not the branch that was noted.
            if (_ages[RegionOf(field)] == _incoming[region][i].Age && *field >= (Op*)from && *field < (Op*)to)
                *field = null;
        }
        _incomingCounts[region] = 0;
        _used[region] = 0;
        _ages[region] = ++_age;
        _current = region;
    }

    /// <summary>Empties every region.</summary>
    public void Clear()
    {
        Array.Clear(_used);
        Array.Clear(_incomingCounts);
        _current = 0;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_memory);
        foreach (NativeTable<Incoming> incoming in _incoming)
            incoming.Dispose();
    }

    private byte* Start(int region) => _memory + (nuint)region * _regionBytes;

    private int RegionOf(void* address) => (int)((nuint)((byte*)address - _memory) / _regionBytes);

    /// <summary>A branch's field that leads straight to a block, and the age of the region it lies in.</summary>
    private struct Incoming
    {
        public Op** Field;
        public long Age;
    }
}
