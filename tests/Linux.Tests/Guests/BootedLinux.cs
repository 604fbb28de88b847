using System.Text;
using Godwit.Cli.Guest;
using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Paravirt.Workload;
using Godwit.Engine.Snapshot;
using Godwit.Linux.Tests.Facts;

namespace Godwit.Linux.Tests.Guests;

/// <summary>
/// The stock guest at its shell prompt, booted once for all tests that need it, under --clock icount. A boot that this
/// very engine made of these very images is taken from the cache.
/// </summary>
internal sealed class BootedLinux
{
    /// <summary>Twice what the kernel needs to unpack itself.</summary>
    public const ulong MemoryBytes = 128 << 20;

    private static readonly Lazy<Task<LinuxGuest>> s_images = new(FetchAsync);
    private static readonly Lazy<Task<BootedLinux>> s_booted = new(MakeAsync);

    private readonly Lazy<Task<byte[]>> _onHostClock;

    private BootedLinux(LinuxGuest guest, byte[] snapshot)
    {
        Guest = guest;
        Snapshot = snapshot;
        _onHostClock = new Lazy<Task<byte[]>>(ToHostClockAsync);
    }

    public LinuxGuest Guest { get; }

    /// <summary>The machine at its prompt; its time is retired instructions.</summary>
    public byte[] Snapshot { get; }

    /// <summary>The guest's files; no machine has been made of them.</summary>
    public static Task<LinuxGuest> ImagesAsync() => s_images.Value;

    public static Task<BootedLinux> GetAsync() => s_booted.Value;

    /// <summary>A session at the prompt, running, with the host's time.</summary>
    public static async Task<GuestSession> StartAsync() => await (await RestoreAsync(ClockMode.Host)).StartAsync();

    /// <summary>A session at the prompt, paused.</summary>
    public static async Task<GuestSession> RestoreAsync(ClockMode clock)
    {
        BootedLinux linux = await GetAsync();
        return await GuestSession.RestoreAsync(clock == ClockMode.InstructionCount ? linux.Snapshot : await linux._onHostClock.Value);
    }

    /// <summary>Boots the guest from nothing under --clock icount; paused.</summary>
    public static async Task<GuestSession> BootAsync(LinuxGuest guest, string words, BackendKind? backend = null)
    {
        BootImages images = new(await File.ReadAllBytesAsync(guest.KernelPath), await File.ReadAllBytesAsync(guest.InitrdPath));
        return await GuestSession.BootAsync(Spec(guest, images, words), images, backend);
    }

    /// <summary>The same on a back end of the caller's making.</summary>
    public static async Task<GuestSession> BootAsync(LinuxGuest guest, string words, Func<Vcpu, IVcpuBackend> backend)
    {
        BootImages images = new(await File.ReadAllBytesAsync(guest.KernelPath), await File.ReadAllBytesAsync(guest.InitrdPath));
        return await GuestSession.BootAsync(Spec(guest, images, words), images, new MachineActor("linux", null, backend));
    }

    private static MachineSpec Spec(LinuxGuest guest, BootImages images, string words) => MachineSpecs.Create(
        MemoryBytes, 1, ClockMode.InstructionCount, Path.GetFileName(guest.KernelPath), images.Kernel, Path.GetFileName(guest.InitrdPath), $"{LinuxGuest.CommandLine} {words}".TrimEnd());

    private static async Task<LinuxGuest> FetchAsync()
    {
        try
        {
            return await LinuxGuest.EnsureAsync(
                new LinuxGuestOptions
                {
                    ExtraFiles =
                    [
                        new InitramfsFile("bin/workload", WorkloadProgram.Build(), Executable: true),
                        new InitramfsFile(NarrowProgram.Path, NarrowProgram.Build(), Executable: true),
                        new InitramfsFile("root/arithmetic.sh", Encoding.ASCII.GetBytes(ArithmeticScript.Text), Executable: false),
                    ],
                },
                progress: null,
                CancellationToken.None);
        }
        catch (GuestFetchException unavailable) when (Environment.GetEnvironmentVariable("CI") != "true")
        {
            throw new GuestUnavailableException(unavailable.Message, unavailable);
        }
    }

    private static async Task<BootedLinux> MakeAsync()
    {
        LinuxGuest guest = await ImagesAsync();
        BootSnapshots kept = new(guest, $"{MemoryBytes} {LinuxGuest.CommandLine}");
        if (await kept.FindAsync() is { } found)
            return new BootedLinux(guest, found);
        await using GuestSession session = await (await BootAsync(guest, "")).StartAsync();
        await session.ReadToAsync(GuestSession.Prompt);
        await session.Machine.PauseAsync(default);
        using MemoryStream snapshot = new();
        await session.Machine.SnapshotAsync(snapshot, default);
        byte[] bytes = snapshot.ToArray();
        await kept.KeepAsync(bytes);
        return new BootedLinux(guest, bytes);
    }

    // The same machine, whose time from here on is the host's.
    private async Task<byte[]> ToHostClockAsync()
    {
        using MemoryStream from = new(Snapshot, writable: false);
        await using VirtualMachine machine = (VirtualMachine)await SnapshotReader.ReadAsync(from, spec => new VirtualMachine(spec with { Clock = ClockMode.Host }), default);
        using MemoryStream to = new(Snapshot.Length);
        await SnapshotWriter.WriteAsync(machine, to, default);
        return to.ToArray();
    }
}
