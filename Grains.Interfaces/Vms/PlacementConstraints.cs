namespace Godwit.Grains.Interfaces.Vms;

/// <summary>Where a VM may run: held at every start and every move, whoever asks for it.</summary>
[GenerateSerializer, Alias("Godwit.PlacementConstraints"), Immutable]
public sealed record PlacementConstraints
{
    public const int MaxEntries = 16;

    public static PlacementConstraints None { get; } = new();

    /// <summary>Labels that its silo must have.</summary>
    [Id(0)]
    public IReadOnlyDictionary<string, string> Labels { get; init; } = new Dictionary<string, string>();

    /// <summary>Groups of which a silo holds one VM at most.</summary>
    [Id(1)]
    public IReadOnlyList<string> AntiAffinity { get; init; } = [];

    /// <summary>Name of the only silo on which it may run; null: any.</summary>
    [Id(2)]
    public string? Silo { get; init; }
}
