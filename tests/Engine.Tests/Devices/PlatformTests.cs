using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Ioapic;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Devices.Platform;
using MessagePack;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class PlatformTests
{
    private static readonly MessagePackSerializerOptions Untrusted =
        MessagePackSerializerOptions.Standard.WithSecurity(MessagePackSecurity.UntrustedData);

    private readonly ManualClock _clock = new();
    private readonly Bus _bus = new();
    private readonly RecordingMachine _machine = new();
    private readonly PcPlatform _pc;
    private int _wakes;

    public PlatformTests() => _pc = new PcPlatform([_bus], _clock, _clock.Timers, _machine, _machine, _ => _wakes++);

    private LocalApic Apic => _pc.LocalApics[0];

    private void Out(ushort port, byte value) => _bus.WritePort(port, 1, value);

    private void Redirect(int pin, uint low)
    {
        _bus.WriteMmio(IoApic.DefaultBase, 4, (uint)(0x10 + 2 * pin));
        _bus.WriteMmio(IoApic.DefaultBase + 0x10, 4, low);
    }

    private void StartPit(byte control, ushort count)
    {
        Out(0x43, control);
        Out(0x40, (byte)count);
        Out(0x40, (byte)(count >> 8));
    }

    private void InitialisePic(byte mask)
    {
        byte[] words = [0x11, 0x20, 0x04, 0x01, mask];
        Out(0x20, words[0]);
        foreach (byte word in words[1..])
            Out(0x21, word);
    }

    [Fact]
    public void ThePitInterruptsThroughThe8259InVirtualWireMode()
    {
        InitialisePic(mask: 0xfe);
        StartPit(0x34, 1193);
        _clock.Advance(1_000_000);
        Assert.True(Apic.HasInterrupt);
        Assert.Equal(1, _wakes);
        Assert.Equal(0x20, Apic.Acknowledge());
        Assert.False(Apic.HasInterrupt);
        Out(0x20, 0x20);
        _clock.Advance(1_000_000);
        Assert.Equal(0x20, Apic.Acknowledge());
    }

    [Fact]
    public void ThePitInterruptsThroughPinTwoOfTheIoApic()
    {
        Redirect(2, 0x0030);
        StartPit(0x34, 1193);
        _clock.Advance(1_000_000);
        Assert.Equal(0x30, Apic.Acknowledge());
        _bus.WriteMmio(LocalApic.DefaultBase + 0xb0, 4, 0);
        _clock.Advance(1_000_000);
        Assert.Equal(0x30, Apic.Acknowledge());
    }

    [Fact]
    public void AMaskedPitWakesNobodyAndIsTimelyAgainWhenUnmasked()
    {
        Redirect(2, 0x0030);
        StartPit(0x34, 1193);
        // Mode 2 raised the output at once.
        Assert.Equal(0x30, Apic.Acknowledge());
        _bus.WriteMmio(LocalApic.DefaultBase + 0xb0, 4, 0);
        Redirect(2, 0x10030);
        _clock.Advance(2_000_000);
        Assert.Null(_clock.Timers.NextDeadline);
        Assert.Equal(-1, Apic.Acknowledge());
        Redirect(2, 0x0030);
        ulong next = _clock.Timers.NextDeadline!.Value;
        Assert.InRange(next, _clock.Nanoseconds, _clock.Nanoseconds + 1_000_000);
        // What passed while the pin was masked is lost, as an edge on a masked pin is.
        Assert.Equal(-1, Apic.Acknowledge());
        _clock.Advance(1_000_000);
        Assert.Equal(0x30, Apic.Acknowledge());
    }

    [Fact]
    public void AMaskedPitEdgeWaitsInThe8259()
    {
        InitialisePic(mask: 0xff);
        StartPit(0x34, 1193);
        _clock.Advance(5_000_000);
        Assert.Equal(-1, Apic.Acknowledge());
        Out(0x20, 0x0a);
        Assert.Equal(1u, _bus.ReadPort(0x20, 1) & 1);
        Out(0x21, 0xfe);
        Assert.Equal(0x20, Apic.Acknowledge());
    }

    /// <summary>How Linux 6.1 shuts the PIT down once it has a better timer: nothing stays armed.</summary>
    [Fact]
    public void AShutDownPitLeavesTheMachineIdle()
    {
        Redirect(2, 0x0030);
        StartPit(0x34, 1193);
        StartPit(0x30, 0);
        _clock.Advance(60_000_000);
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void ALevelTriggeredSciComesAgainUntilItsStatusIsCleared()
    {
        Redirect(9, 0x8039);
        _bus.WritePort(0x602, 2, 0x0100);
        _pc.Pm.PressPowerButton();
        Assert.Equal(0x39, Apic.Acknowledge());
        _bus.WriteMmio(LocalApic.DefaultBase + 0xb0, 4, 0);
        Assert.Equal(0x39, Apic.Acknowledge());
        _bus.WritePort(0x600, 2, 0x0100);
        _bus.WriteMmio(LocalApic.DefaultBase + 0xb0, 4, 0);
        Assert.Equal(-1, Apic.Acknowledge());
    }

    [Fact]
    public void TypedInputInterruptsOnLineFour()
    {
        Redirect(4, 0x0034);
        Out(0x3fc, 0x08);
        Out(0x3f9, 0x01);
        _pc.Uart.Receive("y"u8);
        Assert.Equal(0x34, Apic.Acknowledge());
        Assert.Equal((uint)'y', _bus.ReadPort(0x3f8, 1));
    }

    [Fact]
    public void ThereIsNoPci()
    {
        _bus.WritePort(0xcf8, 4, 0x80000000);
        Assert.Equal(uint.MaxValue, _bus.ReadPort(0xcf8, 4));
        Assert.Equal(0xffffu, _bus.ReadPort(0xcfc, 2));
        Assert.Empty(_machine.Ends);
    }

    [Theory]
    [InlineData(0xcf9, 0x06, "reset")]
    [InlineData(0x64, 0xfe, "reset")]
    [InlineData(0xf4, 0x00, "exit 1")]
    [InlineData(0x605, 0x34, "power off")]
    public void TheGuestCanEndItsMachine(ushort port, byte value, string end)
    {
        Out(port, value);
        Assert.Equal([end], _machine.Ends);
    }

    /// <summary>Whatever a guest writes, devices neither throw nor forget anything over a save and a load.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(20261122)]
    [InlineData(-7)]
    public void AFuzzedPlatformRoundTripsAndGoesOnAlike(int seed)
    {
        Random random = new(seed);
        Fuzz(random, _bus, _clock, _pc, 8_000);
        for (int round = 0; round < 20; round++)
        {
            Fuzz(random, _bus, _clock, _pc, 500);
            byte[] saved = MessagePackSerializer.Serialize(_pc.SaveState(), Untrusted);
            ManualClock clock = new() { Nanoseconds = _clock.Nanoseconds };
            Bus bus = new();
            PcPlatform copy = new([bus], clock, clock.Timers, _machine, _machine, _ => { });
            copy.LoadState(MessagePackSerializer.Deserialize<PlatformState>(saved, Untrusted));
            Assert.True(saved.AsSpan().SequenceEqual(MessagePackSerializer.Serialize(copy.SaveState(), Untrusted)), $"seed {seed}, round {round}");
            Assert.Equal(Apic.HasInterrupt, copy.LocalApics[0].HasInterrupt);

            int next = random.Next();
            Fuzz(new Random(next), bus, clock, copy, 500);
            Fuzz(new Random(next), _bus, _clock, _pc, 500);
            byte[] one = MessagePackSerializer.Serialize(_pc.SaveState(), Untrusted);
            byte[] other = MessagePackSerializer.Serialize(copy.SaveState(), Untrusted);
            Assert.True(one.AsSpan().SequenceEqual(other), $"seed {seed}, round {round}: {MessagePackSerializer.ConvertToJson(one)}\n{MessagePackSerializer.ConvertToJson(other)}");
        }
    }

    [Theory]
    [MemberData(nameof(GoldenStates.Platforms), MemberType = typeof(GoldenStates))]
    public void StatesOfEarlierVersionsAreRead(ulong nanoseconds, string saved)
    {
        _clock.Nanoseconds = nanoseconds;
        _pc.LoadState(MessagePackSerializer.Deserialize<PlatformState>(Convert.FromBase64String(saved), Untrusted));
        Assert.Equal(saved, Convert.ToBase64String(MessagePackSerializer.Serialize(_pc.SaveState(), Untrusted)));
    }

    private static void Fuzz(Random random, Bus bus, ManualClock clock, PcPlatform pc, int steps)
    {
        ushort[] ports = [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60, 0x64, 0x80, 0xf4, 0xcf9,
            0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x600, 0x602, 0x604, 0x608, 0x609];
        for (int step = 0; step < steps; step++)
        {
            ushort port = ports[random.Next(ports.Length)];
            int size = 1 << random.Next(3);
            ulong value = (ulong)random.NextInt64();
            ulong register = (ulong)random.Next(0x40) << 4;
            switch (random.Next(9))
            {
                case 0 or 1:
                    bus.WritePort(port, size, (uint)value);
                    break;
                case 2:
                    bus.ReadPort(port, size);
                    break;
                case 3:
                    bus.WriteMmio(LocalApic.DefaultBase + register, 4, value);
                    break;
                case 4:
                    bus.ReadMmio(LocalApic.DefaultBase + register, size);
                    break;
                case 5:
                    bus.WriteMmio(IoApic.DefaultBase, 4, value % 0x42);
                    bus.WriteMmio(IoApic.DefaultBase + 0x10, 4, value >> 8 & ~0x700ul);
                    break;
                case 6:
                    clock.Nanoseconds += (ulong)random.Next(3) switch { 0 => 100, 1 => 100_000, _ => 700_000_000 };
                    clock.Timers.RunDue();
                    break;
                case 7:
                    pc.Uart.Receive(new byte[random.Next(20)]);
                    break;
                default:
                    pc.LocalApics[0].Acknowledge();
                    break;
            }
        }
    }
}
