using MessagePack;

namespace Godwit.Engine.Devices.Power;

/// <summary>The reset port's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record ResetPortState
{
    [Key(0)]
    public required byte Value { get; init; }
}
