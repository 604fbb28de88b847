using System.Text.Json;
using Godwit.Drills.Tests.Processes;
using Godwit.Engine.Tests.Boot;
using Xunit;

namespace Godwit.Drills.Tests.Runs;

/// <summary>`godwit run`: what it boots, how it ends, what it says of what it cannot run.</summary>
public sealed class RunCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 3)]
    [InlineData(21, 43)]
    [InlineData(127, 255)]
    public async Task BareProgramWritesToTheSerialPortAndEndsWithItsCode(int value, int code)
    {
        string program = _folder.Write("program.elf", BareProgram.WriteAndExit("hello from bare metal\r\n", value));

        Assert.Equal(new Finished(code, "hello from bare metal\r\n", ""), await GodwitProcess.RunAsync("run", "--kernel", program, "--memory", "16M"));
    }

    [Fact]
    public async Task RunsByInstructionCountEndInTheSameDigest()
    {
        string program = _folder.Write("program.elf", BareProgram.WriteAndExit("x", 0));
        string other = _folder.Write("other.elf", BareProgram.WriteAndExit("y", 0));

        Finished first = await RunAsync(program);
        Finished second = await RunAsync(program);

        Assert.StartsWith("digest ", first.Errors, StringComparison.Ordinal);
        Assert.Equal(first, second);
        Assert.NotEqual(first.Errors, (await RunAsync(other)).Errors);

        static Task<Finished> RunAsync(string kernel) => GodwitProcess.RunAsync("run", "--kernel", kernel, "--memory", "4M", "--clock", "icount", "--digest");
    }

    [Fact]
    public async Task TripleFaultIsOneLineThatSaysWhere()
    {
        string program = _folder.Write("crash.elf", BareProgram.TripleFault());

        Finished run = await GodwitProcess.RunAsync("run", "--kernel", program, "--memory", "16M");

        AssertOneLine(1, "triple fault", run);
    }

    [Fact]
    public async Task JsonTellsHowTheMachineEnded()
    {
        string program = _folder.Write("program.elf", BareProgram.WriteAndExit("", 2));

        Finished run = await GodwitProcess.RunAsync("run", "--kernel", program, "--memory", "16M", "--json");

        Assert.Equal(5, run.ExitCode);
        JsonElement status = JsonDocument.Parse(run.Errors).RootElement;
        Assert.Equal("ended", status.GetProperty("phase").GetString());
        Assert.Equal(5, status.GetProperty("exitCode").GetInt32());
        Assert.True(status.GetProperty("retiredInstructions").GetInt64() > 0);
    }

    [Fact]
    public async Task BuiltinGuestChecksItselfAndEndsWell()
    {
        Finished run = await GodwitProcess.RunAsync("run", "--memory", "8M", "--clock", "icount", "--append", "working-set=1M rate=200 ticks=3");

        Assert.Equal((1, ""), (run.ExitCode, run.Errors));
        Assert.Contains("godwit-guest tick=3 ", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task BuiltinGuestThatFindsAWrongWordEndsWithAnotherCode()
    {
        Finished run = await GodwitProcess.RunAsync("run", "--memory", "8M", "--clock", "icount", "--append", "working-set=1M rate=200 ticks=12 corrupt=1");

        Assert.Equal(3, run.ExitCode);
        Assert.Contains("mismatch", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task FilesThatAreNoKernelAreOneLine()
    {
        string text = _folder.Write("notes.txt", [.. Enumerable.Repeat((byte)'a', 20000)]);
        string empty = _folder.Write("empty", []);
        string truncated = _folder.Write("vmlinuz", SyntheticKernel.BzImage()[..(SyntheticKernel.PayloadStart - 512)]);
        string shortPayload = _folder.Write("vmlinuz-short", SyntheticKernel.BzImage()[..(SyntheticKernel.PayloadStart + 512)]);

        AssertOneLine(1, "does not exist", await RunAsync(_folder["absent"]));
        AssertOneLine(1, "is a directory", await RunAsync(_folder.Path));
        AssertOneLine(1, "not a bzImage", await RunAsync(text));
        AssertOneLine(1, "empty", await RunAsync(empty));
        AssertOneLine(1, "cut short", await RunAsync(truncated));
        AssertOneLine(1, "cut short", await RunAsync(shortPayload));

        static Task<Finished> RunAsync(string kernel) => GodwitProcess.RunAsync("run", "--kernel", kernel);
    }

    [Theory]
    [InlineData(1, "at least", "--memory", "0")]
    [InlineData(1, "more than", "--memory", "100T")]
    [InlineData(2, "--memory lots", "--memory", "lots")]
    [InlineData(2, "--memory", "--memory", "-1")]
    [InlineData(1, "vCPUs", "--cpus", "17")]
    [InlineData(1, "one vCPU's", "--cpus", "2", "--clock", "icount")]
    [InlineData(1, "vCPUs", "--cpus", "0")]
    [InlineData(2, "--cpus", "--cpus", "many")]
    [InlineData(2, "--backend kvm", "--backend", "kvm")]
    [InlineData(2, "--cpu x86-64-v4: write one of x86-64-v1, x86-64-v2, x86-64-v3", "--cpu", "x86-64-v4")]
    [InlineData(2, "--clock sun", "--clock", "sun")]
    [InlineData(2, "--initrd without --kernel", "--initrd", "x")]
    [InlineData(2, "\"--frobnicate\" is not understood", "--frobnicate")]
    [InlineData(1, "working-set", "--append", "working-set=lots")]
    [InlineData(1, "colour", "--append", "colour=red")]
    public async Task WrongArgumentsAreOneLine(int code, string says, params string[] arguments) =>
        AssertOneLine(code, says, await GodwitProcess.RunAsync(["run", .. arguments]));

    internal static void AssertOneLine(int code, string says, Finished run)
    {
        Assert.Equal((code, ""), (run.ExitCode, run.Output));
        Assert.StartsWith("godwit: ", run.Errors, StringComparison.Ordinal);
        Assert.Contains(says, run.Errors, StringComparison.Ordinal);
        Assert.Single(run.Errors.TrimEnd('\n').Split('\n'));
    }
}
