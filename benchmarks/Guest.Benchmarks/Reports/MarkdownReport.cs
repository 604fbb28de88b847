using System.Globalization;
using System.Text;

namespace Godwit.Guest.Benchmarks.Reports;

/// <summary>For docs/performance.md.</summary>
internal static class MarkdownReport
{
    public static string Write(Results results)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"Measured {results.At:yyyy-MM-dd HH:mm} UTC by `dotnet run -c Release --project benchmarks/Guest.Benchmarks -- --markdown`; load average of the host at the end {LoadAverage()}.\n\n");
        foreach (Table table in Tables.Of(results))
            text.Append(table.ToMarkdown());
        foreach (string note in results.Notes)
            text.Append("- ").Append(note).Append('\n');
        return text.ToString();
    }

    private static string LoadAverage() => File.ReadAllText("/proc/loadavg").Split(' ')[0];
}
