using Godwit.Engine.Devices.Pic;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class PicTests
{
    private readonly RecordingLine _output = new();
    private readonly Pic8259 _pic;

    public PicTests()
    {
        _pic = new Pic8259(_output);
        Initialise(masterWord4: 0x01);
    }

    private void Initialise(byte masterWord4)
    {
        byte[] master = [0x20, 0x04, masterWord4, 0x00], slave = [0x28, 0x02, 0x01, 0x00];
        _pic.MasterPorts.WritePort(0, 1, 0x11);
        _pic.SlavePorts.WritePort(0, 1, 0x11);
        for (int i = 0; i < 4; i++)
        {
            _pic.MasterPorts.WritePort(1, 1, master[i]);
            _pic.SlavePorts.WritePort(1, 1, slave[i]);
        }
    }

    private void Pulse(int input)
    {
        _pic.SetInput(input, false);
        _pic.SetInput(input, true);
    }

    private void EndOfInterrupt(bool slave)
    {
        if (slave)
            _pic.SlavePorts.WritePort(0, 1, 0x20);
        _pic.MasterPorts.WritePort(0, 1, 0x20);
    }

    [Theory]
    [InlineData(0, 0x20)]
    [InlineData(1, 0x21)]
    [InlineData(7, 0x27)]
    [InlineData(8, 0x28)]
    [InlineData(15, 0x2f)]
    public void AnEdgeIsDeliveredOnceWithItsVector(int input, int vector)
    {
        Pulse(input);
        Assert.True(_output.Level);
        Assert.Equal(vector, _pic.AcknowledgeVector());
        Assert.False(_output.Level);
        EndOfInterrupt(input >= 8);
        Assert.False(_output.Level);
        _pic.SetInput(input, true);
        Assert.False(_output.Level);
        Pulse(input);
        Assert.True(_output.Level);
    }

    [Fact]
    public void BeforeInitialisationEverythingIsMasked()
    {
        RecordingLine output = new();
        Pic8259 pic = new(output);
        pic.SetInput(0, true);
        Assert.False(output.Level);
        Assert.Equal(0xffu, pic.MasterPorts.ReadPort(1, 1));
    }

    [Fact]
    public void LowerPrioritiesWaitForTheEndOfInterrupt()
    {
        Pulse(4);
        Pulse(1);
        Assert.Equal(0x21, _pic.AcknowledgeVector());
        Assert.False(_output.Level);
        EndOfInterrupt(slave: false);
        Assert.True(_output.Level);
        Assert.Equal(0x24, _pic.AcknowledgeVector());
    }

    [Fact]
    public void AHigherPriorityInterruptsALowerOne()
    {
        Pulse(4);
        Assert.Equal(0x24, _pic.AcknowledgeVector());
        Pulse(3);
        Assert.True(_output.Level);
        Assert.Equal(0x23, _pic.AcknowledgeVector());
    }

    [Fact]
    public void AMaskedEdgeIsRememberedUntilUnmasked()
    {
        _pic.MasterPorts.WritePort(1, 1, 0x10);
        Pulse(4);
        Assert.False(_output.Level);
        _pic.MasterPorts.WritePort(1, 1, 0x00);
        Assert.Equal(0x24, _pic.AcknowledgeVector());
    }

    [Fact]
    public void ALevelTriggeredInputAsksUntilItFalls()
    {
        _pic.TriggerPorts.WritePort(1, 1, 0x02);
        _pic.SetInput(9, true);
        Assert.Equal(0x29, _pic.AcknowledgeVector());
        EndOfInterrupt(slave: true);
        Assert.True(_output.Level);
        Assert.Equal(0x29, _pic.AcknowledgeVector());
        _pic.SetInput(9, false);
        EndOfInterrupt(slave: true);
        Assert.False(_output.Level);
    }

    [Fact]
    public void SystemInputsCannotBeMadeLevelTriggered()
    {
        _pic.TriggerPorts.WritePort(0, 2, 0xffff);
        Assert.Equal(0xdef8u, _pic.TriggerPorts.ReadPort(0, 2));
    }

    [Fact]
    public void ARequestThatGoesAwayGivesASpuriousVector()
    {
        _pic.TriggerPorts.WritePort(0, 1, 0x20);
        _pic.SetInput(5, true);
        _pic.SetInput(5, false);
        Assert.Equal(0x27, _pic.AcknowledgeVector());
        _pic.MasterPorts.WritePort(0, 1, 0x0b);
        Assert.Equal(0u, _pic.MasterPorts.ReadPort(0, 1));
    }

    [Fact]
    public void TheInServiceAndRequestRegistersCanBeRead()
    {
        Pulse(3);
        Pulse(6);
        _pic.AcknowledgeVector();
        _pic.MasterPorts.WritePort(0, 1, 0x0a);
        Assert.Equal(0x40u, _pic.MasterPorts.ReadPort(0, 1));
        _pic.MasterPorts.WritePort(0, 1, 0x0b);
        Assert.Equal(0x08u, _pic.MasterPorts.ReadPort(0, 1));
    }

    [Fact]
    public void PollingAcknowledges()
    {
        Pulse(6);
        _pic.MasterPorts.WritePort(0, 1, 0x0c);
        Assert.Equal(0x86u, _pic.MasterPorts.ReadPort(0, 1));
        Assert.False(_output.Level);
        _pic.MasterPorts.WritePort(0, 1, 0x0c);
        Assert.Equal(0u, _pic.MasterPorts.ReadPort(0, 1));
    }

    [Fact]
    public void ASpecificEndOfInterruptEndsOnlyThat()
    {
        Pulse(4);
        _pic.AcknowledgeVector();
        Pulse(2 + 1);
        _pic.AcknowledgeVector();
        _pic.MasterPorts.WritePort(0, 1, 0x60 | 4);
        _pic.MasterPorts.WritePort(0, 1, 0x0b);
        Assert.Equal(0x08u, _pic.MasterPorts.ReadPort(0, 1));
    }

    [Fact]
    public void RotationOnEndOfInterruptMakesTheServedInputLast()
    {
        Pulse(0);
        _pic.AcknowledgeVector();
        _pic.MasterPorts.WritePort(0, 1, 0xa0);
        Pulse(0);
        Pulse(5);
        Assert.Equal(0x25, _pic.AcknowledgeVector());
    }

    [Fact]
    public void SpecialMaskModeLetsLowerPrioritiesThrough()
    {
        Pulse(1);
        _pic.AcknowledgeVector();
        _pic.MasterPorts.WritePort(1, 1, 0x02);
        _pic.MasterPorts.WritePort(0, 1, 0x68);
        Pulse(6);
        Assert.Equal(0x26, _pic.AcknowledgeVector());
    }

    [Fact]
    public void AutomaticEndOfInterruptLeavesNothingInService()
    {
        Initialise(masterWord4: 0x03);
        Pulse(1);
        Assert.Equal(0x21, _pic.AcknowledgeVector());
        Pulse(6);
        Assert.Equal(0x26, _pic.AcknowledgeVector());
    }

    [Fact]
    public void ASecondSlaveRequestIsNotLostWhileTheFirstIsServed()
    {
        Pulse(12);
        Assert.Equal(0x2c, _pic.AcknowledgeVector());
        Pulse(8);
        EndOfInterrupt(slave: false);
        Assert.True(_output.Level);
        Assert.Equal(0x28, _pic.AcknowledgeVector());
    }

    [Fact]
    public void WhoeverDrivesAMaskedInputIsToldBeforeItIsUnmasked()
    {
        List<int> observed = [];
        _pic.MasterPorts.WritePort(1, 1, 0xff);
        _pic.Observing = pin =>
        {
            Assert.True(_pic.IsMasked(pin));
            observed.Add(pin);
        };
        _pic.MasterPorts.WritePort(1, 1, 0xfe);
        Assert.Equal([0], observed);
    }
}
