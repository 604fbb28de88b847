using System.Collections.Concurrent;

namespace Godwit.Engine.Memory;

/// <summary>A thread that writes guest memory and may cache the permission to do so without marking (a vCPU with its software TLB).</summary>
public interface IDirtyWriter
{
    /// <summary>
    /// Drops every cached write permission and returns once the writer has passed a safe point since the call: every
    /// store made under an old permission is in memory, and the next write to any page marks again.
    /// </summary>
    void RevokeWritePermissions();
}

/// <summary>One log of written pages, fanned out to every open session (migration, checkpoint, oracle).</summary>
public sealed class DirtyLog(int pageCount)
{
    private readonly ConcurrentDictionary<IDirtyWriter, byte> _writers = new();

    /// <summary>Pages the log covers.</summary>
    public int PageCount { get; } = pageCount;

    /// <summary>Adds a writer that every collection must wait for.</summary>
    public void Attach(IDirtyWriter writer) => _writers.TryAdd(writer, 0);

    /// <summary>Removes a writer; it must not write any more.</summary>
    public void Detach(IDirtyWriter writer) => _writers.TryRemove(writer, out _);

    /// <summary>Marks a page written in every open session. Any thread.</summary>
    public void Mark(PageNumber page) => ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(page.Value, (ulong)PageCount);
}
