using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Fuzz;

/// <summary>GODWIT_FUZZ_SECONDS and GODWIT_FUZZ_SEED choose how long and from which seed on; docs/translator.md has the command for longer runs.</summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    [Fact]
    public void RandomProgramsWithFaultsPagingAndPatchedCodeEndAlikeOnAllBackEnds()
    {
        int seed = int.Parse(Environment.GetEnvironmentVariable("GODWIT_FUZZ_SEED") ?? Environment.TickCount.ToString());
        int seconds = int.Parse(Environment.GetEnvironmentVariable("GODWIT_FUZZ_SECONDS") ?? "10");
        output.WriteLine($"seeds from {seed}");
        using FuzzRun run = new();
        long end = Environment.TickCount64 + seconds * 1000L;
        do
        {
            string? failure = run.Check(seed++);
            Assert.True(failure is null, failure);
        }
        while (Environment.TickCount64 < end);
        output.WriteLine($"{run.Done.Programs} programs, {run.Done.Instructions} instructions, {run.Templates}");
    }
}
