namespace Godwit.Engine.Devices.Serial;

/// <summary>
/// A 16550A (National PC16550D data sheet) whose line has no speed: a byte written has left at once. Host input waits
/// beyond the receive FIFO until the guest makes room; the other end is always ready (CTS, DSR, DCD). Bytes below the
/// trigger level are announced at once by the character time-out, so no timer is needed.
/// </summary>
public sealed class Uart16550 : ISavedState<UartState>
{
    public const ushort Com1Port = 0x3f8;

    public const int Com1Interrupt = 4;

    public const int PortCount = 8;

    /// <summary>Bytes of host input held for the guest; beyond it <see cref="Receive"/> takes no more.</summary>
    public const int InputLimit = 1 << 16;

    private const int Data = 0, InterruptEnable = 1, InterruptId = 2, LineControl = 3, ModemControl = 4, LineStatus = 5, ModemStatus = 6;
    private const byte EnableReceive = 1, EnableTransmit = 2, EnableLine = 4, EnableModem = 8;
    private const byte FifoEnable = 1, ResetReceive = 2, FifoTrigger = 0xc0;
    private const byte DivisorAccess = 0x80, Loopback = 0x10, Out2 = 0x08;
    private const byte DataReady = 1, OverrunError = 2, TransmitterEmpty = 0x60;
    private const byte PeerReady = 0xb0, RingLine = 0x40;
    private const int FifoLength = 16;

    private readonly IInterruptLine _line;
    private readonly IConsoleSink _sink;
    private readonly Queue<byte> _received = new();
    private readonly Queue<byte> _hostInput = new();
    private byte _interruptEnable, _fifoControl, _lineControl, _modemControl, _modemDeltas, _scratch;
    private ushort _divisor = 12;
    private bool _overrun, _transmitInterrupt;

    public Uart16550(IInterruptLine line, IConsoleSink sink)
    {
        _line = line;
        _sink = sink;
        Ports = new BytePorts(PortCount, Read, Write);
    }

    public BytePorts Ports { get; }

    /// <summary>Queues bytes typed at the console and returns how many were taken.</summary>
    public int Receive(ReadOnlySpan<byte> input)
    {
        int taken = Math.Min(input.Length, InputLimit - _hostInput.Count);
        foreach (byte value in input[..taken])
            _hostInput.Enqueue(value);
        Refill();
        Update();
        return taken;
    }

    public UartState SaveState() => new()
    {
        InterruptEnable = _interruptEnable,
        FifoControl = _fifoControl,
        LineControl = _lineControl,
        ModemControl = _modemControl,
        ModemDeltas = _modemDeltas,
        Scratch = _scratch,
        Divisor = _divisor,
        Overrun = _overrun,
        TransmitInterrupt = _transmitInterrupt,
        Received = [.. _received],
        HostInput = [.. _hostInput],
    };

    /// <remarks>The interrupt line's level is part of its receiver's state and is not driven here.</remarks>
    public void LoadState(UartState state)
    {
        if ((state.InterruptEnable & 0xf0) != 0 || (state.ModemControl & 0xe0) != 0 || (state.ModemDeltas & 0xf0) != 0)
            throw new InvalidStateException("16550: a register has bits that do not exist");
        if ((state.FifoControl & ~(FifoEnable | FifoTrigger)) != 0)
            throw new InvalidStateException($"16550: FIFO control cannot be 0x{state.FifoControl:x}");
        if (state.Received is not { Length: <= FifoLength })
            throw new InvalidStateException($"16550: the receive FIFO holds at most {FifoLength} bytes");
        if (state.HostInput is not { Length: <= InputLimit })
            throw new InvalidStateException($"16550: at most {InputLimit} bytes of host input can wait");
        _interruptEnable = state.InterruptEnable;
        _fifoControl = state.FifoControl;
        _lineControl = state.LineControl;
        _modemControl = state.ModemControl;
        _modemDeltas = state.ModemDeltas;
        _scratch = state.Scratch;
        _divisor = state.Divisor;
        _overrun = state.Overrun;
        _transmitInterrupt = state.TransmitInterrupt;
        Fill(_received, state.Received);
        Fill(_hostInput, state.HostInput);
    }

    private static void Fill(Queue<byte> queue, byte[] bytes)
    {
        queue.Clear();
        foreach (byte value in bytes)
            queue.Enqueue(value);
    }

    private bool HasFifo => (_fifoControl & FifoEnable) != 0;

    private bool LoopsBack => (_modemControl & Loopback) != 0;

    private bool AccessesDivisor => (_lineControl & DivisorAccess) != 0;

    private int Capacity => HasFifo ? FifoLength : 1;

    private int TriggerLevel => !HasFifo ? 1 : (_fifoControl >> 6) switch { 0 => 1, 1 => 4, 2 => 8, _ => 14 };

    /// <summary>Modem status lines: those of a peer that is always there, or the control outputs looped back.</summary>
    private byte ModemLines => !LoopsBack
        ? PeerReady
        : (byte)((_modemControl & 0x02) << 3 | (_modemControl & 0x01) << 5 | (_modemControl & 0x0c) << 4);

    /// <summary>The foremost interrupt as IIR shows it; 1 when there is none.</summary>
    private byte Interrupt
    {
        get
        {
            if (_overrun && (_interruptEnable & EnableLine) != 0)
                return 0x06;
            if (_received.Count > 0 && (_interruptEnable & EnableReceive) != 0)
                return _received.Count >= TriggerLevel ? (byte)0x04 : (byte)0x0c;
            if (_transmitInterrupt && (_interruptEnable & EnableTransmit) != 0)
                return 0x02;
            return _modemDeltas != 0 && (_interruptEnable & EnableModem) != 0 ? (byte)0x00 : (byte)0x01;
        }
    }

    private byte Read(int offset)
    {
        byte value = offset switch
        {
            Data when AccessesDivisor => (byte)_divisor,
            Data => TakeReceived(),
            InterruptEnable => AccessesDivisor ? (byte)(_divisor >> 8) : _interruptEnable,
            InterruptId => TakeInterruptId(),
            LineControl => _lineControl,
            ModemControl => _modemControl,
            LineStatus => TakeLineStatus(),
            ModemStatus => TakeModemStatus(),
            _ => _scratch,
        };
        Update();
        return value;
    }

    private void Write(int offset, byte value)
    {
        switch (offset)
        {
            case Data when AccessesDivisor:
                _divisor = (ushort)(_divisor & 0xff00 | value);
                break;
            case Data:
                Transmit(value);
                break;
            case InterruptEnable when AccessesDivisor:
                _divisor = (ushort)(_divisor & 0xff | value << 8);
                break;
            case InterruptEnable:
                // Enabling it with an empty transmitter raises the interrupt: drivers probe for that.
                _transmitInterrupt |= (value & EnableTransmit) != 0 && (_interruptEnable & EnableTransmit) == 0;
                _interruptEnable = (byte)(value & 0x0f);
                break;
            case InterruptId:
                WriteFifoControl(value);
                break;
            case LineControl:
                _lineControl = value;
                break;
            case ModemControl:
                WriteModemControl(value);
                break;
            case 7:
                _scratch = value;
                break;
        }
        Update();
    }

    private byte TakeReceived()
    {
        _received.TryDequeue(out byte value);
        Refill();
        return value;
    }

    private byte TakeInterruptId()
    {
        byte interrupt = Interrupt;
        if (interrupt == 0x02)
            _transmitInterrupt = false;
        return (byte)(interrupt | (HasFifo ? 0xc0 : 0));
    }

    private byte TakeLineStatus()
    {
        int status = TransmitterEmpty | (_received.Count > 0 ? DataReady : 0) | (_overrun ? OverrunError : 0);
        _overrun = false;
        return (byte)status;
    }

    private byte TakeModemStatus()
    {
        byte status = (byte)(ModemLines | _modemDeltas);
        _modemDeltas = 0;
        return status;
    }

    private void Transmit(byte value)
    {
        if (!LoopsBack)
            _sink.Write(value);
        else if (_received.Count < Capacity)
            _received.Enqueue(value);
        else
        {
            _overrun = true;
            // Without a FIFO the new byte replaces the old one; with one it is lost.
            if (!HasFifo)
            {
                _received.Clear();
                _received.Enqueue(value);
            }
        }
        _transmitInterrupt = true;
    }

    private void WriteFifoControl(byte value)
    {
        bool toggles = ((value ^ _fifoControl) & FifoEnable) != 0;
        if (toggles || (value & ResetReceive) != 0)
            _received.Clear();
        _fifoControl = (value & FifoEnable) != 0 ? (byte)(value & (FifoEnable | FifoTrigger)) : (byte)0;
        Refill();
    }

    private void WriteModemControl(byte value)
    {
        byte before = ModemLines;
        _modemControl = (byte)(value & 0x1f);
        byte changed = (byte)(before ^ ModemLines);
        // The ring indicator's delta marks only its trailing edge.
        if ((changed & RingLine) != 0 && (before & RingLine) == 0)
            changed &= unchecked((byte)~RingLine);
        _modemDeltas |= (byte)(changed >> 4);
        Refill();
    }

    private void Refill()
    {
        if (LoopsBack)
            return;
        while (_received.Count < Capacity && _hostInput.TryDequeue(out byte value))
            _received.Enqueue(value);
    }

    /// <summary>On a PC OUT2 connects the chip's interrupt output to the bus.</summary>
    private void Update() => _line.Set(Interrupt != 0x01 && (_modemControl & Out2) != 0);
}
