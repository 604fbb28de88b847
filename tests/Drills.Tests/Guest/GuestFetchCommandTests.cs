using System.CommandLine;
using System.Text.Json;
using Godwit.Cli.Guest;
using Xunit;

namespace Godwit.Drills.Tests.Guest;

public sealed class GuestFetchCommandTests
{
    [AptFact]
    public async Task JsonNamesTheFiles()
    {
        using DebianArchive archive = DebianArchive.Usual();
        await LinuxGuest.EnsureAsync(archive.Options(), null, default);

        (int exit, string output, string error) = await RunAsync("--dir", archive.Cache, "--json");

        Assert.Equal((0, ""), (exit, error));
        JsonElement json = JsonDocument.Parse(output).RootElement;
        Assert.True(File.Exists(json.GetProperty("kernelPath").GetString()));
        Assert.True(File.Exists(json.GetProperty("initrdPath").GetString()));
        Assert.Equal("6.1.200-1", json.GetProperty("version").GetString());
    }

    [Fact]
    public async Task FailureIsOneLineOnStandardErrorAndExitCodeOne()
    {
        string file = Path.GetTempFileName();
        try
        {
            (int exit, string output, string error) = await RunAsync("--dir", file);

            Assert.Equal((1, ""), (exit, output));
            Assert.StartsWith("godwit: cannot fetch the Linux guest: ", error, StringComparison.Ordinal);
            Assert.Single(error.TrimEnd('\n').Split('\n'));
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static async Task<(int Exit, string Output, string Error)> RunAsync(params string[] arguments)
    {
        await using StringWriter output = new();
        await using StringWriter error = new();
        int exit = await GuestFetchCommand.Create().Parse(arguments).InvokeAsync(new InvocationConfiguration { Output = output, Error = error });
        return (exit, output.ToString(), error.ToString());
    }
}
