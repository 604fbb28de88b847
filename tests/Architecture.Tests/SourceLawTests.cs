using System.Text.RegularExpressions;
using Xunit;

namespace Godwit.Architecture.Tests;

/// <summary>Rules over the sources that no analyzer holds.</summary>
public sealed partial class SourceLawTests
{
    private const int MostLines = 600;

    /// <summary>Files that may be longer, each with its reason: tables and generated code.</summary>
    private static readonly Dictionary<string, string> LongFiles = new(StringComparer.Ordinal);

    /// <summary>
    /// Files that may let time pass, each with its reason. To wait for something to happen is not one: that has an event.
    /// </summary>
    private static readonly Dictionary<string, string> TimedWaits = new(StringComparer.Ordinal);

    private static readonly string[] UnsafeFolders = ["Engine/Host/", "Engine/Memory/", "Engine/Cpu/", "Engine/Interpreter/", "Engine/Translation/", "Engine/Kvm/", "tests/Engine.Tests/", "benchmarks/"];

    [Fact]
    public void UnsafeCodeStaysInItsFolders()
    {
        AssertNone(Matching(UnsafeKeyword()).Where(f => !UnsafeFolders.Any(folder => f.StartsWith(folder, StringComparison.Ordinal))), "unsafe outside " + string.Join(", ", UnsafeFolders));
    }

    [Fact]
    public void NativeCallsAreDeclaredInEngineHostOnly()
    {
        AssertNone(Matching(NativeImport()).Where(f => !f.StartsWith("Engine/Host/", StringComparison.Ordinal)), "native calls declared outside Engine/Host");
    }

    [Fact]
    public void NothingWaitsForTimeWithoutAListedReason()
    {
        string[] waiting = [.. Matching(TimedWait())];
        AssertNone(waiting.Except(TimedWaits.Keys), "Thread.Sleep or Task.Delay without a reason in TimedWaits");
        AssertNone(TimedWaits.Keys.Except(waiting), "listed in TimedWaits, and no longer needed");
    }

    /// <summary>What is generic over the runtime's integers is compiled when it is first met, not before: ReadyToRun.targets, docs/performance.md.</summary>
    [Fact]
    public void IntegerFamiliesAreGenericOverTheEnginesOwnWords()
    {
        AssertNone(Matching(RuntimeInteger()).Where(f => f.StartsWith("Engine/Interpreter/Integer/", StringComparison.Ordinal)), "generic over the runtime's integers instead of IWord");
    }

    [Fact]
    public void NamespacesMatchFolders()
    {
        List<string> wrong = [];
        foreach (string file in Repository.Sources)
        {
            Match declared = Namespace().Match(CodeText.Of(Repository.Read(file)));
            if (!declared.Success)
            {
                // Top-level statements and assembly-wide attributes have none.
                if (Path.GetFileName(file) is not ("Program.cs" or "AssemblyInfo.cs" or "GlobalUsings.cs"))
                    wrong.Add($"{file}: no file-scoped namespace");
                continue;
            }

            string expected = ExpectedNamespace(file);
            if (declared.Groups[1].Value != expected)
                wrong.Add($"{file}: namespace {declared.Groups[1].Value}, and its folder says {expected}");
        }

        AssertNone(wrong, "namespaces that do not match their folders");
    }

    [Fact]
    public void FilesAreShortUnlessListed()
    {
        string[] tooLong = [.. Repository.Sources.Where(f => Repository.Read(f).AsSpan().Count('\n') > MostLines)];
        AssertNone(tooLong.Except(LongFiles.Keys), $"over {MostLines} lines without a reason in LongFiles");
        AssertNone(LongFiles.Keys.Except(tooLong), "listed in LongFiles, and no longer needed");
    }

    [Fact]
    public void NamesSayWhatAThingIs()
    {
        AssertNone(Repository.Sources.Where(f => VagueName().IsMatch(Path.GetFileNameWithoutExtension(f))), "names that do not say what a thing is");
    }

    [Fact]
    public void NoFileNamesAMachinesFolders()
    {
        AssertNone(Repository.Texts.Where(f => MachinePath().IsMatch(Repository.Read(f))), "paths of one person's machine");
    }

    [Theory]
    [InlineData("int a; // unsafe", "int a;")]
    [InlineData("a /* unsafe\n */ b", "a\nb")]
    [InlineData("\"unsafe \\\" unsafe\" b", "b")]
    [InlineData("@\"unsafe \"\" unsafe\" b", "b")]
    [InlineData("\"\"\"un\"safe\n\"\"\" b", "b")]
    [InlineData("'\"' unsafe '\\''", "unsafe")]
    [InlineData("\"\" + unsafe", "+ unsafe")]
    public void CommentsAndLiteralsAreNotCode(string source, string code)
    {
        string[] Words(string text) => text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(Words(code), Words(CodeText.Of(source)));
    }

    private static void AssertNone(IEnumerable<string> offenders, string rule)
    {
        string[] found = [.. offenders];
        Assert.True(found.Length == 0, $"{rule}:\n{string.Join('\n', found)}");
    }

    private static IEnumerable<string> Matching(Regex rule) => Repository.Sources.Where(f => rule.IsMatch(CodeText.Of(Repository.Read(f))));

    private static string ExpectedNamespace(string file)
    {
        string project = Repository.ProjectOf(file) ?? throw new InvalidOperationException($"{file} is in no project");
        string name = Path.GetFileNameWithoutExtension(project);
        string root = Repository.Projects[name].Descendants("RootNamespace").Select(e => e.Value).FirstOrDefault() ?? $"Godwit.{name}";
        string folder = Path.GetRelativePath(Path.GetDirectoryName(project)!, Path.GetDirectoryName(file)!);
        return folder == "." ? root : $"{root}.{folder.Replace('\\', '/').Replace('/', '.')}";
    }

    [GeneratedRegex(@"\bI(BinaryInteger|Number|UnsignedNumber)<|\bFor<(byte|ushort|uint|ulong)\b")]
    private static partial Regex RuntimeInteger();

    [GeneratedRegex(@"\bunsafe\b")]
    private static partial Regex UnsafeKeyword();

    [GeneratedRegex(@"\[\s*[\w.]*\b(LibraryImport|DllImport)\b")]
    private static partial Regex NativeImport();

    [GeneratedRegex(@"\bThread\s*\.\s*Sleep\b|\bTask\s*\.\s*Delay\b")]
    private static partial Regex TimedWait();

    [GeneratedRegex(@"^\s*namespace\s+([\w.]+)\s*;", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex("(Utils?|Utilit(y|ies)|Common|Helpers?|Manager)$")]
    private static partial Regex VagueName();

    /// <summary>A home or a work folder of whoever wrote it; a guest's own /root is named without a file in it.</summary>
    [GeneratedRegex(@"(?<![\w.])/(work|root|home)/\w|[A-Z]:\\Users\\", RegexOptions.CultureInvariant)]
    private static partial Regex MachinePath();
}
