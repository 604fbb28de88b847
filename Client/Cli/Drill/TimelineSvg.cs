using System.Globalization;
using System.Security;
using System.Text;

namespace Godwit.Cli.Drill;

/// <summary>Draws every migration of a drill: dirty pages and bytes per round over time, the blackout marked.</summary>
public static class TimelineSvg
{
    private const int Width = 960, PanelHeight = 190, Left = 70, Right = 80, Top = 46, Plot = 100;

    public static string Draw(IReadOnlyList<DrillMigration> migrations)
    {
        StringBuilder svg = new();
        int height = Math.Max(1, migrations.Count) * PanelHeight + 34;
        svg.Append(CultureInfo.InvariantCulture, $"""
            <svg xmlns="http://www.w3.org/2000/svg" width="{Width}" height="{height}" viewBox="0 0 {Width} {height}" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            <g transform="translate({Left},18)"><rect width="12" height="12" fill="#4a7fb5"/><text x="18" y="11">bytes sent in the round</text><rect x="190" width="12" height="12" fill="#d98032"/><text x="208" y="11">pages dirtied meanwhile</text><rect x="390" width="12" height="12" fill="#b02a2a" opacity="0.35"/><text x="408" y="11">guest stopped (blackout and verification)</text></g>

            """);
        for (int i = 0; i < migrations.Count; i++)
            Panel(svg, migrations[i], 34 + i * PanelHeight);
        svg.Append("</svg>\n");
        return svg.ToString();
    }

    private static void Panel(StringBuilder svg, DrillMigration migration, int y)
    {
        double end = Math.Max(1, migration.Rounds.Count == 0 ? migration.TotalMilliseconds : Math.Max(migration.TotalMilliseconds, migration.Rounds.Max(r => r.StartMilliseconds + r.Milliseconds)));
        double bytes = Math.Max(1, migration.Rounds.Select(r => (double)r.Bytes).DefaultIfEmpty(1).Max());
        double dirtied = Math.Max(1, migration.Rounds.Select(r => (double)r.DirtiedMeanwhile).DefaultIfEmpty(1).Max());
        double scale = (Width - Left - Right) / end;
        string title = SecurityElement.Escape($"{migration.Guest}: {migration.From} to {migration.To}");
        svg.Append(CultureInfo.InvariantCulture, $"""
            <g transform="translate({Left},{y + Top})">
            <text x="0" y="-12" font-weight="bold">{title} — {migration.TotalMilliseconds:0} ms in all, blackout {migration.BlackoutMilliseconds:0.0} ms, {migration.Bytes / 1e6:0.0} MB</text>

            """);
        foreach (DrillRound round in migration.Rounds)
            Round(svg, round, scale, bytes, dirtied);
        double stopped = migration.BlackoutMilliseconds + migration.VerificationMilliseconds;
        double stop = Math.Max(0, (migration.Rounds.FirstOrDefault(r => r.Final)?.StartMilliseconds ?? end - stopped));
        svg.Append(CultureInfo.InvariantCulture, $"""
            <rect x="{stop * scale:0.0}" y="-6" width="{Math.Max(2, stopped * scale):0.0}" height="{Plot + 6}" fill="#b02a2a" opacity="0.25"><title>blackout {migration.BlackoutMilliseconds:0.0} ms, verification {migration.VerificationMilliseconds:0.0} ms</title></rect>
            <path d="M0 0V{Plot}H{Width - Left - Right}V0" fill="none" stroke="#555"/>
            <text x="-8" y="8" text-anchor="end">{bytes / 1e6:0.0} MB</text><text x="-8" y="{Plot}" text-anchor="end">0</text>
            <text x="{Width - Left - Right + 8}" y="8">{dirtied:0}</text><text x="{Width - Left - Right + 8}" y="20">pages</text>
            <text x="0" y="{Plot + 16}">0 ms</text><text x="{Width - Left - Right}" y="{Plot + 16}" text-anchor="end">{end:0} ms</text>
            </g>

            """);
    }

    private static void Round(StringBuilder svg, DrillRound round, double scale, double bytes, double dirtied)
    {
        double x = round.StartMilliseconds * scale;
        double width = Math.Max(2, round.Milliseconds * scale);
        double sent = round.Bytes / bytes * Plot;
        double dirty = Plot - round.DirtiedMeanwhile / dirtied * Plot;
        svg.Append(CultureInfo.InvariantCulture, $"""
            <rect x="{x:0.0}" y="{Plot - sent:0.0}" width="{width:0.0}" height="{sent:0.0}" fill="#4a7fb5" stroke="white" stroke-width="0.5"><title>round {round.Round}: {round.Pages} pages, {round.ZeroPages} zero, {round.Bytes} bytes, {round.Milliseconds:0.0} ms, {round.DirtiedMeanwhile} dirtied meanwhile</title></rect>
            <path d="M{x:0.0} {dirty:0.0}h{width:0.0}" stroke="#d98032" stroke-width="2"/>

            """);
    }
}
