using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit cluster</c>: what concerns all silos together.</summary>
internal static class ClusterCommands
{
    public static Command Create()
    {
        var group = new Command("cluster", "Looks at the cluster as a whole, evens out its silos, and says who belongs to it.");
        foreach (var command in new[] { ClusterStatusCommand.Create(), ClusterRebalance.Create() })
        {
            ClusterOptions.AddTo(command);
            group.Subcommands.Add(command);
        }

        // These have an authority's folder for --cluster, and talk to nobody.
        group.Subcommands.Add(ClusterAuthorityCommands.CreateInit());
        group.Subcommands.Add(ClusterAuthorityCommands.CreateIssue());
        group.Subcommands.Add(ClusterAuthorityCommands.CreateRevoke());
        return group;
    }
}
