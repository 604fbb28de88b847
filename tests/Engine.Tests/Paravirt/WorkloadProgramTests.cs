using System.Diagnostics;
using System.Globalization;
using System.Runtime.Versioning;
using System.Text.RegularExpressions;
using Godwit.Engine.Paravirt.Workload;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

/// <summary>The workload is an ordinary static Linux program: it runs here as a child process.</summary>
[SupportedOSPlatform("linux")]
public sealed partial class WorkloadProgramTests : IDisposable
{
    private readonly string _path = Path.Combine(Path.GetTempPath(), $"godwit-workload-{Guid.NewGuid():n}");

    public WorkloadProgramTests()
    {
        File.WriteAllBytes(_path, WorkloadProgram.Build());
        File.SetUnixFileMode(_path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
    }

    public void Dispose() => File.Delete(_path);

    [Fact]
    public void SameBytesEveryTime() => Assert.Equal(WorkloadProgram.Build(), WorkloadProgram.Build());

    [Fact]
    public async Task CountsVerifiesAndFindsNothingWrong()
    {
        (int code, string[] lines) = await RunAsync("4 2000 4000 4");
        Assert.Equal(0, code);
        Assert.Equal("godwit-workload start working_set=1024 rate=2000 verify=4000", lines[0]);
        Dictionary<string, ulong>[] ticks = [.. lines.Skip(1).Select(Fields)];
        Assert.Equal([1ul, 2ul, 3ul, 4ul], ticks.Select(tick => tick["tick"]));
        foreach ((Dictionary<string, ulong> before, Dictionary<string, ulong> after) in ticks.Zip(ticks.Skip(1)))
        {
            ulong passed = after["mono_ns"] - before["mono_ns"];
            Assert.True(after["mono_ns"] > before["mono_ns"]);
            Assert.True(after["pages"] > before["pages"] && after["verified"] > before["verified"]);
            // Credit is earned by the clock: up to a tenth of a second's worth may have been left over.
            Assert.InRange(after["pages"] - before["pages"], 1ul, passed * 2000 / 1_000_000_000 + 202);
            Assert.True(after["max_gap_ns"] >= after["gap_ns"]);
        }
        Assert.All(ticks, tick => Assert.Equal(0ul, tick["wrong"] + tick["clock_back"]));
    }

    [Fact]
    public async Task CorruptedWordIsFoundNamedAndEndsInFailure()
    {
        // Nothing is rewritten, so that the word stays wrong until it is looked at.
        (int code, string[] lines) = await RunAsync("1 0 1000 4 1");
        Assert.Equal(1, code);
        Match mismatch = Assert.Single(lines.Select(line => Mismatch().Match(line)), match => match.Success);
        Assert.Equal(
            ulong.Parse(mismatch.Groups["want"].Value, CultureInfo.InvariantCulture),
            ulong.Parse(mismatch.Groups["have"].Value, CultureInfo.InvariantCulture) ^ 1);
        Assert.True(Fields(lines[^1])["wrong"] > 0);
    }

    [Theory]
    [InlineData("")]
    [InlineData("16")]
    [InlineData("0 100")]
    [InlineData("16 x")]
    [InlineData("16 -1")]
    [InlineData("16 1000000001")]
    [InlineData("16 99999999999999999999")]
    [InlineData("1048577 100")]
    [InlineData("16 1 1 1 1 1")]
    public async Task BadArgumentsEndInTheUsage(string arguments)
    {
        (int code, string[] lines) = await RunAsync(arguments);
        Assert.Equal(2, code);
        Assert.StartsWith("godwit-workload MEGABYTES PAGES-PER-SECOND", Assert.Single(lines), StringComparison.Ordinal);
    }

    [Fact]
    public void NeedsNothingBeyondTheFirst64BitProcessors()
    {
        byte[] file = WorkloadProgram.Build();
        const int headers = 64 + 3 * 56;
        int texts = file.AsSpan().IndexOf("godwit-workload"u8); // they follow the code
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(file, headers, texts - headers), 0x400000 + headers);
        int instructions = 0;
        foreach (Instruction instruction in decoder)
        {
            instructions++;
            Assert.All(
                instruction.Code.CpuidFeatures(),
                feature => Assert.Contains(feature, new[] { CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL386, CpuidFeature.INTEL486, CpuidFeature.X64, CpuidFeature.SYSCALL }));
        }
        Assert.InRange(instructions, 300, 2000);
    }

    private static Dictionary<string, ulong> Fields(string line) =>
        Field().Matches(line).ToDictionary(
            field => field.Groups[1].Value,
            field => ulong.Parse(field.Groups[2].Value, CultureInfo.InvariantCulture));

    private async Task<(int Code, string[] Lines)> RunAsync(string arguments)
    {
        using Process process = Process.Start(new ProcessStartInfo(_path, arguments) { RedirectStandardOutput = true })!;
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [GeneratedRegex(@"(\w+)=(\d+)")]
    private static partial Regex Field();

    [GeneratedRegex(@"^godwit-workload mismatch page=\d+ word=77 have=(?<have>\d+) want=(?<want>\d+)$")]
    private static partial Regex Mismatch();
}
