using System.Buffers;
using Godwit.Engine.Memory;
using MessagePack;

namespace Godwit.Engine.Migration;

/// <summary>
/// Faults that a drill plants to show that its checks would catch them. Each is a failure that migration itself, by
/// construction, does not make; none is reachable without <see cref="MigrationOptions.Inject"/>.
/// </summary>
internal sealed class FaultInjection
{
    /// <summary>One page of the final round is not sent, and verification neither covers it nor enforces the RAM hash.</summary>
    public const string LostPage = "lost-page";

    /// <summary>The target's guest clock goes on from before the stop.</summary>
    public const string ClockBack = "clock-back";

    /// <summary>The source runs on although the target has committed.</summary>
    public const string DoubleRun = "double-run";

    /// <summary>The newest bytes of the console are lost from the state in flight.</summary>
    public const string ConsoleGap = "console-gap";

    /// <summary>How far clock-back sets the clock back: more than any move takes, so that every guest notices.</summary>
    public static readonly TimeSpan ClockStep = TimeSpan.FromSeconds(-5);

    private const string ConsoleTag = "console";
    private const int GapBytes = 64;
    private const int MostLooks = 500;

    private readonly string? _fault;

    public FaultInjection(string? fault)
    {
        if (fault is not null && !IsKnown(fault))
            throw new ArgumentException($"unknown fault '{fault}'; there are {LostPage}, {ClockBack}, {DoubleRun} and {ConsoleGap}", nameof(fault));
        _fault = fault;
    }

    public static bool IsKnown(string fault) => fault is LostPage or ClockBack or DoubleRun or ConsoleGap;

    /// <summary>Whether a RAM hash that differs is only reported.</summary>
    public bool ToleratesWrongMemory => _fault == LostPage;

    public bool RunsSourceOn => _fault == DoubleRun;

    /// <summary>What the target's clock is moved on by.</summary>
    public TimeSpan ClockAdvance(TimeSpan elapsed) => _fault == ClockBack ? ClockStep : elapsed;

    /// <summary>
    /// Before the final round, guest stopped: the page to lose, taken out of <paramref name="pending"/>. It is one whose
    /// contents differ from what the target has, so that the loss is one; null where there is none.
    /// </summary>
    public PageNumber? TakeLostPage(PageBitmap pending, PageHashTree sent, GuestMemory memory)
    {
        if (_fault != LostPage)
            return null;
        byte[] contents = new byte[PageNumber.Size];
        foreach (PageNumber page in pending.Pages())
        {
            if (memory.Dirty.IsFree(page) || !memory.IsAllocated(page) || !memory.TryRead(page.Address, contents))
                continue;
            if (PageHashTree.HashPage(contents) == sent.Get(page))
                continue;
            pending.Remove(page);
            return page;
        }
        return null;
    }

    /// <summary>
    /// Where the final round has nothing to lose: an allocated page that the target has, to be overwritten there with
    /// zeros.
    /// </summary>
    public static PageNumber? PageToWipe(PageHashTree sent, GuestMemory memory)
    {
        foreach (PageRange extent in memory.AllocatedExtents())
            for (ulong page = extent.First.Value; page < extent.End.Value; page++)
                if (sent.Get(new PageNumber(page)) != UInt128.Zero && !memory.Dirty.IsFree(new PageNumber(page)))
                    return new PageNumber(page);
        return null;
    }

    /// <summary>double-run: lets the source, resumed after the commit, really run, and ends it then.</summary>
    public static async Task RunOnAsync(IMigratableMachine machine)
    {
        // Until its clock moves; a machine that has been refused the right to run must not keep the move waiting.
        ulong then = machine.GuestNanoseconds;
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(1));
        for (int i = 0; i < MostLooks && machine.GuestNanoseconds == then; i++)
            await look.WaitForNextTickAsync().ConfigureAwait(false);
        await machine.PauseAsync().ConfigureAwait(false);
    }

    /// <summary>The sections as they go out: with console-gap, the console has forgotten its newest bytes and their count.</summary>
    public IReadOnlyList<StateSection> Tamper(IReadOnlyList<StateSection> sections)
    {
        if (_fault != ConsoleGap)
            return sections;
        return [.. sections.Select(section => section.Tag == ConsoleTag ? section with { Payload = CutConsole(section.Payload) } : section)];
    }

    // The console's record begins with the number of bytes since boot and the newest of them; what follows is kept.
    private static byte[] CutConsole(ReadOnlyMemory<byte> payload)
    {
        MessagePackReader reader = new(payload);
        int fields = reader.ReadArrayHeader();
        long end = reader.ReadInt64();
        byte[] newest = reader.ReadBytes()?.ToArray() ?? [];
        int gap = Math.Min(GapBytes, newest.Length);
        // A full ring stays full: zeros take the place of older bytes.
        byte[] kept = end > newest.Length ? [.. new byte[gap], .. newest[..^gap]] : newest[..^gap];

        ArrayBufferWriter<byte> cut = new();
        MessagePackWriter writer = new(cut);
        writer.WriteArrayHeader(fields);
        writer.Write(end - gap);
        writer.Write(kept);
        writer.WriteRaw(payload.Span[(int)reader.Consumed..]);
        writer.Flush();
        return cut.WrittenSpan.ToArray();
    }
}
