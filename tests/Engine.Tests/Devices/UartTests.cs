using System.Text;
using Godwit.Engine.Devices.Serial;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class UartTests : IConsoleSink
{
    private readonly RecordingLine _line = new();
    private readonly StringBuilder _sent = new();
    private readonly Uart16550 _uart;

    public UartTests() => _uart = new Uart16550(_line, this);

    void IConsoleSink.Write(byte value) => _sent.Append((char)value);

    private uint In(int register) => _uart.Ports.ReadPort(register, 1);

    private void Out(int register, uint value) => _uart.Ports.WritePort(register, 1, value);

    [Fact]
    public void WhatIsWrittenReachesTheSink()
    {
        foreach (char c in "Linux")
        {
            Assert.Equal(0x60u, In(5) & 0x60);
            Out(0, c);
        }
        Assert.Equal("Linux", _sent.ToString());
    }

    [Fact]
    public void TheDivisorHidesBehindItsLatchBit()
    {
        Out(3, 0x83);
        Out(0, 0x01);
        Out(1, 0x00);
        Assert.Equal(0x01u, In(0));
        Out(3, 0x03);
        Out(1, 0x05);
        Assert.Equal(0x05u, In(1));
        Assert.Empty(_sent.ToString());
    }

    /// <summary>Linux autoconfig: IER keeps four bits, the loopback test of the modem status, the 16550A's FIFO bits, no 16750.</summary>
    [Fact]
    public void LinuxFindsA16550A()
    {
        Out(1, 0x0f);
        Assert.Equal(0x0fu, In(1));
        Out(1, 0x00);
        Assert.Equal(0x00u, In(1));
        Out(4, 0x1a);
        Assert.Equal(0x90u, In(6) & 0xf0);
        Out(4, 0x08);
        Out(2, 0x01);
        Assert.Equal(0xc0u, In(2) & 0xc0);
        Out(3, 0x80);
        Out(2, 0x21);
        Out(3, 0x00);
        Assert.Equal(0xc0u, In(2) & 0xe0);
        Out(7, 0x5a);
        Assert.Equal(0x5au, In(7));
    }

    /// <summary>Linux's test for a broken THRE interrupt: enabling it twice must raise it twice.</summary>
    [Fact]
    public void EnablingTheTransmitInterruptRaisesItEachTime()
    {
        Out(4, 0x08);
        Out(1, 0x02);
        Assert.True(_line.Level);
        Assert.Equal(0x02u, In(2));
        Assert.False(_line.Level);
        Assert.Equal(0x01u, In(2));
        Out(1, 0x00);
        Out(1, 0x02);
        Assert.Equal(0x02u, In(2));
    }

    [Fact]
    public void WritingRaisesTheTransmitInterruptAgain()
    {
        Out(4, 0x08);
        Out(1, 0x02);
        In(2);
        Out(0, 'x');
        Assert.True(_line.Level);
        Assert.Equal(0x02u, In(2));
    }

    [Fact]
    public void InterruptsNeedOut2()
    {
        Out(1, 0x02);
        Assert.False(_line.Level);
        Out(4, 0x08);
        Assert.True(_line.Level);
    }

    [Fact]
    public void HostInputBeyondTheFifoWaits()
    {
        Out(2, 0x01);
        byte[] input = [.. Enumerable.Range(0, 100).Select(i => (byte)i)];
        Assert.Equal(100, _uart.Receive(input));
        Assert.Equal(16, _uart.SaveState().Received.Length);
        List<byte> read = [];
        while ((In(5) & 1) != 0)
            read.Add((byte)In(0));
        Assert.Equal(input, read);
        Assert.Equal(0u, In(5) & 0x02);
    }

    [Fact]
    public void AFloodOfHostInputIsBounded()
    {
        byte[] flood = new byte[Uart16550.InputLimit + 100];
        Assert.Equal(Uart16550.InputLimit, _uart.Receive(flood));
        // One byte has moved on to the receive buffer.
        Assert.Equal(1, _uart.Receive(flood));
    }

    [Theory]
    [InlineData(0x01, 1, 0xc4)]
    [InlineData(0x41, 3, 0xcc)]
    [InlineData(0x41, 4, 0xc4)]
    [InlineData(0x81, 7, 0xcc)]
    [InlineData(0x81, 8, 0xc4)]
    [InlineData(0xc1, 13, 0xcc)]
    [InlineData(0xc1, 14, 0xc4)]
    public void BelowTheTriggerLevelTheTimeOutAnnouncesBytes(uint fifoControl, int bytes, uint interrupt)
    {
        Out(4, 0x08);
        Out(2, fifoControl);
        Out(1, 0x01);
        _uart.Receive(new byte[bytes]);
        Assert.True(_line.Level);
        Assert.Equal(interrupt, In(2));
        for (int i = 0; i < bytes; i++)
            In(0);
        Assert.False(_line.Level);
    }

    [Fact]
    public void LoopbackReturnsWhatIsWrittenAndKeepsItFromTheSink()
    {
        Out(2, 0x01);
        Out(4, 0x10);
        Out(0, 'a');
        Out(0, 'b');
        Assert.Equal((uint)'a', In(0));
        Assert.Equal((uint)'b', In(0));
        Assert.Empty(_sent.ToString());
    }

    [Fact]
    public void AnOverrunInLoopbackIsTheForemostInterrupt()
    {
        Out(2, 0x01);
        Out(4, 0x18);
        Out(1, 0x0f);
        for (int i = 0; i < 17; i++)
            Out(0, (uint)i);
        Assert.Equal(0xc6u, In(2));
        Assert.Equal(0x63u, In(5));
        Assert.Equal(0xc4u, In(2));
        Assert.Equal(0x61u, In(5));
        Assert.Equal(0u, In(0));
    }

    [Fact]
    public void ChangesOfTheModemLinesAreReportedOnce()
    {
        Out(1, 0x08);
        Out(4, 0x08);
        Out(4, 0x18);
        Assert.Equal(0x00u, In(2) & 0x0f);
        Assert.Equal(0x83u, In(6));
        Assert.Equal(0x80u, In(6));
        Assert.Equal(0x01u, In(2) & 0x0f);
    }

    [Fact]
    public void ResettingTheReceiveFifoDropsWhatItHeld()
    {
        Out(2, 0x01);
        _uart.Receive("0123456789abcdefXY"u8);
        Out(2, 0x03);
        Assert.Equal((uint)'X', In(0));
        Assert.Equal((uint)'Y', In(0));
        Assert.Equal(0u, In(5) & 1);
    }

    [Fact]
    public void WideAccessesAreByteAccesses()
    {
        Out(7, 0xa5);
        Assert.Equal(0xffffffa5u, _uart.Ports.ReadPort(7, 4));
    }
}
