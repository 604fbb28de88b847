using MessagePack;

namespace Godwit.Engine.Devices.DebugPort;

/// <summary>The self-test port's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record PostPortState
{
    [Key(0)]
    public required byte Code { get; init; }
}
