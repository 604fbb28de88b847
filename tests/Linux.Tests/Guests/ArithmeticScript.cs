using System.Diagnostics;
using Godwit.Cli.Guest;

namespace Godwit.Linux.Tests.Guests;

/// <summary>Calculations of user space, as a script for busybox, which lies in the home folder of the guest's shell.</summary>
internal static class ArithmeticScript
{
    /// <summary>Runs it in the guest.</summary>
    public const string Command = "sh arithmetic.sh /bin/busybox 2>&1";

    public static string Text { get; } = Read();

    /// <summary>What it prints on the host.</summary>
    public static async Task<string> RunOnHostAsync()
    {
        LinuxGuest images = await BootedLinux.ImagesAsync();
        string busybox = Path.Combine(Path.GetDirectoryName(images.KernelPath)!, images.Busybox.File);
        string folder = Directory.CreateTempSubdirectory("godwit-busybox-").FullName;
        try
        {
            string program = Path.Combine(folder, "busybox");
            File.Copy(busybox, program);
            File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            await File.WriteAllTextAsync(Path.Combine(folder, "arithmetic.sh"), Text);
            // The script finds the applets where the guest has them, in the only folder of its path.
            await RunAsync(program, folder, ["--install", "-s", folder]);
            return await RunAsync(program, folder, ["sh", "-c", "exec sh arithmetic.sh ./busybox 2>&1"]);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<string> RunAsync(string program, string folder, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { WorkingDirectory = folder, RedirectStandardOutput = true };
        start.Environment["PATH"] = folder;
        using Process process = Process.Start(start)!;
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return output;
    }

    private static string Read()
    {
        using StreamReader reader = new(typeof(ArithmeticScript).Assembly.GetManifestResourceStream("arithmetic.sh")!);
        return reader.ReadToEnd();
    }
}
