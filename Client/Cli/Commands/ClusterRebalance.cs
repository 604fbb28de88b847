using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit cluster rebalance</c>: plans, shows the plan, carries it out.</summary>
internal static class ClusterRebalance
{
    private static readonly Option<bool> _dryRun = new("--dry-run") { Description = "Only show what would be moved" };
    private static readonly Option<bool> _cancel = new("--cancel") { Description = "End the rebalance that is under way; migrations that it has begun go on" };
    private static readonly Option<int> _perSilo = Moves("--per-silo", "Migrations out of a silo at a time", RebalanceRequest.DefaultPerSilo);
    private static readonly Option<int> _perCluster = Moves("--per-cluster", "Migrations in the whole cluster at a time", RebalanceRequest.DefaultPerCluster);

    public static Command Create()
    {
        var command = new Command("rebalance", """
            Moves VMs from silos that are used more to silos that are used less, by measured load and memory, while they run. Each
            move lowers the spread and keeps to every VM's constraints. Ctrl-C ends it: what has begun goes on. Exit code 1 where a
            migration failed: its VM runs on where it was.

            Examples:
              godwit cluster rebalance --dry-run
              godwit cluster rebalance --per-silo 1 --per-cluster 2
            """)
        { _dryRun, _cancel, _perSilo, _perCluster };
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        if (parsed.GetValue(_cancel))
        {
            await client.CancelRebalanceAsync(cancellation);
            output.Result(new { cancelled = true }, "The rebalance ends; migrations that it has begun go on.");
            return;
        }

        if (parsed.GetValue(_dryRun))
        {
            var plan = await client.PlanRebalanceAsync(cancellation);
            output.Result(plan, () => Show(plan));
            return;
        }

        var handle = await client.RebalanceAsync(new RebalanceRequest { PerSilo = parsed.GetValue(_perSilo), PerCluster = parsed.GetValue(_perCluster) }, cancellation);
        output.Result(handle.Ticket.Plan, () => Show(handle.Ticket.Plan));
        RebalanceUpdate end;
        try
        {
            await foreach (var step in handle.WatchAsync(0, cancellation))
            {
                output.Result(step, $"{step.Message} ({step.Left} left)");
            }

            end = await handle.EndAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
            await handle.CancelAsync(CancellationToken.None);
            await Console.Error.WriteLineAsync("godwit: the rebalance ends; migrations that it has begun go on.");
            throw;
        }

        Finish(end, output);
    }

    private static void Show(RebalancePlan plan)
    {
        if (plan.Moves.Count == 0)
        {
            Output.Line($"Nothing to move: the spread is {Percent(plan.SpreadBefore)}, and no move would lower it by enough.");
            return;
        }

        Output.Table(
            ["VM", "from", "to", "memory", "busy vCPUs", "spread then"],
            plan.Moves.Select(m => new[] { m.Vm, m.From, m.To, MemorySize.Format(m.MemoryBytes), m.Load.ToString("0.00", CultureInfo.InvariantCulture), Percent(m.Spread) }));
        Output.Line($"{Vms(plan.Moves.Count)} to move: spread {Percent(plan.SpreadBefore)} -> {Percent(plan.SpreadAfter)}.");
    }

    private static void Finish(RebalanceUpdate end, Output output)
    {
        var result = end.Result!;
        output.Result(
            new { done = end.Outcome == RebalanceOutcome.Done, outcome = end.Outcome, result },
            string.Create(CultureInfo.InvariantCulture, $"{Vms(result.Moved.Count)} moved in {result.Total.TotalSeconds:0.0} s, spread {Percent(result.SpreadBefore)} -> {Percent(result.SpreadAfter)}; the longest stood still for {result.LongestBlackout.TotalMilliseconds:0.0} ms."));
        switch (end.Outcome)
        {
            case RebalanceOutcome.Incomplete:
                throw new GodwitException(ClusterError.Failed, $"{Vms(result.Failed)} could not be moved and {(result.Failed == 1 ? "runs" : "run")} on.");
            case RebalanceOutcome.Cancelled:
                throw new GodwitException(ClusterError.Failed, "The rebalance was ended before it was done.");
            default:
                break;
        }
    }

    private static string Percent(double spread) => (spread * 100).ToString("0.0", CultureInfo.InvariantCulture) + " %";

    private static string Vms(int count) => count == 1 ? "1 VM" : $"{count} VMs";

    private static Option<int> Moves(string name, string description, int value)
    {
        var option = new Option<int>(name) { Description = description, HelpName = "N", DefaultValueFactory = _ => value };
        option.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<int>() is < 1 or > RebalanceRequest.MaxMoves)
            {
                r.AddError($"{name} takes 1 to {RebalanceRequest.MaxMoves}.");
            }
        });
        return option;
    }
}
