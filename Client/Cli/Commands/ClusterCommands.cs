using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit cluster</c>: what concerns all silos together.</summary>
internal static class ClusterCommands
{
    public static Command Create()
    {
        var group = new Command("cluster", "Looks at the cluster as a whole, and evens out its silos.");
        foreach (var command in new[] { ClusterStatusCommand.Create(), ClusterRebalance.Create() })
        {
            ClusterOptions.AddTo(command);
            group.Subcommands.Add(command);
        }

        return group;
    }
}
