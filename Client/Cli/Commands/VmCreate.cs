using System.CommandLine;
using Godwit.Cli.Run;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm create</c>: uploads the images and writes the definition; nothing runs yet.</summary>
internal static class VmCreate
{
    private static readonly Option<string> _memory = new("--memory", "-m") { Description = "RAM, e.g. 256M or 1G", HelpName = "SIZE", DefaultValueFactory = _ => "256M" };
    private static readonly Option<FileInfo?> _kernel = new("--kernel") { Description = "Linux bzImage or multiboot 1 ELF (default: the built-in guest)", HelpName = "FILE" };
    private static readonly Option<FileInfo?> _initrd = new("--initrd") { Description = "Initramfs", HelpName = "FILE" };
    private static readonly Option<string> _append = new("--append") { Description = "The kernel's command line, or the built-in guest's parameters", HelpName = "TEXT", DefaultValueFactory = _ => "" };
    private static readonly Option<int> _cpus = new("--cpus") { Description = "vCPUs, 1 to 16 (one with --clock icount)", DefaultValueFactory = _ => 1 };
    private static readonly Option<string> _cpu = CpuOption.Create();
    private static readonly Option<string> _clock = new("--clock") { Description = "Guest time: the host's clock, or retired instructions", DefaultValueFactory = _ => "host" };

    private static readonly Option<string[]> _require = new("--require") { Description = "A label that its silo must have; may be given again", HelpName = "KEY=VALUE" };
    private static readonly Option<string[]> _apart = new("--anti-affinity") { Description = "A group of which a silo holds one VM at most; may be given again", HelpName = "GROUP" };
    private static readonly Option<string?> _on = new("--on") { Description = "The only silo on which it may run", HelpName = "SILO" };

    private static readonly RestartOptions _restart = new();

    public static Command Create()
    {
        _clock.AcceptOnlyFromAmong("host", "icount");
        var command = new Command("create", """
            Creates a VM; start it with "vm start".

            Examples:
              godwit vm create web --memory 256M --kernel bzImage --initrd initrd.img --append "console=ttyS0"
              godwit vm create probe                 (the built-in guest, 256 MiB)
              godwit vm create db-1 --require disk=ssd --anti-affinity db
              godwit vm create web --restart checkpoint --checkpoint-every 5
            """)
        { ClusterOptions.VmName, _memory, _kernel, _initrd, _append, _cpus, _cpu, _clock, _require, _apart, _on };
        _restart.AddTo(command);
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
        if (!MemorySize.TryParse(parsed.GetValue(_memory)!, out var memory))
        {
            throw new UsageException($"\"{parsed.GetValue(_memory)}\" is not an amount of memory: write 256M or 1G, say.");
        }

        var level = CpuOption.Parse(parsed.GetValue(_cpu)!);
        var kernel = parsed.GetValue(_kernel) is { } k ? await BootFile.ReadAsync(k.ToString(), "kernel", cancellation) : null;
        var initrd = parsed.GetValue(_initrd) is { } i ? await BootFile.ReadAsync(i.ToString(), "initrd", cancellation) : null;
        var definition = new VmDefinition
        {
            MemoryBytes = memory,
            VcpuCount = parsed.GetValue(_cpus),
            CpuLevel = (int)level,
            Clock = parsed.GetValue(_clock) == "icount" ? VmClock.InstructionCount : VmClock.Host,
            Boot = kernel is null ? VmBoot.Builtin : BootImage.Detect(parsed.GetValue(_kernel)!.ToString(), kernel),
            CommandLine = parsed.GetValue(_append)!,
            Constraints = Constraints(parsed),
            Restart = _restart.Read(parsed),
        };
        definition = definition with
        {
            Kernel = kernel is null ? null : await Progress.UploadAsync(output, "kernel", kernel, client, cancellation),
            Initrd = initrd is null ? null : await Progress.UploadAsync(output, "initramfs", initrd, client, cancellation),
        };
        await vm.CreateAsync(definition, cancellation);
        output.Result(new { vm = vm.Name, definition }, $"VM {vm.Name} created with {MemorySize.Format(memory)}; start it with \"godwit vm start {vm.Name}\".");
    }

    private static PlacementConstraints? Constraints(ParseResult parsed)
    {
        if (!PlacementLabel.TryParse(parsed.GetValue(_require) ?? [], out var labels, out var problem))
        {
            throw new UsageException($"--require: {problem}");
        }

        var apart = parsed.GetValue(_apart) ?? [];
        var on = parsed.GetValue(_on);
        return labels.Count == 0 && apart.Length == 0 && on is null ? null : new PlacementConstraints { Labels = labels, AntiAffinity = apart, Silo = on };
    }
}
