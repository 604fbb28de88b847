namespace Godwit.Engine.Paravirt;

/// <summary>The page that a guest names with Subscribe: two 32-bit words that the host writes, the rest is the guest's.</summary>
public static class SubscriptionPage
{
    /// <summary>Offset of the current event, a <see cref="Migration.MigrationEvent"/>.</summary>
    public const int Event = 0;

    /// <summary>Offset of a count of the changes so far (modulo 2^32), so that an event that came twice is seen twice.</summary>
    public const int Changes = 4;

    /// <summary>Bytes that the host writes.</summary>
    public const int Bytes = 8;
}
