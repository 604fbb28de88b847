using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit silo</c>: alone it runs a silo; its subcommands look at the cluster's.</summary>
internal static class SiloCommands
{
    public static Command Create()
    {
        var list = SiloList.Create();
        ClusterOptions.AddTo(list);
        var group = ServerProcess.SiloCommand();
        group.Subcommands.Add(list);
        return group;
    }
}
