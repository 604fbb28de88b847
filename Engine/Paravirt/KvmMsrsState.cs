using MessagePack;

namespace Godwit.Engine.Paravirt;

/// <summary>Saved state of <see cref="KvmMsrs"/>: the MSRs as the guest wrote them. Keys are append-only.</summary>
[MessagePackObject]
public sealed record KvmMsrsState
{
    [Key(0)]
    public required ulong WallClock { get; init; }

    [Key(1)]
    public required ulong SystemTime { get; init; }

    [Key(2)]
    public required ulong PvEoi { get; init; }
}
