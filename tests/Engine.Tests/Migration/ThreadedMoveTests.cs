using System.Diagnostics;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Migration;

/// <summary>The same with a vCPU that is a thread of its own, writing as fast as it can while it is moved.</summary>
public sealed class ThreadedMoveTests(ITestOutputHelper output)
{
    [Fact]
    public async Task MemoryWrittenByARunningThreadArrivesWhole()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        using ThreadedMachine source = new(seed);
        using GuestMemoryOwner target = new();
        MemoryLink link = new();
        FakeAuthority authority = new();
        MigrationOptions options = new() { VerifyAllMemory = true, MaxRounds = 8, MaxBlackout = TimeSpan.Zero };
        Task<MigrationReport> received = Task.Run(() => MigrationTarget.RunAsync(link.Target, target.Build, authority, _ => Task.CompletedTask, null, default));
        MigrationReport report = await Task.Run(() => MigrationSource.RunAsync(source, link.Source, options, authority, null, default));
        await received;

        Assert.Equal(report.SourceHash, report.TargetHash);
        Assert.True(source.Stores > 1000, $"{source.Stores} stores");
        Assert.True(report.Rounds.Sum(round => round.DirtiedMeanwhile) > 0);
        Assert.Equal(RamHash.ToHex(RamHash.Compute(source.Memory)), report.TargetHash);
    }

    private sealed class GuestMemoryOwner : IDisposable
    {
        private FakeMachine? _machine;

        public IMigratableMachine Build(MachineSpec spec) => _machine = new FakeMachine(spec, new RunMonitor()) { StoresPerStep = 0 };

        public void Dispose() => _machine?.Dispose();
    }

    /// <summary>A FakeMachine's state with a real thread for a vCPU.</summary>
    private sealed unsafe class ThreadedMachine : IMigratableMachine, IDirtyWriter, IDisposable
    {
        private readonly FakeMachine _state = new(FakeMachine.SmallSpec, new RunMonitor());
        private readonly Thread _thread;
        private readonly int _seed;
        private long _asked;
        private long _done;
        private volatile bool _stop;

        public ThreadedMachine(int seed)
        {
            _seed = seed;
            _state.StoresPerStep = 0;
            Memory.Dirty.Attach(this);
            _thread = new Thread(Run);
            _thread.Start();
        }

        public MachineSpec Spec => _state.Spec;

        public GuestMemory Memory => _state.Memory;

        public long ConsoleEnd => 0;

        public ulong GuestNanoseconds => (ulong)Stopwatch.GetElapsedTime(0).TotalNanoseconds;

        public IGuestHandshake Guest => _state.Guest;

        public long Stores { get; private set; }

        public Task PauseAsync()
        {
            _stop = true;
            _thread.Join();
            return Task.CompletedTask;
        }

        public void Resume(TimeSpan elapsed) => throw new NotSupportedException();

        public IReadOnlyList<StateSection> SaveState() => _state.SaveState();

        public void LoadState(IReadOnlyList<StateSection> sections) => throw new NotSupportedException();

        public void RevokeWritePermissions()
        {
            long ticket = Interlocked.Increment(ref _asked);
            SpinWait.SpinUntil(() => Volatile.Read(ref _done) >= ticket || !_thread.IsAlive);
        }

        public void Dispose()
        {
            _stop = true;
            _thread.Join();
            _state.Dispose();
        }

        private void Run()
        {
            Random random = new(_seed);
            Dictionary<int, nint> permissions = [];
            while (!_stop)
            {
                long asked = Volatile.Read(ref _asked);
                if (asked != _done)
                {
                    permissions.Clear();
                    Volatile.Write(ref _done, asked);
                }
                int page = random.Next(Memory.PageCount);
                if (!permissions.TryGetValue(page, out nint pointer))
                    permissions[page] = pointer = (nint)Memory.Resolve(new PageNumber((ulong)page), Access.Write);
                ((ulong*)pointer)[random.Next(PageNumber.Size / sizeof(ulong))] = (ulong)random.NextInt64();
                Stores++;
            }
        }
    }
}
