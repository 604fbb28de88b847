using System.Text;

namespace Godwit.Guest.Benchmarks.Reports;

/// <summary>For a terminal.</summary>
internal static class TextReport
{
    public static string Write(Results results)
    {
        StringBuilder text = new();
        foreach (Table table in Tables.Of(results))
            text.Append(table.ToText());
        foreach (string note in results.Notes)
            text.Append("note: ").Append(note).Append('\n');
        return text.ToString();
    }
}
