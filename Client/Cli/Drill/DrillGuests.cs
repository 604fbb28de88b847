using System.Globalization;
using Godwit.Client;
using Godwit.Cli.Guest;
using Godwit.Cli.Run;
using Godwit.Engine.Machine;
using Godwit.Engine.Paravirt.Workload;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill;

/// <summary>The guests of a drill: Debian's kernel with the workload, and the built-in guest alone and cooperating, all under the same load.</summary>
internal sealed class DrillGuests(DrillLoad load)
{
    public const string Linux = "linux";
    public const string Builtin = "builtin";
    public const string BuiltinCooperating = "builtin, cooperating";

    private static readonly TimeSpan s_bootLimit = TimeSpan.FromMinutes(3);

    /// <summary>Fetches the Linux guest's images and uploads them.</summary>
    public async Task<GuestPlan> LinuxAsync(GodwitClient client, LinuxGuest images, CancellationToken cancellation)
    {
        string kernel = await client.UploadImageAsync(await File.ReadAllBytesAsync(images.KernelPath, cancellation).ConfigureAwait(false), cancellation: cancellation).ConfigureAwait(false);
        string initrd = await client.UploadImageAsync(await File.ReadAllBytesAsync(images.InitrdPath, cancellation).ConfigureAwait(false), cancellation: cancellation).ConfigureAwait(false);
        return new GuestPlan(Linux, "linux", new VmDefinition
        {
            MemoryBytes = load.MemoryBytes,
            CpuLevel = (int)load.Cpu,
            Boot = VmBoot.Linux,
            Kernel = kernel,
            Initrd = initrd,
            CommandLine = string.Create(CultureInfo.InvariantCulture, $"console=ttyS0 cryptomgr.notests panic=-1 godwit.workload={load.WorkingSetMegabytes},{load.PagesPerSecond}"),
        }, Cooperate: false, s_bootLimit);
    }

    /// <summary>The initramfs with the workload in it.</summary>
    public static Task<LinuxGuest> FetchAsync() =>
        GuestFetchDisplay.RunAsync(progress => LinuxGuest.EnsureAsync(
            new LinuxGuestOptions { ExtraFiles = [new InitramfsFile("bin/workload", WorkloadProgram.Build(), Executable: true)] },
            progress,
            CancellationToken.None));

    public GuestPlan BuiltinGuest(bool cooperating) => new(
        cooperating ? BuiltinCooperating : Builtin,
        cooperating ? "builtin-cooperating" : "builtin",
        new VmDefinition
        {
            MemoryBytes = load.MemoryBytes,
            CpuLevel = (int)load.Cpu,
            Boot = VmBoot.Builtin,
            CommandLine = string.Create(CultureInfo.InvariantCulture, $"working-set={load.WorkingSetMegabytes}M rate={load.PagesPerSecond} cooperate={(cooperating ? "on" : "off")}"),
        },
        Cooperate: cooperating,
        s_bootLimit);

    /// <summary>One of many small guests, which help when they are moved.</summary>
    /// <param name="number">From 1.</param>
    public GuestPlan FleetGuest(int number) => new(
        string.Create(CultureInfo.InvariantCulture, $"guest {number}"),
        string.Create(CultureInfo.InvariantCulture, $"guest-{number}"),
        new VmDefinition
        {
            MemoryBytes = load.MemoryBytes,
            CpuLevel = (int)load.Cpu,
            Boot = VmBoot.Builtin,
            CommandLine = string.Create(CultureInfo.InvariantCulture, $"working-set={load.WorkingSetMegabytes}M rate={load.PagesPerSecond} verify={load.PagesPerSecond} free=none"),
        },
        Cooperate: true,
        s_bootLimit);
}

/// <summary>What all guests of a drill are: memory, processor, and the dirtying load that they are under.</summary>
internal sealed record DrillLoad(long MemoryBytes, CpuLevel Cpu, int WorkingSetMegabytes, int PagesPerSecond);
