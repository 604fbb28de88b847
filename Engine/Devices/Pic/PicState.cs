using MessagePack;

namespace Godwit.Engine.Devices.Pic;

/// <summary>The saved state of the two 8259s. Keys are append-only.</summary>
[MessagePackObject]
public sealed record PicState
{
    [Key(0)]
    public required PicChipState Master { get; init; }

    [Key(1)]
    public required PicChipState Slave { get; init; }
}

/// <summary>One 8259's registers; masks have one bit an input.</summary>
[MessagePackObject]
public sealed record PicChipState
{
    [Key(0)]
    public required byte Requests { get; init; }

    [Key(1)]
    public required byte InService { get; init; }

    [Key(2)]
    public required byte Mask { get; init; }

    [Key(3)]
    public required byte Inputs { get; init; }

    /// <summary>ELCR: which inputs are level-triggered.</summary>
    [Key(4)]
    public required byte LevelTriggered { get; init; }

    [Key(5)]
    public required byte VectorBase { get; init; }

    /// <summary>The input with the highest priority, 0 to 7.</summary>
    [Key(6)]
    public required byte HighestPriority { get; init; }

    /// <summary>The initialisation word that the data port expects next, 2 to 4; 0 outside initialisation.</summary>
    [Key(7)]
    public required byte ExpectedWord { get; init; }

    [Key(8)]
    public required bool NeedsWord4 { get; init; }

    [Key(9)]
    public required bool Single { get; init; }

    [Key(10)]
    public required bool AutoEoi { get; init; }

    [Key(11)]
    public required bool RotateOnAutoEoi { get; init; }

    [Key(12)]
    public required bool SpecialMask { get; init; }

    [Key(13)]
    public required bool SpecialFullyNested { get; init; }

    [Key(14)]
    public required bool ReadsInService { get; init; }

    [Key(15)]
    public required bool Poll { get; init; }
}
