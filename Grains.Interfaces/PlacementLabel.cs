namespace Godwit.Grains.Interfaces;

/// <summary>Labels of silos and names of anti-affinity groups: 1 to 63 letters, digits, '-', '_', '.' and '/'; a label is KEY=VALUE.</summary>
public static class PlacementLabel
{
    private const int MaxLength = 63;

    public static bool IsWord(string? text) =>
        text is { Length: > 0 and <= MaxLength } && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/');

    /// <summary>Reads KEY=VALUE items. False where one is not such an item, or a key comes twice; <paramref name="problem"/> is one line then.</summary>
    public static bool TryParse(IEnumerable<string> items, out IReadOnlyDictionary<string, string> labels, out string problem)
    {
        var read = new SortedDictionary<string, string>(StringComparer.Ordinal);
        labels = read;
        problem = "";
        foreach (var item in items)
        {
            var at = item.IndexOf('=', StringComparison.Ordinal);
            if (at < 0 || !IsWord(item[..at]) || !IsWord(item[(at + 1)..]))
            {
                problem = $"\"{item}\" is not a label: write KEY=VALUE, each of 1 to {MaxLength} letters, digits, '-', '_', '.' and '/'.";
                return false;
            }

            if (!read.TryAdd(item[..at], item[(at + 1)..]))
            {
                problem = $"Label {item[..at]} is given twice.";
                return false;
            }
        }

        return true;
    }
}
