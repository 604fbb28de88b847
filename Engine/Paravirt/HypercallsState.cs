using MessagePack;

namespace Godwit.Engine.Paravirt;

/// <summary>Saved state of <see cref="Hypercalls"/>. Keys are append-only.</summary>
[MessagePackObject]
public sealed record HypercallsState
{
    /// <summary>Guest physical address of the shared page; null where the guest has not subscribed.</summary>
    [Key(0)]
    public required ulong? SubscribedAddress { get; init; }

    /// <summary>Interrupt vector, 32 to 255; 0 for none.</summary>
    [Key(1)]
    public required uint Vector { get; init; }

    /// <summary>A <see cref="Migration.MigrationEvent"/>.</summary>
    [Key(2)]
    public required int Event { get; init; }

    [Key(3)]
    public required uint Changes { get; init; }

    /// <summary>Whether the guest has called Subscribe or Poll.</summary>
    [Key(4)]
    public required bool Cooperative { get; init; }

    /// <summary>What became of the last move, for a Ready that comes too late.</summary>
    [Key(5)]
    public required bool LastMoved { get; init; }

    /// <summary>vCPUs that wait in Ready.</summary>
    [Key(6)]
    public required int[] PendingReady { get; init; }
}
