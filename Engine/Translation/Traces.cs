namespace Godwit.Engine.Translation;

/// <summary>Which blocks the translations of others go on in, by their addresses: those must go when one of them does.</summary>
internal sealed class Traces
{
    private readonly Dictionary<nint, nint[]> _members = [];
    private readonly Dictionary<nint, List<nint>> _heads = [];

    /// <summary>A block has been translated together with others.</summary>
    public void Add(nint head, IReadOnlyList<nint> members)
    {
        if (members.Count == 0)
            return;
        _members[head] = [.. members];
        // Each enumerator of an interface would be an object.
        for (int i = 0; i < members.Count; i++)
        {
            if (!_heads.TryGetValue(members[i], out List<nint>? heads))
                _heads[members[i]] = heads = [];
            heads.Add(head);
        }
    }

    /// <summary>A block has no translation any more.</summary>
    public void Remove(nint head)
    {
        if (!_members.Remove(head, out nint[]? members))
            return;
        foreach (nint member in members)
            if (_heads.TryGetValue(member, out List<nint>? heads) && heads.Remove(head) && heads.Count == 0)
                _heads.Remove(member);
    }

    /// <summary>The blocks whose translations go on in a block, which is gone.</summary>
    public IReadOnlyList<nint> Drop(nint member) => _heads.Remove(member, out List<nint>? heads) ? heads : [];

    public void Clear()
    {
        _members.Clear();
        _heads.Clear();
    }
}
