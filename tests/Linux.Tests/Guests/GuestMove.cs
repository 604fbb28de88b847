using Godwit.Engine.Machine;
using Godwit.Engine.Migration;
using Godwit.Engine.Tests.Migration;
using Xunit;

namespace Godwit.Linux.Tests.Guests;

/// <summary>A live migration within this process, over a link in memory.</summary>
internal static class GuestMove
{
    /// <summary>Moves the running guest to a new machine, checks what must hold of every move, and ends the old one.</summary>
    public static async Task<GuestSession> MoveAsync(GuestSession here)
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
        Assert.Equal(0, (await here.StatusAsync()).ResidentBytes);
        GuestSession there = here.MovedTo(target);
        await here.DisposeAsync();
        return there;
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
