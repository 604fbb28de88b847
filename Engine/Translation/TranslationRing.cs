using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// The translations in the order in which they were written. Their memory is filled round and round: whatever lies where
/// the next translation may be written is taken away first, and it is always the oldest.
/// </summary>
/// <param name="code">Writes them.</param>
/// <param name="start">Where the first one lies.</param>
/// <param name="evict">Takes away a translation: its block, or null where that has gone before, and the links that begin in it.</param>
internal sealed unsafe class TranslationRing(HostEmitter code, int start, TranslationRing.Evictor evict)
{
    private Translation[] _ring = new Translation[1024];
    private uint _oldest = 1, _next = 1;

    public delegate void Evictor(Block* block, int links);

    /// <summary>Translations that had to go for want of room.</summary>
    public long Evicted { get; private set; }

    /// <summary>Makes room for so many bytes, in one piece.</summary>
    public void MakeRoom(int bytes)
    {
        if (code.Size - code.Offset < bytes)
        {
            // The end of the memory is too short: what the round before has left there goes.
            while (IsAhead)
                Evict();
            code.Offset = start;
        }
        while (IsAhead && At(_oldest).Start - code.Offset < bytes)
            Evict();
        code.Limit = IsAhead ? At(_oldest).Start : code.Size;
    }

    /// <summary>Notes a translation that begins at an offset and ends where the code does now.</summary>
    public void Add(Block* block, int offset, int links)
    {
        if (_next - _oldest == _ring.Length)
            Grow();
        At(_next) = new Translation { Block = block, Start = offset, Links = links };
        // Nobody reads it in the op in front, which is no instruction.
        ((Op*)(block + 1))->Immediate = _next++;
    }

    /// <summary>A block with a translation is gone.</summary>
    public void Forget(Block* block) => At((uint)((Op*)(block + 1))->Immediate).Block = null;

    /// <summary>Forgets all translations.</summary>
    public void Clear()
    {
        _oldest = _next;
        code.Offset = start;
        code.Limit = code.Size;
    }

    /// <summary>Whether the oldest translation lies ahead of where code is written, and not behind.</summary>
    private bool IsAhead => _oldest != _next && At(_oldest).Start >= code.Offset;

    private ref Translation At(uint number) => ref _ring[number & (uint)(_ring.Length - 1)];

    private void Evict()
    {
        ref Translation oldest = ref At(_oldest++);
        evict(oldest.Block, oldest.Links);
        Evicted++;
    }

    private void Grow()
    {
        Translation[] larger = new Translation[2 * _ring.Length];
        for (uint number = _oldest; number != _next; number++)
            larger[number & (uint)(larger.Length - 1)] = At(number);
        _ring = larger;
    }

    private struct Translation
    {
        public Block* Block;
        public int Start, Links;
    }
}
