using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// The direct jumps between translated blocks. A jump leads to its stub until the block behind it has a translation;
/// then it is patched, and patched back when that block's code is overwritten. Links that leave their page hold as long
/// as no translation of a code page changes: they exist between global pages only, of a supervisor that SMEP keeps from
/// a user's code, so that they outlive address spaces; all of them go when the jump cache is flushed.
/// </summary>
internal sealed unsafe class Links(HostEmitter code) : IDisposable
{
    private readonly Dictionary<nint, int> _near = [], _far = [];
    // More than a boot needs. What is not used is not touched, and growing it under way takes a millisecond.
    private readonly NativeTable<Link> _links = new(1 << 18);
    private int _count = 1, _free, _made;

    /// <summary>The number of the next link. 0 is none.</summary>
    public int Next => _free != 0 ? _free : _count;

    /// <param name="source">The block that the jump belongs to.</param>
    /// <param name="jump">Where the jump's displacement lies.</param>
    /// <param name="stub">Where it leads while it is not linked.</param>
    /// <param name="table">Code that goes by the jump cache, for jumps that leave their page; 0 for others.</param>
    /// <param name="polls">Whether exit requests are looked for on the way.</param>
    public void Add(Block* source, int jump, int stub, int table, bool polls)
    {
        int number = Next;
        if (number == _links.Capacity)
            _links.Grow();
        if (number == _free)
            _free = _links[number].Sibling;
        else
            _count++;
        _links[number] = new Link { Source = source, Jump = jump, Stub = stub, Table = table, Polls = polls, Sibling = _made };
        _made = number;
    }

    /// <summary>The links added since this was last asked for, as a list by its first one's number; 0: none.</summary>
    public int TakeMade()
    {
        int made = _made;
        _made = 0;
        return made;
    }

    /// <summary>
    /// A link was asked for, and its target has a translation. False: the jump may lead there by the jump cache only, and
    /// has no code that does: <see cref="Detour"/>.
    /// </summary>
    /// <param name="number">The link.</param>
    /// <param name="target">The block that is there now.</param>
    /// <param name="lasting">The target is found by its RIP as long as the jump cache is not flushed as a whole.</param>
    public bool Connect(int number, Block* target, bool lasting)
    {
        ref Link link = ref _links[number];
        if (link.Target != null)
            return true;
        // A block that crosses pages stands on two translations, even where the jump does not leave its page.
        bool near = link.Table == 0 && target->SecondPage == Block.OnePage && (link.Source->Physical ^ target->Physical) >> 12 == 0;
        if (!near && !lasting)
        {
            if (link.Table == 0)
                return false;
            code.PatchDisplacement(link.Jump, link.Table);
            return true;
        }
        link.Target = target;
        link.IsFar = !near;
        Dictionary<nint, int> incoming = near ? _near : _far;
        link.Next = incoming.GetValueOrDefault((nint)target);
        if (link.Next != 0)
            _links[link.Next].Previous = number;
        incoming[(nint)target] = number;
        code.PatchDisplacement(link.Jump, (int)target->Native + (link.Polls ? 0 : EdgeCode.PollBytes));
        return true;
    }

    /// <summary>Leads a link by the jump cache from now on.</summary>
    public void Detour(int number, int table)
    {
        _links[number].Table = table;
        code.PatchDisplacement(_links[number].Jump, table);
    }

    /// <summary>A block is gone: what leads to it leads to the stubs again.</summary>
    public void Disconnect(Block* target)
    {
        if (_near.Remove((nint)target, out int number))
            Cut(number);
        if (_far.Remove((nint)target, out number))
            Cut(number);
    }

    /// <summary>The code that a list of links begins in is gone.</summary>
    public void Remove(int first)
    {
        for (int number = first; number != 0;)
        {
            ref Link link = ref _links[number];
            if (link.Target != null)
                TakeOut(ref link);
            int sibling = link.Sibling;
            link = new Link { Sibling = _free };
            _free = number;
            number = sibling;
        }
    }

    /// <summary>Takes away the links that leave their pages.</summary>
    public void DisconnectFar()
    {
        foreach (int number in _far.Values)
            Cut(number);
        _far.Clear();
    }

    public void Clear()
    {
        _near.Clear();
        _far.Clear();
        _count = 1;
        _free = _made = 0;
    }

    public void Dispose() => _links.Dispose();

    /// <summary>Takes a link out of the list of those that lead to its target.</summary>
    private void TakeOut(ref Link link)
    {
        Dictionary<nint, int> incoming = link.IsFar ? _far : _near;
        if (link.Next != 0)
            _links[link.Next].Previous = link.Previous;
        if (link.Previous != 0)
            _links[link.Previous].Next = link.Next;
        else if (link.Next != 0)
            incoming[(nint)link.Target] = link.Next;
        else
            incoming.Remove((nint)link.Target);
    }

    /// <summary>Points a list of links back to their stubs.</summary>
    private void Cut(int number)
    {
        while (number != 0)
        {
            ref Link link = ref _links[number];
            number = link.Next;
            link.Target = null;
            link.Next = link.Previous = 0;
            code.PatchDisplacement(link.Jump, link.Stub);
        }
    }

    private struct Link
    {
        public Block* Source, Target;
        public int Jump, Stub, Table;

        /// <summary>The neighbours in the list of links that lead to one target.</summary>
        public int Next, Previous;

        /// <summary>The next link of the same translation, or the next free one.</summary>
        public int Sibling;

        public bool Polls, IsFar;
    }
}
