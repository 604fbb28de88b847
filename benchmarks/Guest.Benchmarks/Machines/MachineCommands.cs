using System.Diagnostics;
using Godwit.Cli.Guest;
using Godwit.Engine.Machine;

namespace Godwit.Guest.Benchmarks.Machines;

/// <summary>The processes that are measured. Every machine has the same kernel, initramfs, command line and memory.</summary>
internal static class MachineCommands
{
    /// <summary>First argument of this program's own process as a Godwit machine.</summary>
    public const string RunMachine = "run-machine";

    public const string Qemu = "qemu-system-x86_64";

    private const string Memory = "256";

    /// <summary>A process that runs the agent on its standard input and output.</summary>
    /// <param name="kind">Which machine.</param>
    /// <param name="workshop">Where its files are.</param>
    /// <param name="initrd">Its initramfs.</param>
    /// <param name="words">For the guest's init, e.g. godwit.poweroff.</param>
    public static ProcessStartInfo Create(MachineKind kind, Workshop workshop, string initrd, string words)
    {
        ProcessStartInfo start = kind switch
        {
            MachineKind.Native => new ProcessStartInfo(workshop.Agent, [workshop.Busybox, workshop.WorkFolder]),
            MachineKind.Qemu => new ProcessStartInfo(Qemu, QemuArguments(workshop, initrd, words)),
            _ => new ProcessStartInfo(Environment.ProcessPath!, [.. Self(), RunMachine, .. GodwitArguments(kind, workshop, initrd, words)]),
        };
        start.RedirectStandardInput = start.RedirectStandardOutput = start.RedirectStandardError = true;
        return start;
    }

    private static string[] GodwitArguments(MachineKind kind, Workshop workshop, string initrd, string words) =>
    [
        "--kernel", workshop.Kernel, "--initrd", initrd, "--append", $"{LinuxGuest.CommandLine} {words}", "--memory", $"{Memory}M",
        // The most that the guest can have, as QEMU's `max` is.
        "--cpu", CpuLevels.Name(CpuLevels.Highest), "--backend", kind == MachineKind.Translator ? "translator" : "interpreter",
    ];

    private static string[] QemuArguments(Workshop workshop, string initrd, string words) =>
    [
        "-M", "microvm,acpi=on,pit=on,pic=on,rtc=on", "-accel", "tcg", "-cpu", "max,la57=off", "-m", Memory, "-nodefaults", "-display", "none", "-serial", "stdio",
        "-no-reboot", "-kernel", workshop.Kernel, "-initrd", initrd, "-append", $"{LinuxGuest.CommandLine} {words}",
    ];

    // `dotnet X.dll` is not X: the runtime's host needs the assembly named.
    private static string[] Self() =>
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? [typeof(MachineCommands).Assembly.Location] : [];
}
