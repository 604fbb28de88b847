using System.Text;
using Godwit.Engine.Checkpoint;
using Godwit.Engine.Machine;
using Godwit.Engine.Migration;
using Godwit.Engine.Tests.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Machine;

/// <summary>A machine as its host drives it, with the built-in guest under counted time: nothing here depends on the host's speed.</summary>
public sealed class MachineActorTests
{
    private const string Endless = "working-set=1M free=1M rate=1000";

    [Fact]
    public async Task AGuestThatWritesToTheDebugExitPortEndsItsMachineWithItsCode()
    {
        await using MachineActor machine = await StartedAsync("working-set=1M free=1M ticks=2");
        string console = await ReadUntilEndAsync(machine);
        MachineStatus status = await machine.GetStatusAsync(CancellationToken.None);
        Assert.Contains("tick=2 ", console, StringComparison.Ordinal);
        Assert.Equal((MachinePhase.Ended, (int?)1), (status.Phase, status.ExitCode));
    }

    [Fact]
    public async Task TwoRunsEndInTheSameState()
    {
        string[] digests = new string[2];
        for (int run = 0; run < 2; run++)
        {
            await using MachineActor machine = await StartedAsync("working-set=1M free=1M ticks=3");
            await ReadUntilEndAsync(machine);
            digests[run] = await machine.DigestAsync(CancellationToken.None);
        }
        Assert.Equal(digests[0], digests[1]);
    }

    [Fact]
    public async Task NothingRunsWithoutAPermit()
    {
        await using MachineActor machine = await CreatedAsync(Endless);
        await machine.RunAsync(CancellationToken.None);
        await machine.PauseAsync(CancellationToken.None);
        Assert.Equal(0u, (await machine.GetStatusAsync(CancellationToken.None)).RetiredInstructions);
    }

    [Fact]
    public async Task AnExpiredPermitStopsTheGuestAndALaterEpochLetsItGoOn()
    {
        await using MachineActor machine = await StartedAsync(Endless);
        await using IAsyncEnumerator<MachineEvent> events = machine.Events.GetAsyncEnumerator();
        Assert.Equal(1, (await NextAsync<RunStarted>(events)).Epoch);
        machine.Grant(2, 0);
        Assert.Equal(1, (await NextAsync<RunStopped>(events)).Epoch);
        machine.Grant(2, long.MaxValue);
        Assert.Equal(2, (await NextAsync<RunStarted>(events)).Epoch);
    }

    [Fact]
    public async Task APausedGuestStandsStillAndGoesOn()
    {
        await using MachineActor machine = await StartedAsync(Endless);
        await ReadLinesAsync(machine, 2);
        await machine.PauseAsync(CancellationToken.None);
        MachineStatus before = await machine.GetStatusAsync(CancellationToken.None);
        string digest = await machine.DigestAsync(CancellationToken.None);
        Assert.Equal(digest, await machine.DigestAsync(CancellationToken.None));
        Assert.Equal(before, await machine.GetStatusAsync(CancellationToken.None));
        await machine.RunAsync(CancellationToken.None);
        await ReadLinesAsync(machine, 4);
    }

    [Fact]
    public async Task ASnapshotGoesOnWhereItWasTaken()
    {
        using MemoryStream snapshot = new();
        string digest;
        await using (MachineActor machine = await StartedAsync(Endless))
        {
            await ReadLinesAsync(machine, 3);
            await machine.PauseAsync(CancellationToken.None);
            await machine.SnapshotAsync(snapshot, CancellationToken.None);
            digest = await machine.DigestAsync(CancellationToken.None);
        }
        snapshot.Position = 0;
        await using MachineActor copy = new();
        await copy.RestoreAsync(snapshot, CancellationToken.None);
        Assert.Equal(digest, await copy.DigestAsync(CancellationToken.None));
        copy.Grant(1, long.MaxValue);
        await copy.RunAsync(CancellationToken.None);
        string[] lines = await ReadLinesAsync(copy, 6);
        Assert.All(lines.Skip(1), line => Assert.Contains("wrong=0", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task ADamagedSnapshotIsRefusedInOneLine()
    {
        await using MachineActor machine = new();
        using MemoryStream foreign = new(Encoding.ASCII.GetBytes("this is not a snapshot, and was never one"));
        MachineException refused = await Assert.ThrowsAsync<MachineException>(() => machine.RestoreAsync(foreign, CancellationToken.None));
        Assert.DoesNotContain('\n', refused.Message);
        Assert.Equal(MachinePhase.Empty, (await machine.GetStatusAsync(CancellationToken.None)).Phase);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task AMoveKeepsMemoryConsoleAndCountOfTicks(bool cooperate)
    {
        await using MachineActor source = await StartedAsync($"{Endless} cooperate={(cooperate ? "on" : "off")}");
        await using MachineActor target = new();
        await ReadLinesAsync(source, 3);
        FakeAuthority authority = new();
        MemoryLink link = new();
        Task<MigrationReport> receiving = target.MigrateInAsync(link.Target, authority, _ => long.MaxValue, CancellationToken.None);
        MigrationReport sent = await source.MigrateOutAsync(
            link.Source, new MigrationOptions { VerifyAllMemory = true, Cooperate = cooperate, ReadyTimeout = TimeSpan.FromSeconds(30) }, authority, new Progress<MigrationProgress>(), CancellationToken.None);
        await receiving;
        Assert.Equal(sent.SourceHash, sent.TargetHash);
        Assert.Equal(cooperate, sent.GuestWasReady);
        Assert.Equal(MachinePhase.Ended, (await source.GetStatusAsync(CancellationToken.None)).Phase);
        string[] lines = await ReadLinesAsync(target, 8);
        int[] ticks = [.. lines.Where(line => line.Contains(" tick=", StringComparison.Ordinal)).Select(line => int.Parse(line.Split("tick=")[1].Split(' ')[0]))];
        Assert.Equal(Enumerable.Range(1, ticks.Length), ticks);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => source.ReadConsoleAsync(0, 1, CancellationToken.None));
    }

    [Fact]
    public async Task AChainOfCheckpointsOfARunningGuestIsTheMachineAndItGoesOn()
    {
        // So slow that the whole working set is not written between two checkpoints on a busy host either.
        await using MachineActor machine = await StartedAsync("working-set=1M free=1M rate=50");
        List<MemoryStream> chain = [];
        CheckpointReport last = null!;
        for (int number = 1; number <= 4; number++)
        {
            await ReadLinesAsync(machine, 2 * number);
            if (number == 4)
                await machine.PauseAsync(CancellationToken.None);
            chain.Add(new MemoryStream());
            last = await machine.CheckpointAsync(new CheckpointRequest(number, number - 1, false), chain[^1], CancellationToken.None);
            chain[^1].Position = 0;
        }
        Assert.True(chain[1].Length < chain[0].Length);
        await using MachineActor copy = new();
        long consoleEnd = await copy.RestoreCheckpointAsync([.. chain], last.Digest, CancellationToken.None);
        Assert.Equal(consoleEnd, (await machine.GetStatusAsync(CancellationToken.None)).ConsoleEnd);
        Assert.Equal(await machine.DigestAsync(CancellationToken.None), await copy.DigestAsync(CancellationToken.None));
        copy.Grant(2, long.MaxValue);
        await copy.RunAsync(CancellationToken.None);
        string[] lines = await ReadLinesAsync(copy, 12);
        Assert.All(lines.Where(line => line.Contains(" wrong=", StringComparison.Ordinal)), line => Assert.Contains(" wrong=0 ", line, StringComparison.Ordinal));
    }

    [Fact]
    public async Task CommandsThatDoNotFitThePhaseAreRefusedInOneLine()
    {
        await using MachineActor machine = new();
        await RefusedAsync(() => machine.RunAsync(CancellationToken.None), "has not been created");
        await machine.CreateAsync(Spec(Endless), BootImages.None, CancellationToken.None);
        await RefusedAsync(() => machine.CreateAsync(Spec(Endless), BootImages.None, CancellationToken.None), "has never run");
        await RefusedAsync(() => machine.PauseAsync(CancellationToken.None), "has never run");
        await machine.StopAsync(CancellationToken.None);
        await RefusedAsync(() => machine.RunAsync(CancellationToken.None), "has ended");
        Assert.Equal(0, (await machine.GetStatusAsync(CancellationToken.None)).ResidentBytes);
    }

    [Theory]
    [InlineData(0ul, 1, "at least 2 MiB")]
    [InlineData((8ul << 20) + 1, 1, "not a multiple")]
    [InlineData(1ul << 50, 1, "more than")]
    [InlineData(8ul << 20, 0, "1 to 16")]
    [InlineData(8ul << 20, 17, "1 to 16")]
    public void ASpecThatCannotRunIsRefusedInOneLine(ulong memory, int vcpus, string reason)
    {
        MachineException refused = Assert.Throws<MachineException>(() => MachineSpecs.Create(memory, vcpus, ClockMode.Host, null, default, null, ""));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    private static MachineSpec Spec(string parameters) =>
        MachineSpecs.Create(8 << 20, 1, ClockMode.InstructionCount, null, default, null, parameters);

    private static async Task<MachineActor> CreatedAsync(string parameters)
    {
        MachineActor machine = new();
        await machine.CreateAsync(Spec(parameters), BootImages.None, CancellationToken.None);
        return machine;
    }

    private static async Task<MachineActor> StartedAsync(string parameters)
    {
        MachineActor machine = await CreatedAsync(parameters);
        machine.Grant(1, long.MaxValue);
        await machine.RunAsync(CancellationToken.None);
        return machine;
    }

    private static async Task<string> ReadUntilEndAsync(MachineActor machine)
    {
        StringBuilder text = new();
        while (true)
        {
            ConsoleChunk chunk = await machine.ReadConsoleAsync(text.Length, 4096, CancellationToken.None);
            if (chunk.Ended)
                return text.ToString();
            text.Append(Encoding.ASCII.GetString(chunk.Bytes));
        }
    }

    private static async Task<string[]> ReadLinesAsync(MachineActor machine, int count)
    {
        StringBuilder text = new();
        while (true)
        {
            string[] lines = text.ToString().Split('\n');
            if (lines.Length > count)
                return lines[..count];
            text.Append(Encoding.ASCII.GetString((await machine.ReadConsoleAsync(text.Length, 4096, CancellationToken.None)).Bytes));
        }
    }

    private static async Task<TEvent> NextAsync<TEvent>(IAsyncEnumerator<MachineEvent> events)
        where TEvent : MachineEvent
    {
        while (await events.MoveNextAsync())
            if (events.Current is TEvent found)
                return found;
        throw new InvalidOperationException($"no {typeof(TEvent).Name} came");
    }

    private static async Task RefusedAsync(Func<Task> command, string reason)
    {
        MachineException refused = await Assert.ThrowsAsync<MachineException>(command);
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }
}
