using System.Collections.Concurrent;

namespace Godwit.Silo.Failover;

/// <summary>Why this silo, which watches them, could not bring up VMs again that have lost theirs; the last reason of each.</summary>
internal sealed class RecoveryTroubles
{
    private readonly ConcurrentDictionary<string, string> _reasons = new();

    /// <summary>By VM; empty where nothing is wrong.</summary>
    public IReadOnlyDictionary<string, string> All => new Dictionary<string, string>(_reasons);

    /// <summary>Keeps the reason; false where it is the one that was told before.</summary>
    public bool IsNews(string vm, string reason)
    {
        var news = !_reasons.TryGetValue(vm, out var before) || before != reason;
        _reasons[vm] = reason;
        return news;
    }

    /// <summary>It was brought up, or is no longer this silo's to bring up.</summary>
    public void Forget(string vm) => _reasons.TryRemove(vm, out _);
}
