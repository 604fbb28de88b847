using System.Globalization;

namespace Godwit.Cli.Drill.Failover;

/// <summary>What happens to silos in a step.</summary>
internal enum Disturbance
{
    /// <summary>Nothing; where a migration is begun, it ends in peace.</summary>
    None,

    /// <summary>kill -9 of one.</summary>
    Kill,

    /// <summary>kill -9 of two at once.</summary>
    KillTwo,

    /// <summary>SIGSTOP, and SIGCONT after a while.</summary>
    Freeze,

    /// <summary>Its way to the store is cut, and mended after a while; the silo itself runs.</summary>
    Cut,
}

/// <summary>One step of the chaos, all of it drawn by lot before anything of it is done: a seed repeats the steps.</summary>
/// <param name="Silo">Which silo, by its place in the order of names.</param>
/// <param name="Other">Another one: killed too by KillTwo, else the target of the migration.</param>
/// <param name="Guest">The guest that is on its way to <paramref name="Other"/> meanwhile; null: none.</param>
/// <param name="Before">From the beginning of the migration to what happens to the silo.</param>
/// <param name="Lasting">How long a silo stays frozen or cut off: shorter than a lease, or longer.</param>
internal sealed record ChaosStep(int Number, Disturbance What, int Silo, int Other, int? Guest, TimeSpan Before, TimeSpan Lasting)
{
    public static ChaosStep Draw(Random random, int number, int silos, int guests)
    {
        // Always the same number of draws.
        int what = random.Next(100), silo = random.Next(silos), other = random.Next(1, silos), guest = random.Next(2 * guests), before = random.Next(1500), lasting = random.Next(300, 8000);
        return new ChaosStep(
            number,
            what < 10 ? Disturbance.None : what < 45 ? Disturbance.Kill : what < 55 ? Disturbance.KillTwo : what < 80 ? Disturbance.Freeze : Disturbance.Cut,
            silo,
            (silo + other) % silos,
            guest < guests ? guest : null,
            TimeSpan.FromMilliseconds(before),
            TimeSpan.FromMilliseconds(lasting));
    }

    public string Describe(string silo, string other) => string.Create(CultureInfo.InvariantCulture, $"step {Number}: ")
        + (Guest is { } guest ? string.Create(CultureInfo.InvariantCulture, $"guest-{guest + 1} moves to {other}; after {Before.TotalMilliseconds:0} ms ") : "")
        + What switch
        {
            Disturbance.Kill => $"{silo} is killed",
            Disturbance.KillTwo => $"{silo} and {other} are killed",
            Disturbance.Freeze => string.Create(CultureInfo.InvariantCulture, $"{silo} is frozen for {Lasting.TotalSeconds:0.0} s"),
            Disturbance.Cut => string.Create(CultureInfo.InvariantCulture, $"{silo} is cut from the store for {Lasting.TotalSeconds:0.0} s"),
            _ => "nothing",
        };
}
