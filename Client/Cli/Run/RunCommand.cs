using System.CommandLine;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Run;

/// <summary>`godwit run`: one VM in the foreground.</summary>
public static class RunCommand
{
    public static Command Create()
    {
        Option<string?> kernel = new("--kernel") { Description = "A Linux bzImage or a multiboot 1 ELF; without it the built-in guest runs" };
        Option<string?> initrd = new("--initrd") { Description = "An initial RAM file system (or a multiboot module)" };
        Option<string> append = new("--append") { Description = "The kernel's command line, or the built-in guest's parameters", DefaultValueFactory = _ => "" };
        Option<string> memory = new("--memory") { Description = "RAM, e.g. 256M or 1G", DefaultValueFactory = _ => "256M" };
        Option<int> cpus = new("--cpus") { Description = "vCPUs, 1 to 16; each runs on a thread of its own (one with --clock icount)", DefaultValueFactory = _ => 1 };
        Option<string> cpu = CpuOption.Create();
        Option<string> backend = new("--backend") { Description = "What executes guest code: translator (host code for what runs often; the default on x86-64 Linux), or interpreter", DefaultValueFactory = _ => Backends.Default.ToString().ToLowerInvariant() };
        Option<string> clock = new("--clock") { Description = "host: the host's time; icount: time is retired instructions, runs repeat exactly", DefaultValueFactory = _ => "host" };
        Option<bool> digest = new("--digest") { Description = "Print a digest of the machine's final state (CPU, devices, RAM) on standard error" };
        Option<bool> json = new("--json") { Description = "Print how the machine ended as one JSON line on standard error" };
        Command command = new("run", """
            Run one VM in the foreground, its serial console on this terminal.

            Keys: Ctrl-A x ends the VM, Ctrl-A Ctrl-A sends Ctrl-A. Exit code: 0 when the guest powers off, value*2+1 when
            it writes a value to the debug-exit port 0xf4, 1 when it cannot be run or crashes.

            Examples:
              godwit guest fetch
              godwit run --kernel vmlinuz --initrd initramfs.gz --append "console=ttyS0"
              godwit run --kernel test.elf --clock icount
            """)
        {
            kernel, initrd, append, memory, cpus, cpu, backend, clock, digest, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            (MachineSpec spec, BootImages images) = await SpecAsync(
                parsed.GetValue(kernel), parsed.GetValue(initrd), parsed.GetValue(append)!, parsed.GetValue(memory)!,
                parsed.GetValue(cpus), CpuOption.Parse(parsed.GetValue(cpu)!), parsed.GetValue(clock)!, cancellation).ConfigureAwait(false);
            return await ForegroundMachine.RunAsync(spec, images, Backend(parsed.GetValue(backend)!), parsed.GetValue(digest), parsed.GetValue(json), cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<(MachineSpec Spec, BootImages Images)> SpecAsync(
        string? kernel, string? initrd, string append, string memory, int cpus, CpuLevel cpu, string clock, CancellationToken cancellation)
    {
        if (!MemorySize.TryParse(memory, out long bytes))
            throw new UsageException($"--memory {memory}: write a size such as 256M or 1G");
        ClockMode mode = clock switch
        {
            "host" => ClockMode.Host,
            "icount" => ClockMode.InstructionCount,
            _ => throw new UsageException($"--clock {clock}: write host or icount"),
        };
        if (kernel is null && initrd is not null)
            throw new UsageException("--initrd without --kernel: the built-in guest takes no images");
        BootImages images = kernel is null
            ? BootImages.None
            : new BootImages(
                await BootFile.ReadAsync(kernel, "kernel", cancellation).ConfigureAwait(false),
                initrd is null ? default : await BootFile.ReadAsync(initrd, "initrd", cancellation).ConfigureAwait(false));
        return (MachineSpecs.Create((ulong)bytes, cpus, mode, kernel, images.Kernel, initrd, append, cpu), images);
    }

    private static BackendKind Backend(string name) => name switch
    {
        "interpreter" => BackendKind.Interpreter,
        "translator" => BackendKind.Translator,
        _ => throw new UsageException($"--backend {name}: write interpreter or translator"),
    };
}
