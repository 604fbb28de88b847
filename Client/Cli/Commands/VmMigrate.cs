using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm migrate</c>: starts, watches or cancels a migration; only --cancel ends one.</summary>
internal static class VmMigrate
{
    private static readonly Option<string?> _to = new("--to") { Description = "The silo to move to (default: the other one that placement chooses)", HelpName = "SILO" };
    private static readonly Option<int> _maxBlackout = new("--max-blackout") { Description = "Stop the guest when the predicted pause is below this many milliseconds", DefaultValueFactory = _ => 50 };
    private static readonly Option<int> _maxRounds = new("--max-rounds") { Description = "Copy rounds after which the guest is stopped whatever is left", DefaultValueFactory = _ => 30 };
    private static readonly Option<string> _verify = new("--verify") { Description = "full: also hash all RAM on both sides while stopped", DefaultValueFactory = _ => "pages" };
    private static readonly Option<bool> _noCooperation = new("--no-cooperation") { Description = "Do not ask the guest to help" };
    private static readonly Option<bool> _detach = new("--detach") { Description = "Return at once; the migration goes on" };
    private static readonly Option<bool> _attach = new("--attach") { Description = "Watch the VM's latest migration instead of starting one" };
    private static readonly Option<bool> _cancel = new("--cancel") { Description = "Cancel the migration that is under way" };

    public static Command Create()
    {
        _verify.AcceptOnlyFromAmong("pages", "full");
        _maxBlackout.Validators.Add(r => RequireAtLeastOne(r));
        _maxRounds.Validators.Add(r => RequireAtLeastOne(r));
        var command = new Command("migrate", """
            Moves a running VM to another silo while it runs. Ctrl-C only stops watching; --cancel cancels.

            Examples:
              godwit vm migrate web --to b
              godwit vm migrate web --to b --max-blackout 20 --verify full
              godwit vm migrate web --detach
              godwit vm migrate web --attach
              godwit vm migrate web --cancel
            """)
        { ClusterOptions.VmName, _to, _maxBlackout, _maxRounds, _verify, _noCooperation, _detach, _attach, _cancel };
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
        var handle = parsed.GetValue(_attach) || parsed.GetValue(_cancel)
            ? await vm.AttachMigrationAsync(cancellation) ?? throw new GodwitException(ClusterError.NotFound, $"VM \"{vm.Name}\" has not migrated.")
            : await vm.MigrateAsync(ToRequest(parsed), cancellation);
        if (parsed.GetValue(_cancel))
        {
            await handle.CancelAsync(cancellation);
            output.Result(handle.Ticket, $"The migration of VM {vm.Name} was told to end.");
            return;
        }

        if (parsed.GetValue(_detach))
        {
            output.Result(handle.Ticket, $"VM {vm.Name} is moving from {handle.Ticket.SourceName} to {handle.Ticket.TargetName}; watch it with \"godwit vm migrate {vm.Name} --attach\".");
            return;
        }

        try
        {
            await MigrationView.WatchAsync(handle, output, cancellation);
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync($"godwit: no longer watching; the migration goes on (\"godwit vm migrate {vm.Name} --attach\" watches it, --cancel ends it).");
            throw;
        }
    }

    private static MigrationRequest ToRequest(ParseResult parsed) => new()
    {
        Target = parsed.GetValue(_to),
        MaxBlackout = TimeSpan.FromMilliseconds(parsed.GetValue(_maxBlackout)),
        MaxRounds = parsed.GetValue(_maxRounds),
        VerifyAllMemory = parsed.GetValue(_verify) == "full",
        Cooperate = !parsed.GetValue(_noCooperation),
    };

    private static void RequireAtLeastOne(System.CommandLine.Parsing.OptionResult result)
    {
        if (result.GetValueOrDefault<int>() < 1)
        {
            result.AddError($"{result.Option.Name} takes at least 1.");
        }
    }
}
