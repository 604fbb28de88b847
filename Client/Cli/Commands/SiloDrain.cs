using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit silo drain</c>: starts a drain, or watches the one that is under way.</summary>
internal static class SiloDrain
{
    private static readonly Argument<string> _name = new("NAME") { Description = "The silo's name or address" };
    private static readonly Option<int> _perSilo = Moves("--per-silo", "Migrations out of this silo at a time", DrainRequest.DefaultPerSilo);
    private static readonly Option<int> _perCluster = Moves("--per-cluster", "Migrations in the whole cluster at a time", DrainRequest.DefaultPerCluster);
    private static readonly Option<bool> _detach = new("--detach") { Description = "Return at once; the drain goes on" };

    public static Command Create()
    {
        var command = new Command("drain", """
            Moves every VM off a silo while it runs, and keeps new ones away. Ctrl-C only stops watching; the same command
            watches again, undrain ends it. Exit code 1 where a VM could not be moved: it runs on.

            Examples:
              godwit silo drain a
              godwit silo drain a --per-silo 4 --per-cluster 8
              godwit silo drain a --detach
            """)
        { _name, _perSilo, _perCluster, _detach };
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    public static Command CreateUndrain()
    {
        var command = new Command("undrain", """
            Takes a drained or draining silo back: it takes VMs again. Migrations that its drain has begun go on.

            Example:
              godwit silo undrain a
            """)
        { _name };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var silo = parsed.GetValue(_name)!;
            await client.UndrainSiloAsync(silo, cancellation);
            output.Result(new { silo, duty = HostDuty.Serving }, $"Silo {silo} takes VMs again.");
        });
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        var request = new DrainRequest { PerSilo = parsed.GetValue(_perSilo), PerCluster = parsed.GetValue(_perCluster) };
        var handle = await client.DrainSiloAsync(parsed.GetValue(_name)!, request, cancellation);
        var silo = handle.Ticket.SiloName;
        if (parsed.GetValue(_detach))
        {
            output.Result(handle.Ticket, $"Silo {silo} is draining; \"godwit silo drain {silo}\" watches it.");
            return;
        }

        DrainUpdate end;
        try
        {
            await foreach (var step in handle.WatchAsync(0, cancellation))
            {
                output.Result(step, $"{step.Message}{(step.Event == DrainEvent.Moved ? $" ({step.Left} left)" : "")}");
            }

            end = await handle.EndAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync($"godwit: no longer watching; the drain goes on (\"godwit silo drain {silo}\" watches it, \"godwit silo undrain {silo}\" ends it).");
            throw;
        }

        Finish(silo, end, output);
    }

    private static void Finish(string silo, DrainUpdate end, Output output)
    {
        var result = end.Result!;
        output.Result(
            new { done = end.Outcome == DrainOutcome.Done, outcome = end.Outcome, result },
            $"{Vms(result.Moved.Count)} moved off silo {silo} in {result.Total.TotalSeconds:0.0} s; the longest stood still for {result.LongestBlackout.TotalMilliseconds:0.0} ms.");
        switch (end.Outcome)
        {
            case DrainOutcome.Incomplete:
                throw new GodwitException(ClusterError.Failed, $"Silo {silo} is not drained: {Vms(result.Kept.Count)} could not be moved and {(result.Kept.Count == 1 ? "stays" : "stay")} on it.");
            case DrainOutcome.Cancelled:
                throw new GodwitException(ClusterError.Failed, $"The drain of silo {silo} was ended before it was done.");
            default:
                break;
        }
    }

    private static string Vms(int count) => count == 1 ? "1 VM" : $"{count} VMs";

    private static Option<int> Moves(string name, string description, int value)
    {
        var option = new Option<int>(name) { Description = $"{description} (where this command starts the drain)", HelpName = "N", DefaultValueFactory = _ => value };
        option.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<int>() is < 1 or > DrainRequest.MaxMoves)
            {
                r.AddError($"{name} takes 1 to {DrainRequest.MaxMoves}.");
            }
        });
        return option;
    }
}
