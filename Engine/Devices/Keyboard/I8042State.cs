using MessagePack;

namespace Godwit.Engine.Devices.Keyboard;

/// <summary>The keyboard controller's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record I8042State
{
    /// <summary>The controller's command byte.</summary>
    [Key(0)]
    public required byte Configuration { get; init; }

    /// <summary>The answer that waits at port 0x60; null when none does.</summary>
    [Key(1)]
    public required byte? Output { get; init; }

    /// <summary>The command whose parameter port 0x60 takes next; 0 for none.</summary>
    [Key(2)]
    public required byte Command { get; init; }
}
