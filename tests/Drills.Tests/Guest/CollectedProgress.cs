using System.Collections.Concurrent;
using Godwit.Cli.Guest;

namespace Godwit.Drills.Tests.Guest;

/// <summary>Keeps what is reported, at once and in order, and lets a test act on it.</summary>
internal sealed class CollectedProgress(Action<GuestFetchProgress>? act = null) : IProgress<GuestFetchProgress>
{
    private readonly ConcurrentQueue<GuestFetchProgress> _reports = new();

    public IEnumerable<GuestFetchStage> Stages => _reports.Select(r => r.Stage).Distinct();

    public IEnumerable<GuestFetchProgress> Reports => _reports;

    public void Report(GuestFetchProgress value)
    {
        _reports.Enqueue(value);
        act?.Invoke(value);
    }
}
