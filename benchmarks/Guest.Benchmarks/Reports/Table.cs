using System.Text;

namespace Godwit.Guest.Benchmarks.Reports;

/// <summary>A titled table of words.</summary>
internal sealed record Table(string Title, IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string>> Rows)
{
    /// <summary>Columns padded to their widths; the first to the left, the others to the right.</summary>
    public string ToText()
    {
        int[] widths = [.. Columns.Select((column, i) => Rows.Select(row => row[i].Length).Append(column.Length).Max())];
        StringBuilder text = new();
        text.Append(Title).Append('\n');
        foreach (IReadOnlyList<string> row in (IReadOnlyList<string>[])[Columns, .. Rows])
            text.AppendJoin("  ", row.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))).Append('\n');
        return text.Append('\n').ToString();
    }

    public string ToMarkdown()
    {
        StringBuilder text = new();
        text.Append(Title).Append("\n\n| ").AppendJoin(" | ", Columns).Append(" |\n|").Append('-', 3).Append('|');
        text.Insert(text.Length, "---:|", Columns.Count - 1).Append('\n');
        foreach (IReadOnlyList<string> row in Rows)
            text.Append("| ").AppendJoin(" | ", row).Append(" |\n");
        return text.Append('\n').ToString();
    }
}
