namespace Godwit.Engine.Paravirt;

/// <summary>Where a guest's hypercalls have effects outside the machine. Called under the machine lock; must not block.</summary>
public interface IHypercallSink
{
    /// <summary>Console output, at most <see cref="Hypercalls.MaxConsoleBytes"/>; the span is good for the call only.</summary>
    void ConsoleBytes(ReadOnlySpan<byte> bytes);

    /// <summary>A mark for the timeline. A guest may send as many as it likes: the receiver bounds what it keeps.</summary>
    void Logged(ulong code, ulong value);
}
