using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Spectre.Console;

namespace Godwit.Cli.Terminal;

/// <summary>A migration on the terminal: a live line while it runs, its rounds as a table at the end.</summary>
internal static class MigrationView
{
    public static async Task WatchAsync(MigrationHandle handle, Output output, CancellationToken cancellation)
    {
        if (output.Live)
        {
            await AnsiConsole.Status().StartAsync("connecting", async status =>
            {
                await foreach (var step in handle.WatchAsync(0, cancellation))
                {
                    status.Status(Markup.Escape(Describe(step)));
                }
            });
        }
        else
        {
            await PrintStepsAsync(handle, output, cancellation);
        }

        var result = await handle.ResultAsync(cancellation);
        output.Result(new { done = true, result }, () => Print(handle.Ticket, result));
    }

    private static async Task PrintStepsAsync(MigrationHandle handle, Output output, CancellationToken cancellation)
    {
        (string Stage, int Round) last = ("", -1);
        await foreach (var step in handle.WatchAsync(0, cancellation))
        {
            if (output.Json)
            {
                Output.Object(step);
            }
            else if ((step.Stage, step.Round) != last)
            {
                Output.Line(Describe(step));
                last = (step.Stage, step.Round);
            }
        }
    }

    private static string Describe(MigrationStep step) =>
        $"{step.Stage.ToLowerInvariant()}: round {step.Round}, {MemorySize.Format(step.BytesSent)} sent, {step.PagesLeft} pages left, {step.DirtyPagesPerSecond:0} dirtied/s, pause predicted {step.PredictedBlackout.TotalMilliseconds:0.0} ms";

    private static void Print(MigrationTicket ticket, MigrationResult result)
    {
        Output.Table(
            ["round", "pages", "of them zero", "bytes", "time ms", "dirtied meanwhile"],
            result.Rounds.Select(r => new[]
            {
                r.Final ? $"{r.Round} (stopped)" : r.Round.ToString(),
                r.Pages.ToString("N0"),
                r.ZeroPages.ToString("N0"),
                MemorySize.Format(r.Bytes),
                r.Duration.TotalMilliseconds.ToString("0.0"),
                r.DirtiedMeanwhile.ToString("N0"),
            }));
        Output.Line($"VM {ticket.Vm} moved from {ticket.SourceName} to {ticket.TargetName} in {result.Total.TotalMilliseconds:0} ms; it stood still for {result.Blackout.TotalMilliseconds:0.0} ms{(result.Verification > TimeSpan.Zero ? $", and {result.Verification.TotalMilliseconds:0.0} ms more for full verification" : "")}.");
        if (result.GuestWasReady || result.FreePagesSkipped > 0)
        {
            Output.Line($"The guest helped: {(result.GuestWasReady ? "it was ready in time" : "it was not ready in time")}, {result.FreePagesSkipped:N0} free pages were not sent.");
        }
    }
}
