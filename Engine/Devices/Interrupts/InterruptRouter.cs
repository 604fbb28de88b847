namespace Godwit.Engine.Devices.Interrupts;

/// <summary>The inputs of an interrupt controller.</summary>
public interface IInterruptInputs
{
    void SetInput(int pin, bool level);

    /// <summary>Whether a change on this input goes unnoticed by the processor for now.</summary>
    bool IsMasked(int pin);

    /// <summary>
    /// Called just before software unmasks the input or looks at its request: whoever drives it lazily must bring it up to date.
    /// </summary>
    Action<int>? Observing { get; set; }
}

/// <summary>An interrupt line that tells its driver whether anyone watches it, so that a free-running timer need not wake an idle host.</summary>
public interface IObservedLine : IInterruptLine
{
    bool IsObserved { get; }

    /// <summary>Called just before an unobserved line comes to be observed.</summary>
    Action? Observing { get; set; }
}

/// <summary>
/// Gives each global system interrupt 0 to 23 a line. As on a PC, 0 to 15 reach the 8259 pair too, and interrupt 0
/// (the 8254) is wired to pin 2 of the I/O APIC, which the MADT says in an interrupt source override.
/// </summary>
public sealed class InterruptRouter
{
    /// <summary>Lines in all.</summary>
    public const int LineCount = 24;

    /// <summary>The I/O APIC pin to which ISA interrupt 0 is wired.</summary>
    public const int TimerPin = 2;

    private const int PicInputs = 16;

    private readonly IInterruptInputs _pic;
    private readonly IInterruptInputs _ioApic;
    private readonly RoutedLine[] _lines = new RoutedLine[LineCount];

    public InterruptRouter(IInterruptInputs pic, IInterruptInputs ioApic)
    {
        _pic = pic;
        _ioApic = ioApic;
        for (int line = 0; line < LineCount; line++)
            _lines[line] = new RoutedLine(this, line);
        pic.Observing = pin => _lines[pin].Observing?.Invoke();
        ioApic.Observing = pin => _lines[pin == TimerPin ? 0 : pin].Observing?.Invoke();
    }

    /// <summary>The line of a global system interrupt. 2 is the cascade between the 8259s and has none.</summary>
    public IObservedLine Line(int interrupt)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(interrupt);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(interrupt, LineCount);
        ArgumentOutOfRangeException.ThrowIfEqual(interrupt, TimerPin);
        return _lines[interrupt];
    }

    private static int IoApicPin(int line) => line == 0 ? TimerPin : line;

    private sealed class RoutedLine(InterruptRouter router, int line) : IObservedLine
    {
        public bool IsObserved => (line < PicInputs && !router._pic.IsMasked(line)) || !router._ioApic.IsMasked(IoApicPin(line));

        public Action? Observing { get; set; }

        public void Set(bool level)
        {
            if (line < PicInputs)
                router._pic.SetInput(line, level);
            router._ioApic.SetInput(IoApicPin(line), level);
        }
    }
}
