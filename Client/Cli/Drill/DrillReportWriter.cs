using System.Text.Json;
using Godwit.Cli.Run;

namespace Godwit.Cli.Drill;

/// <summary>Writes a drill's report folder: report.json, timeline.svg, and the consoles.</summary>
internal static class DrillReportWriter
{
    private static readonly JsonSerializerOptions s_indented = new(CliJson.Options) { WriteIndented = true };

    public static async Task WriteAsync(string folder, DrillReport report, IReadOnlyList<GuestRun> runs, CancellationToken cancellation)
    {
        Directory.CreateDirectory(folder);
        await File.WriteAllTextAsync(Path.Combine(folder, "report.json"), JsonSerializer.Serialize(report, s_indented), cancellation).ConfigureAwait(false);
        await File.WriteAllTextAsync(Path.Combine(folder, "timeline.svg"), TimelineSvg.Draw(report.Migrations), cancellation).ConfigureAwait(false);
        FileStream log = new(Path.Combine(folder, "console.log"), FileMode.Create);
        await using (log.ConfigureAwait(false))
        {
            foreach (GuestRun run in runs)
            {
                await log.WriteAsync(System.Text.Encoding.UTF8.GetBytes($"=== {run.Guest} (VM {run.Vm}) ===\n"), cancellation).ConfigureAwait(false);
                await log.WriteAsync(run.Console, cancellation).ConfigureAwait(false);
                await log.WriteAsync("\n"u8.ToArray(), cancellation).ConfigureAwait(false);
            }
        }
    }
}
