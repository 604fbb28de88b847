using System.CommandLine;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Run;

/// <summary>The option that chooses a machine's CPUID level.</summary>
internal static class CpuOption
{
    public static Option<string> Create() => new("--cpu")
    {
        Description = $"What the guest's processor can do: {string.Join(", ", CpuLevels.Names)}",
        HelpName = "LEVEL",
        DefaultValueFactory = _ => CpuLevels.Name(CpuLevels.Default),
    };

    /// <summary>Throws <see cref="UsageException"/> for a name that is none.</summary>
    public static CpuLevel Parse(string name) => CpuLevels.TryParse(name, out CpuLevel level)
        ? level
        : throw new UsageException($"--cpu {name}: write one of {string.Join(", ", CpuLevels.Names)}");
}
