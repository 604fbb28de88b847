using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit silo</c>: alone it runs a silo; its subcommands look at the cluster's, and empty them.</summary>
internal static class SiloCommands
{
    public static Command Create()
    {
        var group = ServerProcess.SiloCommand();
        foreach (var command in new[] { SiloList.Create(), SiloDrain.Create(), SiloDrain.CreateUndrain() })
        {
            ClusterOptions.AddTo(command);
            group.Subcommands.Add(command);
        }

        return group;
    }
}
