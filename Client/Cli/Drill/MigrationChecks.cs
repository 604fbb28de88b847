namespace Godwit.Cli.Drill;

/// <summary>What the silos' records prove: one runner at a time, equal RAM on both sides.</summary>
public static class MigrationChecks
{
    /// <summary>Run intervals of one VM never overlap, and each later one has a later epoch or the same silo.</summary>
    public static Check OneRunner(string guest, IEnumerable<RunInterval> intervals)
    {
        string name = $"{guest}: never two runners";
        List<RunInterval> ordered = [.. intervals.OrderBy(interval => interval.StartNanoseconds)];
        for (int i = 1; i < ordered.Count; i++)
        {
            RunInterval before = ordered[i - 1], after = ordered[i];
            if (before.StopNanoseconds is not { } stop || stop > after.StartNanoseconds)
                return new Check(name, false, $"{before.Silo} (epoch {before.Epoch}) still ran when {after.Silo} (epoch {after.Epoch}) started");
            if (after.Epoch < before.Epoch)
                return new Check(name, false, $"epoch {after.Epoch} on {after.Silo} follows epoch {before.Epoch} on {before.Silo}");
        }
        return new Check(name, ordered.Count > 0, $"{ordered.Count} run intervals, none overlap");
    }

    public static Check EqualMemory(string guest, IReadOnlyList<DrillMigration> migrations)
    {
        string name = $"{guest}: RAM equal on both sides at every stop";
        foreach (DrillMigration migration in migrations)
        {
            if (migration.SourceHash.Length == 0 || migration.TargetHash.Length == 0)
                return new Check(name, false, $"{migration.From} -> {migration.To} was not hashed");
            if (migration.SourceHash != migration.TargetHash)
                return new Check(name, false, $"{migration.From} -> {migration.To}: source {migration.SourceHash}, target {migration.TargetHash}");
        }
        return new Check(name, migrations.Count > 0, $"{migrations.Count} moves, {migrations.Count * 2} hashes of all RAM");
    }
}
