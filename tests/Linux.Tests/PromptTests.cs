using System.Globalization;
using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>What the guest sees of its machine, asked at its shell.</summary>
public sealed class PromptTests
{
    [LinuxFact]
    public async Task StockKernelRunsToAShell()
    {
        BootedLinux linux = await BootedLinux.GetAsync();
        await using GuestSession guest = await BootedLinux.StartAsync();

        // linux-image-6.1.0-53-cloud-amd64 is what calls itself 6.1.0-53-cloud-amd64, and its build names the package's version.
        Assert.Equal($"{linux.Guest.Kernel.Package["linux-image-".Length..]}\n", await guest.RunAsync("uname -r"));
        Assert.Contains($"Debian {linux.Guest.Version}", await guest.RunAsync("uname -v"), StringComparison.Ordinal);
        Assert.Equal("x86_64\n", await guest.RunAsync("uname -m"));
    }

    [LinuxFact]
    public async Task KernelFindsKvmclockAndCalibratesTheTscByIt()
    {
        await using GuestSession guest = await BootedLinux.StartAsync();

        // A TSC that never changes its frequency, as this CPU's, goes before kvmclock once that has told the frequency.
        Assert.Equal("tsc\n", await guest.RunAsync("cat /sys/devices/system/clocksource/*/current_clocksource"));
        string[] known = (await guest.RunAsync("cat /sys/devices/system/clocksource/*/available_clocksource")).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains("kvm-clock", known);
        string log = await guest.RunAsync("dmesg");
        Assert.Contains("Hypervisor detected: KVM", log, StringComparison.Ordinal);
        Assert.Contains("kvm-clock: Using msrs 4b564d01 and 4b564d00", log, StringComparison.Ordinal);
        Assert.Contains("tsc: Detected 1000.000 MHz processor", log, StringComparison.Ordinal);
    }

    [LinuxFact]
    public async Task SerialPortInterruptsThroughTheIoApic()
    {
        await using GuestSession guest = await BootedLinux.StartAsync();

        long before = Count(await guest.RunAsync("grep ttyS0 /proc/interrupts"));
        long after = Count(await guest.RunAsync("grep ttyS0 /proc/interrupts"));

        Assert.True(after > before, $"{before} interrupts, then {after}");

        static long Count(string line)
        {
            string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal("4:", words[0]);
            Assert.Contains("IO-APIC", words);
            return long.Parse(words[1], CultureInfo.InvariantCulture);
        }
    }

    [LinuxFact]
    public async Task NothingInTheKernelsLogComplainsOfTheMachine()
    {
        await using GuestSession guest = await BootedLinux.StartAsync();

        string log = await guest.RunAsync("dmesg");

        Assert.Contains("Linux version", log, StringComparison.Ordinal);
        string[] complaints = ["BUG", "WARNING", "Oops", "unchecked MSR", "Call Trace", "soft lockup", "rcu_sched", "unstable", "lost ticks", "does not work properly"];
        Assert.DoesNotContain(log.Split('\n'), line => complaints.Any(complaint => line.Contains(complaint, StringComparison.Ordinal)));
    }

    [LinuxFact]
    public async Task DateAdvancesByWhatTheGuestSleeps()
    {
        // Under icount, sleeping takes no time on the host.
        await using GuestSession guest = await (await BootedLinux.RestoreAsync(ClockMode.InstructionCount)).StartAsync();

        // Instructions under icount count from the start of 2026.
        string[] seconds = (await guest.RunAsync("date +%s; sleep 10; date +%s; date +%Y-%m-%d")).Split('\n');

        long slept = long.Parse(seconds[1], CultureInfo.InvariantCulture) - long.Parse(seconds[0], CultureInfo.InvariantCulture);
        Assert.InRange(slept, 10, 11);
        Assert.Equal("2026-01-01", seconds[2]);
    }

    [LinuxFact]
    public async Task IdleGuestRunsNextToNothing()
    {
        await using GuestSession guest = await BootedLinux.StartAsync();
        await guest.RunAsync("echo; sleep 0");
        MachineStatus before = await guest.StatusAsync();

        await guest.RunAsync("sleep 2");

        MachineStatus after = await guest.StatusAsync();
        Assert.True(after.GuestNanoseconds - before.GuestNanoseconds >= 2_000_000_000);
        // Two busy seconds are 80 million and more.
        Assert.InRange(after.RetiredInstructions - before.RetiredInstructions, 1u, 8_000_000u);
    }

    [LinuxFact]
    public async Task ProgramsThatFaultAreKilledAndTheShellLivesOn()
    {
        await using GuestSession guest = await BootedLinux.StartAsync();

        Assert.EndsWith("139\n", await guest.RunAsync("sh -c 'kill -SEGV $$'; echo $?"), StringComparison.Ordinal);
        Assert.EndsWith("136\n", await guest.RunAsync("sh -c 'kill -FPE $$'; echo $?"), StringComparison.Ordinal);
        Assert.EndsWith("alive\n", await guest.RunAsync("echo alive"), StringComparison.Ordinal);
    }

    [LinuxFact]
    public async Task InterruptKeyReachesAProgramOnTheConsole()
    {
        await using GuestSession guest = await BootedLinux.StartAsync();
        await guest.TypeAsync("echo on; sleep 100000\n");
        await guest.ReadToAsync("\r\non\r\n");

        await guest.TypeAsync("\x03");
        await guest.ReadToAsync(GuestSession.Prompt);

        Assert.Equal("130\n", await guest.RunAsync("echo $?"));
    }
}
