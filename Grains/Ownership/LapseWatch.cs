namespace Godwit.Grains.Ownership;

/// <summary>
/// One observer's view of other silos' leases: a record that it has seen unchanged for lease and margin has lapsed. Only
/// time in which it looked counts: after a silence, the store's or its own, every watch begins anew, so that a store that
/// comes back finds its silos renewing and not each other's takers.
/// </summary>
public sealed class LapseWatch
{
    private readonly Dictionary<string, (string Version, long Since)> _watched = [];
    private readonly TimeProvider _time;
    private readonly OwnershipOptions _options;
    private long? _lastLook;

    public LapseWatch(TimeProvider time, OwnershipOptions options)
    {
        _time = time;
        _options = options;
    }

    /// <summary>How often an observer looks: often enough to lose little time, seldom enough for the store.</summary>
    public static TimeSpan Interval(OwnershipOptions options) =>
        TimeSpan.FromTicks(Math.Clamp(options.Lease.Ticks / 10, TimeSpan.FromMilliseconds(100).Ticks, TimeSpan.FromMilliseconds(500).Ticks));

    /// <summary>
    /// One look at all records that are to be watched, as they were read since <paramref name="asked"/>. Returns those
    /// that have lapsed, with how long they have stood still beyond that.
    /// </summary>
    public IReadOnlyList<(string Vm, OwnershipRecord Record, TimeSpan Overdue)> Look(long asked, IReadOnlyList<(string Vm, OwnershipRecord Record)> records)
    {
        var now = _time.GetTimestamp();
        if (_time.GetElapsedTime(_lastLook ?? asked, now) > _options.Lease / 2)
        {
            _watched.Clear();
        }

        List<(string, OwnershipRecord, TimeSpan)> lapsed = [];
        var seen = new HashSet<string>();
        foreach (var (vm, record) in records)
        {
            seen.Add(vm);
            if (!_watched.TryGetValue(vm, out var watched) || watched.Version != record.Version)
            {
                // Since the answer, not the question: the owner may have renewed in between.
                _watched[vm] = (record.Version, now);
                continue;
            }

            // Until the question: what came after it is not known.
            var stood = _time.GetElapsedTime(watched.Since, asked);
            if (stood >= record.Lease + _options.Margin)
            {
                lapsed.Add((vm, record, stood - record.Lease - _options.Margin));
            }
        }

        foreach (var gone in _watched.Keys.Except(seen).ToList())
        {
            _watched.Remove(gone);
        }

        _lastLook = now;
        return lapsed;
    }
}
