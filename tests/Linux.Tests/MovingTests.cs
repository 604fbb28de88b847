using Godwit.Engine.Machine;
using Godwit.Engine.Migration;
using Godwit.Engine.Tests.Migration;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>The guest goes on elsewhere while its self-checking workload runs.</summary>
public sealed class MovingTests
{
    private const string StartWorkload = "workload 4 400\n";

    [LinuxFact]
    public async Task SnapshotOfARunningGuestGoesOnElsewhere()
    {
        await using GuestSession original = await BootedLinux.StartAsync();
        await original.TypeAsync(StartWorkload);
        await WorkloadLog.ReadTicksAsync(original, 5);
        long start = original.Offset - original.Text.Length;

        using MemoryStream snapshot = new();
        await original.Machine.SnapshotAsync(snapshot, default);
        // It runs on where it was, too.
        await WorkloadLog.ReadTicksAsync(original, 5);
        WorkloadLog.Check(original.Text);
        await original.Machine.StopAsync(default);

        MachineActor machine = new("elsewhere");
        snapshot.Position = 0;
        await machine.RestoreAsync(snapshot, default);
        await using GuestSession restored = await GuestSession.Of(machine, start).StartAsync();
        long ticks = WorkloadLog.Check(original.Text);
        while (await WorkloadLog.ReadTicksAsync(restored, 5) < ticks + 5)
        {
        }
        // Read from before the snapshot: what the console held there has come along.
        WorkloadLog.Check(restored.Text);
    }

    [LinuxFact]
    public async Task GuestMovesThereAndBackWhileItWorks()
    {
        GuestSession here = await BootedLinux.StartAsync();
        await here.TypeAsync(StartWorkload);
        await WorkloadLog.ReadTicksAsync(here, 5);
        for (int move = 0; move < 2; move++)
        {
            GuestSession there = await MoveAsync(here);
            Assert.Equal(0, (await here.StatusAsync()).ResidentBytes);
            await here.DisposeAsync();
            here = there;
            // From the first move on: no line is lost or doubled on the way.
            await WorkloadLog.ReadTicksAsync(here, 5);
        }
        await here.TypeAsync("\x03");
        await here.ReadToAsync(GuestSession.Prompt);
        Assert.Equal("130\n", await here.RunAsync("echo $?"));
        await here.DisposeAsync();
    }

    private static async Task<GuestSession> MoveAsync(GuestSession here)
    {
        long before = (await here.StatusAsync()).ResidentBytes;
        MachineActor target = new("there");
        MemoryLink link = new();
        FakeAuthority authority = new();
        ReleasedBytes released = new(here.Machine);
        Task<MigrationReport> received = Task.Run(() => target.MigrateInAsync(link.Target, authority, _ => long.MaxValue, default));
        MigrationReport report = await Task.Run(() => here.Machine.MigrateOutAsync(link.Source, new MigrationOptions { VerifyAllMemory = true }, authority, released, default));
        await received;

        Assert.NotEqual("", report.SourceHash);
        Assert.Equal(report.SourceHash, report.TargetHash);
        MachineStatus status = await target.GetStatusAsync(default);
        Assert.Equal(MachinePhase.Running, status.Phase);
        // Zero pages are not sent, so it may be less; what the guest never touched must not have come into being on the way.
        Assert.InRange(status.ResidentBytes, before / 2, Math.Max(before, released.Most) + (2 << 20));
        Assert.True(status.ResidentBytes < (long)BootedLinux.MemoryBytes * 3 / 4, $"{status.ResidentBytes >> 20} MiB resident");
        return here.MovedTo(target);
    }

    /// <summary>What the source held at most while it was copied: the guest ran, and touched more.</summary>
    private sealed class ReleasedBytes(MachineActor source) : IProgress<MigrationProgress>
    {
        public long Most { get; private set; }

        public void Report(MigrationProgress value)
        {
            MachineStatus status = source.GetStatusAsync(default).GetAwaiter().GetResult();
            Most = Math.Max(Most, status.ResidentBytes);
        }
    }
}
