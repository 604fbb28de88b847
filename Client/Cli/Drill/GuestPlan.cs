using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill;

/// <summary>A guest to move about: what it is, how long it may take to come up, whether it helps.</summary>
internal sealed record GuestPlan(string Name, string VmName, VmDefinition Definition, bool Cooperate, TimeSpan BootLimit);

/// <summary>How the drill treats every guest.</summary>
internal sealed record DrillPlan
{
    /// <summary>Moves a guest makes, back and forth.</summary>
    public required int Moves { get; init; }

    /// <summary>A fault to plant in the first move of each guest.</summary>
    public required string? Inject { get; init; }

    /// <summary>Ticks the guest must report before, between and after moves, drawn by <see cref="Random"/>.</summary>
    public int LeastTicks { get; init; } = 3;

    public int MostTicks { get; init; } = 8;

    public required Random Random { get; init; }

    /// <summary>How long these may take.</summary>
    public TimeSpan TickLimit { get; init; } = TimeSpan.FromSeconds(60);
}
