using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Migration;

/// <summary>A source that runs, a link, a record, and what becomes of a move between them.</summary>
internal sealed class MoveRig : IDisposable
{
    public MoveRig(int seed = 0, int pages = 300)
    {
        Source = new FakeMachine(FakeMachine.SmallSpec, Monitor, seed);
        Source.Fill(pages);
    }

    public RunMonitor Monitor { get; } = new();

    public FakeAuthority Authority { get; } = new();

    public MemoryLink Link { get; } = new();

    public FakeMachine Source { get; }

    public FakeMachine? Target { get; private set; }

    public Func<MachineSpec, FakeMachine>? Prepare { get; set; }

    public MigrationReport? SourceReport { get; private set; }

    public MigrationReport? TargetReport { get; private set; }

    public Exception? SourceError { get; private set; }

    public Exception? TargetError { get; private set; }

    public bool Released { get; private set; }

    /// <summary>What the source had in its memory when it was let go, free pages as zeros.</summary>
    public byte[] SourceRam { get; private set; } = [];

    public ProgressLog SourceProgress { get; } = new();

    public ProgressLog TargetProgress { get; } = new();

    public CancellationTokenSource CancelSource { get; } = new();

    public CancellationTokenSource CancelTarget { get; } = new();

    public async Task MoveAsync(MigrationOptions? options = null)
    {
        options ??= new MigrationOptions { VerifyAllMemory = true };
        await Task.WhenAll(Task.Run(() => RunSourceAsync(options)), Task.Run(() => RunTargetAsync(options)));
    }

    public async Task RunSourceAsync(MigrationOptions options)
    {
        try
        {
            SourceReport = await MigrationSource.RunAsync(Source, Link.Source, options, Authority, SourceProgress, CancelSource.Token, ReleaseAsync);
        }
        catch (Exception error) when (error is MigrationFailedException or OperationCanceledException)
        {
            SourceError = error;
        }
        await Link.Source.DisposeAsync();
    }

    public async Task RunTargetAsync(MigrationOptions options)
    {
        try
        {
            TargetReport = await MigrationTarget.RunAsync(Link.Target, Build, Authority, _ => Task.CompletedTask, TargetProgress, CancelTarget.Token, options.SilenceLimit);
        }
        catch (Exception error) when (error is MigrationFailedException or OperationCanceledException)
        {
            TargetError = error;
        }
        await Link.Target.DisposeAsync();
    }

    /// <summary>Exactly one machine runs, it is the record's owner, and the other holds nothing.</summary>
    public void AssertExactlyOneRuns()
    {
        Assert.False(Monitor.Overlapped, "both ran at once");
        Assert.Equal(1, Monitor.Running);
        SourceProgress.AssertMonotonic();
        TargetProgress.AssertMonotonic();
        if (Authority.Owner == "B")
        {
            Assert.True(Target!.IsRunning);
            Assert.True(Released);
            Assert.NotNull(SourceReport);
            AssertSameMemory();
        }
        else
        {
            Assert.Equal("A", Authority.Owner);
            Assert.True(Source.IsRunning);
            Assert.False(Released);
            Assert.NotNull(SourceError);
            Assert.True(SourceError is OperationCanceledException or MigrationFailedException { SourceRuns: true }, SourceError.ToString());
            Assert.DoesNotContain('\n', SourceError.Message);
            Assert.True(Target is null || Target.Disposed);
        }
    }

    public void AssertSameMemory() => Assert.True(SourceRam.AsSpan().SequenceEqual(Target!.RamBytes()), "memory differs");

    public void Dispose()
    {
        Source.Dispose();
        Target?.Dispose();
        CancelSource.Dispose();
        CancelTarget.Dispose();
    }

    private FakeMachine Build(MachineSpec spec) =>
        Target = Prepare?.Invoke(spec) ?? new FakeMachine(spec, Monitor) { StoresPerStep = 0 };

    private Task ReleaseAsync()
    {
        SourceRam = Source.RamBytes();
        foreach (PageRange free in Source.Memory.Dirty.FreeRanges())
            SourceRam.AsSpan((int)free.First.Address.Value, free.Count * PageNumber.Size).Clear();
        Released = true;
        return Task.CompletedTask;
    }
}

/// <summary>Progress as it came, in order.</summary>
internal sealed class ProgressLog : IProgress<MigrationProgress>
{
    public List<MigrationProgress> Entries { get; } = [];

    public Action<MigrationProgress>? Seen { get; set; }

    public void Report(MigrationProgress value)
    {
        Entries.Add(value);
        Seen?.Invoke(value);
    }

    public void AssertMonotonic()
    {
        for (int i = 1; i < Entries.Count; i++)
        {
            (MigrationProgress before, MigrationProgress after) = (Entries[i - 1], Entries[i]);
            Assert.Equal(before.Sequence + 1, after.Sequence);
            Assert.True(after.Stage >= before.Stage, $"{before.Stage} then {after.Stage}");
            Assert.True(after.Round >= before.Round);
            Assert.True(after.PagesSent >= before.PagesSent);
            Assert.True(after.BytesSent >= before.BytesSent);
            Assert.True(after.Elapsed >= before.Elapsed);
        }
    }
}
