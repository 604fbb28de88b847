using System.CommandLine;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Commands;

/// <summary>A restart policy as people write it: <c>--restart</c> and <c>--checkpoint-every</c>.</summary>
internal sealed class RestartOptions
{
    private readonly Option<string?> _restart = new("--restart") { Description = "When its silo is lost: none, restart (boot again elsewhere), or checkpoint (go on elsewhere from the last one)", HelpName = "none|restart|checkpoint" };
    private readonly Option<double?> _every = new("--checkpoint-every") { Description = "Seconds from one checkpoint to the next (default 5)", HelpName = "S" };

    public RestartOptions() => _restart.AcceptOnlyFromAmong("none", "restart", "checkpoint");

    public void AddTo(Command command)
    {
        command.Options.Add(_restart);
        command.Options.Add(_every);
    }

    /// <summary>Null where neither option was given; throws <see cref="UsageException"/>.</summary>
    public RestartPolicy? Read(ParseResult parsed)
    {
        var mode = parsed.GetValue(_restart);
        var every = parsed.GetValue(_every);
        if (mode is null && every is null)
        {
            return null;
        }

        if (mode is null or not "checkpoint" && every is not null)
        {
            throw new UsageException("--checkpoint-every goes with --restart checkpoint.");
        }

        if (every is { } seconds && !(seconds >= RestartPolicy.LeastInterval.TotalSeconds && seconds <= RestartPolicy.MostInterval.TotalSeconds))
        {
            throw new UsageException($"--checkpoint-every takes {RestartPolicy.LeastInterval.TotalSeconds:0} to {RestartPolicy.MostInterval.TotalSeconds:0} seconds.");
        }

        return new RestartPolicy
        {
            Mode = Enum.Parse<RestartMode>(mode!, ignoreCase: true),
            CheckpointEvery = every is { } s ? TimeSpan.FromSeconds(s) : RestartPolicy.DefaultInterval,
        };
    }
}
