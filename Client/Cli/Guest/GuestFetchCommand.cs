using System.CommandLine;
using System.Text.Json;

namespace Godwit.Cli.Guest;

/// <summary>`godwit guest fetch`.</summary>
public static class GuestFetchCommand
{
    private const string Description =
        """
        Get Debian's stock cloud kernel and make an initramfs from its busybox, without root and without installing

        Examples:
          godwit guest fetch
          godwit guest fetch --dir guests --json
        """;

    /// <summary>The `fetch` command, to be put under `guest`.</summary>
    public static Command Create()
    {
        Option<string?> directory = new("--dir") { Description = "Where to keep guests (default: $XDG_CACHE_HOME/godwit/guests)", HelpName = "DIR" };
        Option<bool> json = new("--json") { Description = "Print the result as JSON" };
        Command command = new("fetch", Description)
        {
            directory,
            json,
        };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(directory), parsed.GetValue(json), parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(string? directory, bool json, TextWriter output, TextWriter error, CancellationToken cancellation)
    {
        try
        {
            LinuxGuestOptions options = new() { Directory = directory };
            LinuxGuest guest = await GuestFetchDisplay.RunAsync(progress => LinuxGuest.EnsureAsync(options, progress, cancellation)).ConfigureAwait(false);
            if (json)
                await output.WriteLineAsync(JsonSerializer.Serialize(guest, GuestJson.Default.LinuxGuest)).ConfigureAwait(false);
            else
                await output.WriteLineAsync(Describe(guest)).ConfigureAwait(false);
            return 0;
        }
        catch (GuestFetchException e)
        {
            await error.WriteLineAsync($"godwit: {e.Message}").ConfigureAwait(false);
            return 1;
        }
    }

    private static string Describe(LinuxGuest guest) =>
        $"""
        kernel     {guest.KernelPath}  ({guest.Kernel.Package} {guest.Kernel.PackageVersion})
        initramfs  {guest.InitrdPath}  ({guest.Busybox.Package} {guest.Busybox.PackageVersion})
        """;
}
