using System.Text;

namespace Godwit.Architecture.Tests;

/// <summary>C# source with comments and literals blanked, so that a rule about code is not met by prose.</summary>
internal static class CodeText
{
    /// <summary>The same lines; every character of a comment or literal is a space.</summary>
    public static string Of(string source)
    {
        StringBuilder code = new(source.Length);
        int at = 0;
        while (at < source.Length)
        {
            int length = BlankLength(source, at);
            if (length == 0)
            {
                code.Append(source[at++]);
                continue;
            }

            foreach (char c in source.AsSpan(at, length))
                code.Append(c == '\n' ? '\n' : ' ');
            at += length;
        }

        return code.ToString();
    }

    /// <summary>Length of the comment or literal that starts here; 0 where none does.</summary>
    private static int BlankLength(string source, int at)
    {
        ReadOnlySpan<char> rest = source.AsSpan(at);
        if (rest.StartsWith("//"))
            return UpTo(rest, "\n", 0);
        if (rest.StartsWith("/*"))
            return UpTo(rest, "*/", 2) is var end && end < rest.Length ? end + 2 : rest.Length;
        int quotes = Count(rest, '"');
        if (quotes >= 3)
            return Math.Min(rest.Length, UpTo(rest, new string('"', quotes), quotes) + quotes);
        if (rest.StartsWith("@\"") || rest.StartsWith("$@\"") || rest.StartsWith("@$\""))
            return VerbatimLength(rest);
        if (quotes == 2)
            return 2;
        if (quotes == 1)
            return QuotedLength(rest, '"');
        // A character literal, not the tick of a number or a word in a directive.
        return rest[0] == '\'' && rest.Length > 2 && (rest[1] == '\\' || rest[2] == '\'') ? QuotedLength(rest, '\'') : 0;
    }

    private static int Count(ReadOnlySpan<char> text, char c)
    {
        int count = 0;
        while (count < text.Length && text[count] == c)
            count++;
        return count;
    }

    private static int UpTo(ReadOnlySpan<char> text, string end, int from)
    {
        int found = text[from..].IndexOf(end, StringComparison.Ordinal);
        return found < 0 ? text.Length : from + found;
    }

    private static int QuotedLength(ReadOnlySpan<char> text, char quote)
    {
        for (int i = 1; i < text.Length; i++)
        {
            if (text[i] == '\\')
                i++;
            else if (text[i] == quote || text[i] == '\n')
                return i + 1;
        }

        return text.Length;
    }

    private static int VerbatimLength(ReadOnlySpan<char> text)
    {
        int i = text.IndexOf('"') + 1;
        while (i < text.Length)
        {
            if (text[i] != '"')
                i++;
            else if (i + 1 < text.Length && text[i + 1] == '"')
                i += 2;
            else
                return i + 1;
        }

        return text.Length;
    }
}
