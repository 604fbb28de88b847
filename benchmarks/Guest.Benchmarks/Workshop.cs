using System.ComponentModel;
using System.Diagnostics;
using Godwit.Cli.Guest;

namespace Godwit.Guest.Benchmarks;

/// <summary>
/// A folder with what the machines run: the benchmark program, compiled here, busybox, Debian's kernel, and an initramfs
/// of them. Everything made is removed on disposal; the fetched kernel stays in the guest cache.
/// </summary>
internal sealed class Workshop : IDisposable
{
    // No C library and no run-time choice of routines: host and guests execute the same instructions.
    private static readonly string[] s_compilerOptions =
    [
        "-O2", "-static", "-fno-plt", "-ffreestanding", "-nostdlib", "-fno-stack-protector", "-fno-pie", "-no-pie",
        "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns",
    ];

    private readonly string _folder;

    private Workshop(string folder, LinuxGuest guest)
    {
        _folder = folder;
        Kernel = guest.KernelPath;
        KernelVersion = guest.Version;
    }

    /// <summary>Debian's kernel.</summary>
    public string Kernel { get; }

    public string KernelVersion { get; }

    /// <summary>An initramfs whose /bin/workload is the benchmark program.</summary>
    public string Initrd => Path.Combine(_folder, "initramfs.img");

    /// <summary>The same with the host's own dynamically linked programs.</summary>
    public string InitrdWithPrograms => Path.Combine(_folder, "initramfs-programs.img");

    /// <summary>The benchmark program (Programs/agent.c).</summary>
    public string Agent => Path.Combine(_folder, "agent");

    public string Busybox => Path.Combine(_folder, "busybox");

    /// <summary>A folder for the program's files when it runs on the host; in memory, as the guest's are.</summary>
    public string WorkFolder => Path.Combine(_folder, "work");

    public static async Task<Workshop> CreateAsync(CancellationToken cancellation)
    {
        LinuxGuest guest = await LinuxGuest.EnsureAsync(new LinuxGuestOptions(), progress: null, cancellation).ConfigureAwait(false);
        // The guest's file system is in memory; the host's should be, where it can.
        string parent = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
        string folder = Path.Combine(parent, $"godwit-benchmark-{Guid.NewGuid():N}");
        Directory.CreateDirectory(folder);
        Workshop workshop = new(folder, guest);
        try
        {
            await workshop.FillAsync(Path.Combine(Path.GetDirectoryName(guest.KernelPath)!, guest.Busybox.File), cancellation).ConfigureAwait(false);
            return workshop;
        }
        catch
        {
            workshop.Dispose();
            throw;
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private async Task FillAsync(string busybox, CancellationToken cancellation)
    {
        Directory.CreateDirectory(WorkFolder);
        await CompileAsync(cancellation).ConfigureAwait(false);
        File.Copy(busybox, Busybox);
        const UnixFileMode Executable = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        File.SetUnixFileMode(Busybox, Executable);
        byte[] shell = await File.ReadAllBytesAsync(Busybox, cancellation).ConfigureAwait(false);
        InitramfsFile agent = new("bin/workload", await File.ReadAllBytesAsync(Agent, cancellation).ConfigureAwait(false), Executable: true);
        await File.WriteAllBytesAsync(Initrd, InitramfsBuilder.Build(shell, [agent]), cancellation).ConfigureAwait(false);
        IReadOnlyList<InitramfsFile> programs = await HostPrograms.FilesAsync(cancellation).ConfigureAwait(false);
        await File.WriteAllBytesAsync(InitrdWithPrograms, InitramfsBuilder.Build(shell, [agent, .. programs]), cancellation).ConfigureAwait(false);
    }

    private async Task CompileAsync(CancellationToken cancellation)
    {
        string sources = Path.Combine(_folder, "programs");
        Directory.CreateDirectory(sources);
        List<string> units = [];
        foreach (string name in typeof(Workshop).Assembly.GetManifestResourceNames())
        {
            string path = Path.Combine(sources, name);
            using (Stream source = typeof(Workshop).Assembly.GetManifestResourceStream(name)!)
            using (FileStream file = File.Create(path))
                await source.CopyToAsync(file, cancellation).ConfigureAwait(false);
            if (name.EndsWith(".c", StringComparison.Ordinal))
                units.Add(path);
        }
        ProcessStartInfo start = new("gcc", [.. s_compilerOptions, "-o", Agent, .. units.Order(StringComparer.Ordinal)]) { RedirectStandardError = true };
        try
        {
            using Process compiler = Process.Start(start)!;
            string errors = await compiler.StandardError.ReadToEndAsync(cancellation).ConfigureAwait(false);
            await compiler.WaitForExitAsync(cancellation).ConfigureAwait(false);
            if (compiler.ExitCode != 0)
                throw new BenchmarkException($"gcc could not compile the benchmark program: {errors.Split('\n')[0]}");
        }
        catch (Win32Exception)
        {
            throw new BenchmarkException("gcc is not installed, and the benchmark program is compiled with it: install Debian's packages gcc and libc6-dev");
        }
    }
}
