namespace Godwit.Engine.Machine;

/// <summary>The CPUID levels by name, and which of them are executed here.</summary>
public static class CpuLevels
{
    /// <summary>What a new machine gets where nobody says otherwise.</summary>
    public const CpuLevel Default = CpuLevel.V2;

    /// <summary>
    /// The highest level that is executed here; the lower ones are parts of it. It asks nothing of the host's processor:
    /// the interpreter runs what the translator cannot copy.
    /// </summary>
    public const CpuLevel Highest = CpuLevel.V3;

    private const string Prefix = "x86-64-";

    /// <summary>The names, lowest first, as the x86-64 psABI has them.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Enum.GetValues<CpuLevel>().Order().Select(Name)];

    /// <summary>The levels that a machine can have here, lowest first.</summary>
    public static IReadOnlyList<CpuLevel> Executed { get; } = [.. Enum.GetValues<CpuLevel>().Where(level => level <= Highest).Order()];

    public static string Name(CpuLevel level) => $"{Prefix}v{(int)level}";

    /// <summary>The level of a name such as x86-64-v2.</summary>
    public static bool TryParse(string name, out CpuLevel level)
    {
        level = Enum.GetValues<CpuLevel>().FirstOrDefault(known => Name(known) == name);
        return level != default;
    }

    /// <summary>Why a machine of a level cannot run here, in one line; null where it can.</summary>
    public static string? Refusal(CpuLevel level) =>
        level is >= CpuLevel.V1 and <= Highest ? null : $"CPU level x86-64-v{(int)level} asked for: {Name(Highest)} is the highest that is executed here";
}
