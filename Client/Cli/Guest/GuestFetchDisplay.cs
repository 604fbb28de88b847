using Spectre.Console;

namespace Godwit.Cli.Guest;

/// <summary>Shows a fetch on standard error: bars on a terminal, a line for each step elsewhere.</summary>
public static class GuestFetchDisplay
{
    /// <summary>Runs a fetch and shows what it reports.</summary>
    public static Task<LinuxGuest> RunAsync(Func<IProgress<GuestFetchProgress>, Task<LinuxGuest>> fetch)
    {
        ArgumentNullException.ThrowIfNull(fetch);
        return Console.IsErrorRedirected ? fetch(new Lines(Console.Error)) : WithBarsAsync(fetch);
    }

    private static Task<LinuxGuest> WithBarsAsync(Func<IProgress<GuestFetchProgress>, Task<LinuxGuest>> fetch)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress()
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(context => fetch(new Bars(context)));
    }

    private static string Describe(GuestFetchStage stage) => stage switch
    {
        GuestFetchStage.WaitingForOther => "waiting for another fetch to end",
        GuestFetchStage.PackageLists => "reading Debian's package lists",
        GuestFetchStage.Download => "downloading kernel and busybox",
        GuestFetchStage.Unpack => "unpacking",
        _ => throw new ArgumentOutOfRangeException(nameof(stage), stage, null),
    };

    private sealed class Bars(ProgressContext context) : IProgress<GuestFetchProgress>
    {
        private readonly Dictionary<GuestFetchStage, ProgressTask> _bars = [];
        private readonly Lock _lock = new();

        public void Report(GuestFetchProgress value)
        {
            lock (_lock)
            {
                if (!_bars.TryGetValue(value.Stage, out ProgressTask? bar))
                    _bars[value.Stage] = bar = context.AddTask(Describe(value.Stage));
                bar.Value = Math.Max(bar.Value, value.Percent);
            }
        }
    }

    private sealed class Lines(TextWriter writer) : IProgress<GuestFetchProgress>
    {
        private GuestFetchStage? _last;

        public void Report(GuestFetchProgress value)
        {
            lock (writer)
            {
                if (_last == value.Stage)
                    return;
                _last = value.Stage;
                writer.WriteLine($"{Describe(value.Stage)} ...");
            }
        }
    }
}
