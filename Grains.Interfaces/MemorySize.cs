using System.Globalization;

namespace Godwit.Grains.Interfaces;

/// <summary>Sizes of memory as people write them: 512K, 256M, 4G, or bytes; powers of 1024.</summary>
public static class MemorySize
{
    private const string Units = "KMGT";

    /// <summary>False for what is not a size, or one beyond 63 bits.</summary>
    public static bool TryParse(string text, out long bytes)
    {
        bytes = 0;
        var unit = text.Length > 0 ? Units.IndexOf(char.ToUpperInvariant(text[^1])) : -1;
        var digits = unit < 0 ? text : text[..^1];
        if (!long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            return false;
        }

        var shift = 10 * (unit + 1);
        bytes = count << shift;
        return bytes >> shift == count && bytes >= 0;
    }

    /// <summary>The shortest exact form down to KiB, else one decimal.</summary>
    public static string Format(long bytes)
    {
        string[] names = ["bytes", "KiB", "MiB", "GiB", "TiB"];
        var unit = 0;
        double value = bytes;
        while (Math.Abs(value) >= 1024 && unit < names.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return value.ToString(value == Math.Truncate(value) ? "0" : "0.0", CultureInfo.InvariantCulture) + " " + names[unit];
    }
}
