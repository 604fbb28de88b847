namespace Godwit.Linux.Tests.Facts;

/// <summary>The Linux guest cannot be had on this machine; the message is one line.</summary>
public sealed class GuestUnavailableException(string reason, Exception inner) : Exception(reason, inner);
