using System.CommandLine;
using System.CommandLine.Parsing;
using Godwit.Grains.Interfaces;

namespace Godwit.Silo.Commands;

/// <summary>Options that more than one command takes.</summary>
internal static class CommonOptions
{
    public static readonly Option<string> Cluster = new("--cluster")
    {
        Description = "The cluster folder (default: $XDG_STATE_HOME/godwit or ~/.local/state/godwit)",
        HelpName = "DIR",
        DefaultValueFactory = _ => LocalCluster.DefaultFolder(),
    };

    public static readonly Option<bool> Json = new("--json") { Description = "One JSON object a line" };
}

/// <summary>0 to 65535.</summary>
internal static class PortRule
{
    public static void Check(OptionResult result)
    {
        if (result.GetValueOrDefault<int>() is < 0 or > 65535)
        {
            result.AddError($"{result.Option.Name} takes 0 to 65535.");
        }
    }
}
