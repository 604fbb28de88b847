using System.Diagnostics;
using System.Globalization;
using Godwit.Cli.Run;
using Godwit.Grains.Interfaces;
using Spectre.Console;

namespace Godwit.Cli.Drill;

/// <summary>What a drill prints: progress on standard error, tables and checks on standard output (nothing but one JSON line with --json).</summary>
internal sealed class DrillOutput(bool json)
{
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly IAnsiConsole _tables = CreateTables();

    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_started);

    /// <summary>A line that stays.</summary>
    public void Say(string line) => Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"[{Elapsed.TotalSeconds,6:0.0} s] {line}"));

    /// <summary>A step: overwritten by the next on a terminal, left out where there is none.</summary>
    public void Progress(string line)
    {
        if (Console.IsErrorRedirected)
            return;
        string text = string.Create(CultureInfo.InvariantCulture, $"[{Elapsed.TotalSeconds,6:0.0} s] {line}");
        int width = Math.Max(20, Console.BufferWidth - 1);
        Console.Error.Write($"\r{(text.Length > width ? text[..width] : text.PadRight(width))}\r");
    }

    public void Migration(DrillMigration migration)
    {
        Say($"{migration.Guest}: {migration.From} -> {migration.To} done, blackout {Milliseconds(migration.BlackoutMilliseconds)}");
        if (json)
            return;
        Table table = new() { Border = TableBorder.Ascii, Title = new TableTitle(Title(migration)) };
        foreach (string column in (string[])["round", "pages", "zero", "sent", "time", "dirtied meanwhile"])
            table.AddColumn(new TableColumn(column).RightAligned());
        foreach (DrillRound round in migration.Rounds)
            table.AddRow(
                round.Final ? $"{round.Round} (stopped)" : Number(round.Round),
                Number(round.Pages), Number(round.ZeroPages), MemorySize.Format(round.Bytes), Milliseconds(round.Milliseconds), round.Final ? "" : Number(round.DirtiedMeanwhile));
        _tables.Write(table);
        Console.Out.WriteLine(
            $"  total {Milliseconds(migration.TotalMilliseconds)}, sent {MemorySize.Format(migration.Bytes)}, blackout {Milliseconds(migration.BlackoutMilliseconds)} (host), "
            + $"{(migration.GuestGapMilliseconds is { } gap ? Milliseconds(gap) : "unknown")} (guest's largest gap, verification of {Milliseconds(migration.VerificationMilliseconds)} included)");
        Console.Out.WriteLine();
    }

    /// <summary>The moves side by side, and what cooperation saved on the same load.</summary>
    public void Summary(IReadOnlyList<DrillMigration> migrations)
    {
        if (json || migrations.Count == 0)
            return;
        Table table = new() { Border = TableBorder.Ascii, Title = new TableTitle("All moves") };
        table.AddColumn("guest").AddColumn("move");
        foreach (string column in (string[])["rounds", "pages", "zero", "sent", "total", "blackout", "guest saw"])
            table.AddColumn(new TableColumn(column).RightAligned());
        foreach (DrillMigration m in migrations)
            table.AddRow(
                Markup.Escape(m.Guest + (m.GuestWasReady ? ", ready" : "")), $"{m.From} -> {m.To}", Number(m.Rounds.Count), Number(m.Rounds.Sum(r => r.Pages)), Number(m.Rounds.Sum(r => r.ZeroPages)),
                MemorySize.Format(m.Bytes), Milliseconds(m.TotalMilliseconds), Milliseconds(m.BlackoutMilliseconds), m.GuestGapMilliseconds is { } gap ? Milliseconds(gap) : "");
        _tables.Write(table);
        List<DrillMigration> alone = [.. migrations.Where(m => m.Guest == DrillGuests.Builtin && !m.Cooperation)];
        List<DrillMigration> helped = [.. migrations.Where(m => m.Guest == DrillGuests.BuiltinCooperating && m.GuestWasReady)];
        if (alone.Count > 0 && helped.Count > 0)
            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"Cooperation, same load: {alone.Average(m => m.Bytes) / helped.Average(m => m.Bytes):0.00}x fewer bytes ({MemorySize.Format((long)alone.Average(m => m.Bytes))} -> {MemorySize.Format((long)helped.Average(m => m.Bytes))}), blackout {Milliseconds(alone.Average(m => m.BlackoutMilliseconds))} -> {Milliseconds(helped.Average(m => m.BlackoutMilliseconds))}, total {Milliseconds(alone.Average(m => m.TotalMilliseconds))} -> {Milliseconds(helped.Average(m => m.TotalMilliseconds))}"));
        Console.Out.WriteLine();
    }

    public void Checks(DrillReport report, string folder)
    {
        if (json)
        {
            Console.Out.WriteLine(System.Text.Json.JsonSerializer.Serialize(report, CliJson.Options));
            return;
        }
        foreach ((string figure, double value) in report.Figures)
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"      {figure}: {value:0.###}"));
        foreach (Check check in report.Checks)
            Console.Out.WriteLine($"{(check.Held ? "ok  " : "FAIL")}  {check.Name}: {check.Detail}");
        int failed = report.Checks.Count(check => !check.Held);
        Console.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{(failed == 0 ? "drill passed" : "drill FAILED")}: {report.Checks.Count - failed} of {report.Checks.Count} checks held{(report.Migrations.Count > 0 ? $", {report.Migrations.Count} migrations" : "")}, {report.Seconds:0} s; report in {folder}"));
    }

    // Where the output is not a terminal its width is nobody's: a table is never folded then.
    private static IAnsiConsole CreateTables()
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(Console.Out),
            Ansi = Console.IsOutputRedirected ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = Console.IsOutputRedirected ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
        });
        if (Console.IsOutputRedirected)
            console.Profile.Width = 160;
        return console;
    }

    private static string Title(DrillMigration m) => Markup.Escape($"{m.Guest}: {m.From} -> {m.To}{(m.Cooperation ? m.GuestWasReady ? ", the guest helped" : ", the guest did not help" : "")}");

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static string Milliseconds(double value) => string.Create(CultureInfo.InvariantCulture, $"{value:0.0} ms");
}
