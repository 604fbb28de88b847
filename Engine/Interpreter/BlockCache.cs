using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Decoded blocks in one native arena, found by RIP, physical address and mode. A store to a page with code looks at a
/// map of 64-byte pieces and makes the blocks stale that it overlaps; when the arena is full, the oldest blocks go.
/// </summary>
internal sealed unsafe class BlockCache : ICodeWatcher, IDisposable
{
    private const int Buckets = 1 << 17;
    private const int PieceShift = 6;

    /// <summary>Stores to a page with code, none of which hits the code, after which the page counts as data again.</summary>
    private const byte Patience = 255;

    /// <summary>
    /// Bytes that stores hit one behind the other, after which the rest of the page's code is taken to go the same way: a page
    /// is cleared or filled, and to look through its blocks at every store takes milliseconds.
    /// </summary>
    private const int Sweep = 64;

    private readonly GuestMemory _memory;
    private readonly CodeWatch _watch;
    private readonly BlockArena _arena;
    private readonly Block** _buckets;
    private readonly ulong* _pieces;
    private readonly Block** _pageBlocks;
    private readonly Block** _pageLast;
    private readonly byte* _missed;
    private readonly HashSet<ulong> _codePages = [];
    private ulong _sweptFrom, _sweptTo;

    /// <param name="memory">The RAM that code is decoded from.</param>
    /// <param name="arenaBytes">Room for blocks; a block takes 64 bytes and 64 more for each instruction.</param>
    /// <param name="observer">Told when others write to pages with code.</param>
    public BlockCache(GuestMemory memory, nuint arenaBytes, IPageWriteObserver observer)
    {
        _memory = memory;
        _watch = memory.Code.Join(observer);
        _arena = new BlockArena(arenaBytes, BytesOf(BlockDecoder.MostOps));
        nuint pages = (nuint)memory.PageCount;
        // Zeroed allocations of this size are fresh mappings: they cost what is touched.
        _buckets = (Block**)NativeMemory.AllocZeroed(Buckets, (nuint)sizeof(Block*));
        _pieces = (ulong*)NativeMemory.AllocZeroed(pages, sizeof(ulong));
        _pageBlocks = (Block**)NativeMemory.AllocZeroed(pages, (nuint)sizeof(Block*));
        _pageLast = (Block**)NativeMemory.AllocZeroed(pages, (nuint)sizeof(Block*));
        _missed = (byte*)NativeMemory.AllocZeroed(pages, 1);
    }

    /// <summary>Told when the first block of a page is there: stores to it must come by here.</summary>
    public Action<PageNumber>? PageBecameCode { get; set; }

    /// <summary>Told before a page's bytes are first decoded: no other vCPU may go on storing to it unnoticed.</summary>
    public Action<PageNumber>? PageWatched { get; set; }

    /// <summary>Counts how long dropping code takes.</summary>
    public required WorkLog Work { get; init; }

    /// <summary>Who translates the blocks that run often; null: nobody.</summary>
    public IBlockTranslator? Translator { get; init; }

    /// <summary>Finds blocks by RIP; it forgets those that go.</summary>
    public JumpCache? Jumps { get; init; }

    /// <summary>Blocks that had to go for want of room, and how often some had to.</summary>
    public (long Blocks, long Times) Evicted { get; private set; }

    /// <summary>Whether this vCPU, or another of the machine, has decoded code of the page.</summary>
    public bool IsCode(PageNumber page) => page.Value < (ulong)_memory.PageCount && _memory.Code.Contains(page);

    public Block* Find(ulong rip, ulong physical, byte mode)
    {
        for (Block* block = _buckets[Hash(rip, physical)]; block != null; block = block->HashNext)
            if (block->Rip == rip && block->Physical == physical && block->Mode == mode)
                return block;
        return null;
    }

    /// <summary>Room for a block and its ops; null: the dispatcher has to <see cref="Evict"/>. It is taken by <see cref="Add"/>.</summary>
    public Block* Reserve(int ops) => _arena.Reserve(BytesOf(ops));

    /// <summary>
    /// Drops the blocks that were decoded first, so that others can be. Not from within an instruction: the memory of
    /// running ops is reused.
    /// </summary>
    public void Evict()
    {
        long began = Work.Now;
        _arena.Oldest(out Block* from, out Block* to);
        long blocks = 0;
        for (Block* block = from; block < to; block = (Block*)((byte*)block + BytesOf(block->Ops)))
        {
            if (block->Instructions != Block.Stale)
            {
                Forget(block);
                blocks++;
            }
            // A stale one may be on a list yet, where it crossed pages on the second's.
            TakeOldest(block, block->Physical >> PageNumber.Shift);
            if (block->SecondPage != Block.OnePage)
                TakeOldest(block, block->SecondPage >> PageNumber.Shift);
        }
        _arena.Turn();
        Work.Done(CodeWork.Eviction, began);
        Evicted = (Evicted.Blocks + blocks, Evicted.Times + (blocks != 0 ? 1 : 0));
    }

    /// <summary>A branch's field leads to a block from now on, without a look.</summary>
    public void Link(Op** field, Block* target)
    {
        if (*field == (Op*)target)
            return;
        *field = (Op*)target;
        _arena.Linked(field, target);
    }

    /// <summary>Marks a page as one with code, before its bytes are read: a device write from now on is heard.</summary>
    public void Watch(PageNumber page)
    {
        if (!_codePages.Add(page.Value))
            return;
        _watch.Add(page);
        PageWatched?.Invoke(page);
    }

    /// <summary>Enters a block filled in the reserved room.</summary>
    public void Add(Block* block)
    {
        _arena.Take(BytesOf(block->Ops));
        ref Block* bucket = ref _buckets[Hash(block->Rip, block->Physical)];
        block->HashNext = bucket;
        bucket = block;
        block->PageNext = block->SecondPageNext = null;
        Append(block, block->Physical >> PageNumber.Shift);
        Mark(block->Physical, block->Bytes);
        if (block->SecondPage == Block.OnePage)
            return;
        // One physical page may be behind both: its list has the block once.
        if (block->SecondPage >> PageNumber.Shift != block->Physical >> PageNumber.Shift)
            Append(block, block->SecondPage >> PageNumber.Shift);
        Mark(block->SecondPage, block->Bytes - BytesInFirstPage(block));
    }

    /// <summary>Bytes were stored on the vCPU's thread. They lie in one page.</summary>
    public void Written(GuestPhysicalAddress address, int length)
    {
        ulong page = address.Page.Value;
        _watch.Written(address.Page);
        if (_pieces[page] == 0)
        {
            // Another vCPU's code, or a page of which no block came to be.
            if (_codePages.Contains(page))
                DropPage(page);
            return;
        }
        if ((_pieces[page] & Pieces(address.Value, length)) == 0)
        {
            if (++_missed[page] >= Patience)
                DropPage(page);
            return;
        }
        long began = Work.Now;
        ulong from = address.Value, to = from + (ulong)length;
        if (from != _sweptTo || (from & (PageNumber.Size - 1)) == 0)
            _sweptFrom = from;
        _sweptTo = to;
        if (to - _sweptFrom < Sweep)
            Drop(page, from, to);
        else
            DropPage(page);
        Work.Done(CodeWork.Invalidation, began);
    }

    /// <summary>Any byte of the page may have changed (a device's write).</summary>
    public void PageWritten(PageNumber page)
    {
        if (!_codePages.Contains(page.Value))
            return;
        long began = Work.Now;
        DropPage(page.Value);
        Work.Done(CodeWork.Invalidation, began);
    }

    /// <summary>Drops everything. Not from within an instruction: the memory of running ops is reused.</summary>
    public void Clear()
    {
        NativeMemory.Clear(_buckets, Buckets * (nuint)sizeof(Block*));
        foreach (ulong page in _codePages)
        {
            _pageBlocks[page] = _pageLast[page] = null;
            _pieces[page] = 0;
            _watch.Remove(new PageNumber(page));
        }
        _codePages.Clear();
        _arena.Clear();
        Translator?.Clear();
    }

    public void Dispose()
    {
        Clear();
        _watch.Dispose();
        _arena.Dispose();
        NativeMemory.Free(_buckets);
        NativeMemory.Free(_pieces);
        NativeMemory.Free(_pageBlocks);
        NativeMemory.Free(_pageLast);
        NativeMemory.Free(_missed);
    }

    private static nuint BytesOf(int ops) => (nuint)(sizeof(Block) + ops * sizeof(Op));

    /// <summary>Of both: a shared library's page has blocks for each address that processes map it to.</summary>
    private static int Hash(ulong rip, ulong physical)
    {
        ulong pages = (physical >> PageNumber.Shift ^ rip >> PageNumber.Shift << 5) * 0x9e3779b97f4a7c15;
        return (int)((pages >> 40 ^ physical) & (Buckets - 1));
    }

    /// <summary>The 64-byte pieces of a page that a range touches, cut at the page's end.</summary>
    private static ulong Pieces(ulong physical, int length)
    {
        int offset = (int)(physical & (PageNumber.Size - 1));
        int last = Math.Min(offset + length - 1, PageNumber.Size - 1);
        int from = offset >> PieceShift, to = last >> PieceShift;
        return (ulong.MaxValue << from) & (ulong.MaxValue >> (63 - to));
    }

    private static int BytesInFirstPage(Block* block) => (int)Math.Min(block->Bytes, PageNumber.Size - (block->Physical & (PageNumber.Size - 1)));

    private void Mark(ulong physical, int bytes)
    {
        PageNumber page = new(physical >> PageNumber.Shift);
        bool first = _pieces[page.Value] == 0;
        _pieces[page.Value] |= Pieces(physical, bytes);
        _missed[page.Value] = 0;
        if (first)
            PageBecameCode?.Invoke(page);
    }

    private void DropPage(ulong page) => Drop(page, page << PageNumber.Shift, (page + 1) << PageNumber.Shift);

    /// <summary>Puts a block behind a page's others: the lists are in the order of age, as the arena is.</summary>
    private void Append(Block* block, ulong page)
    {
        if (_pageLast[page] != null)
            *Next(_pageLast[page], page) = block;
        else
            _pageBlocks[page] = block;
        _pageLast[page] = block;
    }

    /// <summary>The field that leads to the next block of a page's list.</summary>
    private static Block** Next(Block* block, ulong page) =>
        block->Physical >> PageNumber.Shift == page ? &block->PageNext : &block->SecondPageNext;

    /// <summary>
    /// Takes the oldest block of all off a page's list, if it is on it. The page's pieces are counted anew by the next
    /// store to one of them.
    /// </summary>
    private void TakeOldest(Block* block, ulong page)
    {
        if (_pageBlocks[page] != block)
            return;
        _pageBlocks[page] = *Next(block, page);
        if (_pageBlocks[page] == null)
            Drop(page, 0, 0);
    }

    /// <summary>Makes the page's blocks stale that overlap a range of physical addresses, and counts its pieces anew.</summary>
    private void Drop(ulong page, ulong from, ulong to)
    {
        ulong pieces = 0;
        _pageLast[page] = null;
        Block** link = &_pageBlocks[page];
        while (*link != null)
        {
            Block* block = *link;
            bool firstPage = block->Physical >> PageNumber.Shift == page, secondPage = block->SecondPage >> PageNumber.Shift == page;
            Block** next = Next(block, page);
            int inFirst = BytesInFirstPage(block);
            ulong start = firstPage ? block->Physical : block->SecondPage;
            int bytes = firstPage ? inFirst : block->Bytes - inFirst;
            if (firstPage && secondPage)
            {
                // One physical page behind both: the end of it and its beginning.
                start = page << PageNumber.Shift;
                bytes = PageNumber.Size;
            }
            if (block->Instructions != Block.Stale && start < to && from < start + (ulong)bytes)
                MakeStale(block);
            if (block->Instructions == Block.Stale)
            {
                // Off this page's list; where it crosses pages, the other list lets go of it at its own next store.
                *link = *next;
                continue;
            }
            pieces |= Pieces(start, bytes);
            _pageLast[page] = block;
            link = next;
        }
        _pieces[page] = pieces;
        _missed[page] = 0;
        if (pieces != 0)
            return;
        _codePages.Remove(page);
        _watch.Remove(new PageNumber(page));
    }

    /// <summary>Nobody finds the block any more.</summary>
    private void Forget(Block* block)
    {
        Block** link = &_buckets[Hash(block->Rip, block->Physical)];
        while (*link != block)
            link = &(*link)->HashNext;
        *link = block->HashNext;
        block->Instructions = Block.Stale;
        Jumps?.Forget(block);
        Translator?.Dropped(block);
    }

    /// <summary>Nobody enters the block any more, and who runs in it leaves before the next instruction.</summary>
    private void MakeStale(Block* block)
    {
        Forget(block);
        Op* op = (Op*)(block + 1);
        for (int i = 0; i < block->Ops; i++)
        {
            op[i].Execute = &Leave;
            op[i].Flags |= (byte)OpFlags.Stale;
        }
    }

    /// <summary>Whether the op's block has become stale.</summary>
    public static bool IsStale(Op* op) => (op->Flags & (byte)OpFlags.Stale) != 0;

    /// <summary>Leaves the loop before this op. What was charged for it and its followers is given back.</summary>
    private static Op* Leave(VcpuContext* c, Op* op)
    {
        if ((op->Flags & (byte)OpFlags.Internal) == 0)
        {
            c->Budget += op->Remaining + 1;
            c->State.RetiredInstructions -= (ulong)(op->Remaining + 1);
        }
        c->State.Rip = op->Rip;
        return null;
    }
}
