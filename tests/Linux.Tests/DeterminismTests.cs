using Godwit.Cli.Guest;
using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Translation;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Linux.Tests;

/// <summary>--clock icount: the same run ends in the same state.</summary>
public sealed class DeterminismTests(ITestOutputHelper output)
{
    [LinuxFact]
    public async Task BootsEndInTheSameStateOnEitherBackEnd()
    {
        LinuxGuest images = await BootedLinux.ImagesAsync();

        Ending[] both = await Task.WhenAll(Task.Run(() => BootAsync(BackendKind.Interpreter)), Task.Run(() => BootAsync(Backends.Default)));

        Assert.Equal(both[0], both[1]);
        Assert.Contains("wrong=0", both[0].Console, StringComparison.Ordinal);
        Assert.Contains("workload ended with status 0", both[0].Console, StringComparison.Ordinal);

        async Task<Ending> BootAsync(BackendKind backend)
        {
            await using GuestSession guest = await BootedLinux.BootAsync(images, "godwit.workload=2,200,200,3 godwit.poweroff", backend);
            return await EndAsync(guest);
        }
    }

    [LinuxFact]
    public async Task ABootThatSwitchesBackEndsAHundredTimesEndsInTheSameState()
    {
        const int Switches = 100;
        LinuxGuest images = await BootedLinux.ImagesAsync();
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Ending plain;
        await using (GuestSession guest = await BootedLinux.BootAsync(images, "godwit.poweroff"))
            plain = await EndAsync(guest);
        Random random = new(seed);
        SortedSet<ulong> points = [];
        while (points.Count < Switches)
            points.Add((ulong)random.NextInt64(1, (long)plain.Instructions));

        SwitchingBackend? backend = null;
        await using GuestSession switching = await BootedLinux.BootAsync(images, "godwit.poweroff", vcpu => backend = new SwitchingBackend(vcpu, [.. points]));
        Ending switched = await EndAsync(switching);

        Assert.Equal(plain, switched);
        Assert.Equal(Switches, backend!.Switches);
    }

    [LinuxFact]
    public async Task ABootWithCodeCachesThatHoldAPartOfItEndsInTheSameState()
    {
        LinuxGuest images = await BootedLinux.ImagesAsync();
        TranslatorBackend? cramped = null;

        Ending[] both = await Task.WhenAll(
            Task.Run(() => BootAsync(vcpu => new TranslatorBackend(vcpu))),
            Task.Run(() => BootAsync(vcpu => cramped = new TranslatorBackend(vcpu, codeBytes: 4 << 20, nativeBytes: 1 << 20, hot: 16) { VerifiesTemplates = true })));

        output.WriteLine($"{cramped!.Evicted} evicted, {cramped.Templates}");
        Assert.Null(cramped.TemplateDifference);
        Assert.True(cramped.Templates.Reused > 10_000, cramped.Templates.ToString());
        Assert.Equal(both[0], both[1]);
        Assert.True(cramped.Evicted.Blocks > 10_000, $"{cramped.Evicted.Blocks} blocks evicted");
        Assert.True(cramped.Evicted.Translations > 10_000, $"{cramped.Evicted.Translations} translations evicted");

        async Task<Ending> BootAsync(Func<Vcpu, IVcpuBackend> backend)
        {
            await using GuestSession guest = await BootedLinux.BootAsync(images, "godwit.poweroff", backend);
            return await EndAsync(guest);
        }
    }

    [LinuxFact]
    public async Task TwoRunsFromOneSnapshotWithTheSameInputEndInTheSameState()
    {
        Ending first = await TypeAndEndAsync("md5sum /init; sleep 1; poweroff -f\n");
        Ending second = await TypeAndEndAsync("md5sum /init; sleep 1; poweroff -f\n");
        Ending other = await TypeAndEndAsync("md5sum /init; sleep 2; poweroff -f\n");

        Assert.Equal(first, second);
        Assert.NotEqual(first.Digest, other.Digest);

        static async Task<Ending> TypeAndEndAsync(string input)
        {
            await using GuestSession guest = await BootedLinux.RestoreAsync(ClockMode.InstructionCount);
            // Before the guest runs: the keys arrive between the same two instructions each time.
            await guest.TypeAsync(input);
            return await EndAsync(guest);
        }
    }

    private static async Task<Ending> EndAsync(GuestSession guest)
    {
        await guest.StartAsync();
        MachineStatus status = await guest.ReadToEndAsync();
        Assert.Equal(0, status.ExitCode);
        return new Ending(status.RetiredInstructions, status.GuestNanoseconds, await guest.Machine.DigestAsync(default), guest.Text);
    }

    private sealed record Ending(ulong Instructions, ulong Nanoseconds, string Digest, string Console);
}
