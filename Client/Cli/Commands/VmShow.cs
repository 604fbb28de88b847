using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm show</c></summary>
internal static class VmShow
{
    public static Command Create()
    {
        var command = new Command("show", """
            Shows one VM: state, place, figures, definition.

            Examples:
              godwit vm show web
              godwit vm show web --json
            """)
        { ClusterOptions.VmName };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var info = await client.Vm(parsed.GetValue(ClusterOptions.VmName)!).ShowAsync(cancellation);
            output.Result(info, () => Output.Table(["", info.Name], Rows(info)));
        });
        return command;
    }

    private static IEnumerable<string[]> Rows(VmInfo info)
    {
        yield return ["state", info.Reason is null ? info.State.ToString() : $"{info.State}: {info.Reason}{(info.ExitCode is { } code ? $" (exit code {code})" : "")}"];
        yield return ["silo", info.Silo ?? "-"];
        yield return ["epoch", $"{info.Epoch} (booted at {info.BootEpoch})"];
        yield return ["memory", MemorySize.Format(info.Definition.MemoryBytes)];
        yield return ["boots", info.Definition.Boot == VmBoot.Builtin ? "the built-in guest" : $"{info.Definition.Boot}, kernel {info.Definition.Kernel![..12]}"];
        if (info.Definition.CommandLine.Length > 0)
        {
            yield return ["command line", info.Definition.CommandLine];
        }

        if (info.Definition.Constraints is { } constraints)
        {
            yield return ["runs where", Placement(constraints)];
        }

        yield return ["silo lost", (info.Definition.Restart ?? RestartPolicy.None).ToString()];
        foreach (var row in Checkpoints(info))
        {
            yield return row;
        }

        if (info.Figures is { } figures)
        {
            yield return ["touched memory", MemorySize.Format(figures.ResidentBytes)];
            yield return ["guest time", TimeSpan.FromTicks((long)(figures.GuestNanoseconds / 100)).ToString("c")];
            yield return ["instructions", figures.RetiredInstructions.ToString("N0")];
            yield return ["console", $"{figures.ConsoleEnd} bytes"];
        }

        if (info.Migration is { } migration)
        {
            yield return ["last migration", $"{migration.SourceName} to {migration.TargetName}"];
        }
    }

    private static IEnumerable<string[]> Checkpoints(VmInfo info)
    {
        if (info.Checkpoint is { } last)
        {
            yield return ["checkpoint", $"{last.Number} of epoch {last.Epoch}, {last.TakenAt.ToLocalTime():HH:mm:ss}, {MemorySize.Format(last.Bytes)} in {last.Files} file{(last.Files == 1 ? "" : "s")}"];
        }

        if (info.Checkpoints is { } all)
        {
            yield return ["checkpoints here", $"{all.Taken}; the guest stood still for {all.LastPause.TotalMilliseconds:0.0} ms (median {all.MedianPause.TotalMilliseconds:0.0}, at most {all.MaxPause.TotalMilliseconds:0.0}); the last wrote {MemorySize.Format(all.LastBytes)} in {all.LastDuration.TotalMilliseconds:0} ms"];
            if (all.Error is not null)
            {
                yield return ["checkpoint failed", all.Error];
            }
        }

        if (info.Recovery is { } recovery)
        {
            yield return ["taken over", $"at epoch {recovery.Epoch}, since silo {recovery.LostSilo} was lost: {(recovery.Checkpoint is { } number ? $"from checkpoint {number}" : "booted again")}"];
        }
    }

    private static string Placement(PlacementConstraints constraints)
    {
        string[] parts =
        [
            .. constraints.Labels.Select(l => $"label {l.Key}={l.Value}"),
            .. constraints.AntiAffinity.Select(g => $"apart from others of group {g}"),
            .. constraints.Silo is { } only ? [$"on silo {only} only"] : Array.Empty<string>(),
        ];
        return string.Join(", ", parts);
    }
}
