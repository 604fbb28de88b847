using System.Diagnostics;
using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>User space's arithmetic, against the host's processor: the same static program runs on both.</summary>
public sealed class ArithmeticTests
{
    [LinuxFact]
    public async Task BusyboxCalculatesInTheGuestAsOnTheHost()
    {
        LinuxGuest images = await BootedLinux.ImagesAsync();
        Task<string> expected = RunOnHostAsync(Path.Combine(Path.GetDirectoryName(images.KernelPath)!, images.Busybox.File));
        await using GuestSession guest = await (await BootedLinux.RestoreAsync(ClockMode.InstructionCount)).StartAsync();

        string actual = await guest.RunAsync("sh arithmetic.sh /bin/busybox 2>&1");

        Assert.Equal(await expected, actual);
        Assert.True(actual.Split('\n').Length > 130, actual);
    }

    private static async Task<string> RunOnHostAsync(string busybox)
    {
        string folder = Directory.CreateTempSubdirectory("godwit-busybox-").FullName;
        try
        {
            string program = Path.Combine(folder, "busybox");
            File.Copy(busybox, program);
            File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            await File.WriteAllTextAsync(Path.Combine(folder, "arithmetic.sh"), BootedLinux.ArithmeticScript);
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
}
