using Godwit.Engine.Devices;
using Godwit.Engine.Paravirt;

namespace Godwit.Engine.Tests.Paravirt;

internal sealed class FakeVcpu : IHypercallContext
{
    public ulong Rax { get; set; }

    public ulong Rbx { get; set; }

    public ulong Rcx { get; set; }

    public ulong Rsi { get; set; }

    public int Cpl { get; set; }
}

internal sealed class FakeClock(ulong tscHz) : IGuestClock
{
    public ulong Nanoseconds => (ulong)((UInt128)Tsc * 1_000_000_000 / TscHz);

    public ulong Tsc { get; set; }

    public ulong TscHz => tscHz;

    public ulong WallNanoseconds { get; set; }
}

internal sealed class RecordingSink : IHypercallSink
{
    public List<byte> Console { get; } = [];

    public List<(ulong Code, ulong Value)> Marks { get; } = [];

    public void ConsoleBytes(ReadOnlySpan<byte> bytes) => Console.AddRange(bytes);

    public void Logged(ulong code, ulong value) => Marks.Add((code, value));
}
