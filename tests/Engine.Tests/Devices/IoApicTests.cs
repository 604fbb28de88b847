using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Ioapic;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class IoApicTests : IApicBus
{
    private readonly List<InterruptMessage> _sent = [];
    private readonly IoApic _ioApic;

    public IoApicTests() => _ioApic = new IoApic(this);

    private bool Accepts { get; set; } = true;

    bool IApicBus.Send(InterruptMessage message)
    {
        _sent.Add(message);
        return Accepts;
    }

    void IApicBus.Send(InterruptMessage message, DestinationShorthand shorthand, IApicTarget sender) => Assert.Fail("an I/O APIC has no shorthands");

    void IApicBus.EndOfInterrupt(byte vector) => Assert.Fail("an I/O APIC ends nothing");

    private void WriteRegister(byte index, uint value)
    {
        _ioApic.WriteMmio(0x00, 4, index);
        _ioApic.WriteMmio(0x10, 4, value);
    }

    private uint ReadRegister(byte index)
    {
        _ioApic.WriteMmio(0x00, 4, index);
        return (uint)_ioApic.ReadMmio(0x10, 4);
    }

    private void Redirect(int pin, uint low, byte destination = 0)
    {
        WriteRegister((byte)(0x11 + 2 * pin), (uint)destination << 24);
        WriteRegister((byte)(0x10 + 2 * pin), low);
    }

    [Fact]
    public void ItHas24MaskedPinsAtFirst()
    {
        Assert.Equal(0x00170020u, ReadRegister(1));
        for (int pin = 0; pin < IoApic.PinCount; pin++)
            Assert.Equal(0x10000u, ReadRegister((byte)(0x10 + 2 * pin)));
        _ioApic.SetInput(4, true);
        Assert.Empty(_sent);
    }

    [Fact]
    public void AnEdgeIsSentOnceOnTheRise()
    {
        Redirect(4, 0x0931, destination: 3);
        _ioApic.SetInput(4, true);
        _ioApic.SetInput(4, true);
        _ioApic.SetInput(4, false);
        InterruptMessage message = Assert.Single(_sent);
        Assert.Equal(new InterruptMessage(3, true, DeliveryMode.LowestPriority, 0x31, false), message);
    }

    [Fact]
    public void AMaskedEdgeIsLost()
    {
        Redirect(4, 0x10031);
        _ioApic.SetInput(4, true);
        Redirect(4, 0x00031);
        Assert.Empty(_sent);
    }

    [Fact]
    public void ALevelIsSentAgainAfterItsEndWhileItLasts()
    {
        Redirect(9, 0x8039);
        _ioApic.SetInput(9, true);
        _ioApic.SetInput(9, true);
        Assert.True(Assert.Single(_sent).Level);
        Assert.Equal(0xc039u, ReadRegister(0x10 + 18));
        _ioApic.EndOfInterrupt(0x39);
        Assert.Equal(2, _sent.Count);
        _ioApic.SetInput(9, false);
        _ioApic.EndOfInterrupt(0x39);
        Assert.Equal(2, _sent.Count);
        Assert.Equal(0x8039u, ReadRegister(0x10 + 18));
    }

    [Fact]
    public void AnUnmaskedLevelThatIsAssertedIsSent()
    {
        Redirect(9, 0x18039);
        _ioApic.SetInput(9, true);
        Assert.Empty(_sent);
        Redirect(9, 0x8039);
        Assert.Single(_sent);
    }

    [Fact]
    public void ALevelNobodyTakesIsNotRemembered()
    {
        Accepts = false;
        Redirect(9, 0x8039);
        _ioApic.SetInput(9, true);
        Assert.Equal(0x8039u, ReadRegister(0x10 + 18));
    }

    [Fact]
    public void TheEoiRegisterEndsALevel()
    {
        Redirect(9, 0x8039);
        _ioApic.SetInput(9, true);
        _ioApic.SetInput(9, false);
        _ioApic.WriteMmio(0x40, 4, 0x39);
        Assert.Equal(0x8039u, ReadRegister(0x10 + 18));
    }

    [Fact]
    public void MakingAnEntryEdgeTriggeredClearsRemoteIrr()
    {
        Redirect(9, 0x8039);
        _ioApic.SetInput(9, true);
        Redirect(9, 0x10039);
        Assert.Equal(0x10039u, ReadRegister(0x10 + 18));
    }

    [Fact]
    public void Destination255IsEveryone()
    {
        Redirect(4, 0x0031, destination: 0xff);
        _ioApic.SetInput(4, true);
        Assert.Equal(ApicBus.Broadcast, Assert.Single(_sent).Destination);
    }

    [Fact]
    public void RegistersThatDoNotExistAreHarmless()
    {
        for (int index = 0; index < 256; index++)
        {
            WriteRegister((byte)index, 0xffffffff);
            ReadRegister((byte)index);
        }
        Assert.Equal(0u, ReadRegister(0xff));
        Assert.Equal(0ul, _ioApic.ReadMmio(0x800, 4));
    }
}
