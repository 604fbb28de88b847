using System.CommandLine;
using Godwit.Access;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Commands;

/// <summary>What every command that talks to a cluster takes: which cluster, and how to print.</summary>
internal static class ClusterOptions
{
    public static readonly Option<string?> Store = new("--store")
    {
        Description = "The store's address (default: the one that runs in the cluster folder)",
        HelpName = "HOST:PORT",
        Recursive = true,
    };

    public static readonly Option<string[]> Gateway = new("--gateway")
    {
        Description = "Where a silo takes clients; again for more (default: those of the cluster folder)",
        HelpName = "HOST:PORT",
        Recursive = true,
    };

    public static readonly Option<string?> StorePasswordFile = new("--store-password-file")
    {
        Description = $"Holds the password of a store that is not the embedded one (mode 600; or ${StoreLogin.PasswordVariable})",
        HelpName = "FILE",
        Recursive = true,
    };

    public static readonly Option<string> Cluster = new("--cluster")
    {
        Description = "The cluster folder (default: $XDG_STATE_HOME/godwit or ~/.local/state/godwit)",
        HelpName = "DIR",
        DefaultValueFactory = _ => LocalCluster.DefaultFolder(),
        Recursive = true,
    };

    public static readonly Option<bool> Json = new("--json") { Description = "Print JSON, one object a line", Recursive = true };

    public static readonly Argument<string> VmName = new("NAME") { Description = "The VM's name" };

    public static void AddTo(Command group)
    {
        group.Options.Add(Store);
        group.Options.Add(StorePasswordFile);
        group.Options.Add(Gateway);
        group.Options.Add(Cluster);
        group.Options.Add(Json);
    }

    /// <summary>A client of the cluster that the options name; throws <see cref="GodwitException"/> where there is none.</summary>
    public static Task<GodwitClient> ConnectAsync(ParseResult parsed, CancellationToken cancellation)
    {
        var access = ClusterAccess.Open(parsed.GetValue(Cluster)!, parsed.GetValue(Store), parsed.GetValue(StorePasswordFile), parsed.GetValue(Gateway));
        return GodwitClient.ConnectAsync(access, cancellation: cancellation);
    }

    /// <summary>A command's action with a client and an output, and exit code 0 when it returns.</summary>
    public static void SetAction(Command command, Func<ParseResult, GodwitClient, Output, CancellationToken, Task> run) =>
        command.SetAction(async (parsed, cancellation) =>
        {
            await using var client = await ConnectAsync(parsed, cancellation);
            await run(parsed, client, new Output(parsed.GetValue(Json)), cancellation);
            return 0;
        });
}
