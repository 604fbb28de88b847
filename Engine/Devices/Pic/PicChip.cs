using System.Numerics;

namespace Godwit.Engine.Devices.Pic;

/// <summary>One Intel 8259A (data sheet 231468), its trigger mode taken from the chipset's ELCR rather than from ICW1.</summary>
internal sealed class PicChip(byte vectorBase, byte elcrMask)
{
    private byte _requests, _inService, _inputs, _levelTriggered, _vectorBase = vectorBase, _highest, _expectedWord;
    private bool _needsWord4, _single, _autoEoi, _rotateOnAutoEoi, _specialMask, _specialFullyNested, _readsInService, _poll;

    /// <summary>The interrupt mask register. Software has yet to initialise the chip, so all is masked.</summary>
    internal byte Mask { get; private set; } = 0xff;

    internal byte Requests => _requests;

    internal byte VectorBase => _vectorBase;

    /// <summary>Mask of the inputs on which other chips hang: in special fully nested mode being in service does not block them.</summary>
    internal byte Cascade { get; init; }

    internal bool ReadsRequests => !_readsInService;

    internal byte LevelTriggered
    {
        get => _levelTriggered;
        set
        {
            _levelTriggered = (byte)(value & elcrMask);
            _requests = (byte)(_requests & ~_levelTriggered | _inputs & _levelTriggered);
        }
    }

    internal void SetInput(int input, bool level)
    {
        byte bit = (byte)(1 << input);
        bool rises = level && (_inputs & bit) == 0;
        _inputs = (byte)(level ? _inputs | bit : _inputs & ~bit);
        if ((_levelTriggered & bit) != 0)
            _requests = (byte)(level ? _requests | bit : _requests & ~bit);
        else if (rises)
            _requests |= bit;
    }

    /// <summary>
    /// The input on which the slave hangs follows its output like a level, so that a second, higher request of the slave
    /// is not lost after the first has been acknowledged.
    /// </summary>
    internal void SetCascade(int input, bool level)
    {
        byte bit = (byte)(1 << input);
        _inputs = (byte)(level ? _inputs | bit : _inputs & ~bit);
        _requests = (byte)(level ? _requests | bit : _requests & ~bit);
    }

    /// <summary>The input that would be acknowledged now, -1 when none.</summary>
    internal int Pending
    {
        get
        {
            int request = PriorityOf((byte)(_requests & ~Mask));
            if (request == 8)
                return -1;
            int blocking = _specialMask ? _inService & ~Mask : _inService;
            if (_specialFullyNested)
                blocking &= ~Cascade;
            return request < PriorityOf((byte)blocking) ? (request + _highest) & 7 : -1;
        }
    }

    internal void Acknowledge(int input)
    {
        byte bit = (byte)(1 << input);
        if (!_autoEoi)
            _inService |= bit;
        else if (_rotateOnAutoEoi)
            _highest = (byte)((input + 1) & 7);
        if ((_levelTriggered & bit) == 0)
            _requests &= (byte)~bit;
    }

    internal void WriteCommand(byte value)
    {
        if ((value & 0x10) != 0)
            Initialise(value);
        else if ((value & 0x08) != 0)
            WriteOperation3(value);
        else
            WriteOperation2(value);
    }

    internal void WriteData(byte value)
    {
        switch (_expectedWord)
        {
            case 2:
                _vectorBase = (byte)(value & 0xf8);
                _expectedWord = (byte)(!_single ? 3 : _needsWord4 ? 4 : 0);
                break;
            case 3:
                _expectedWord = (byte)(_needsWord4 ? 4 : 0);
                break;
            case 4:
                _specialFullyNested = (value & 0x10) != 0;
                _autoEoi = (value & 0x02) != 0;
                _expectedWord = 0;
                break;
            default:
                Mask = value;
                break;
        }
    }

    /// <summary>Whether a data write now goes to the mask register.</summary>
    internal bool DataIsMask => _expectedWord == 0;

    internal byte ReadCommand() => TryPoll(out byte polled) ? polled : _readsInService ? _inService : _requests;

    internal byte ReadData() => TryPoll(out byte polled) ? polled : Mask;

    internal PicChipState Save() => new()
    {
        Requests = _requests,
        InService = _inService,
        Mask = Mask,
        Inputs = _inputs,
        LevelTriggered = _levelTriggered,
        VectorBase = _vectorBase,
        HighestPriority = _highest,
        ExpectedWord = _expectedWord,
        NeedsWord4 = _needsWord4,
        Single = _single,
        AutoEoi = _autoEoi,
        RotateOnAutoEoi = _rotateOnAutoEoi,
        SpecialMask = _specialMask,
        SpecialFullyNested = _specialFullyNested,
        ReadsInService = _readsInService,
        Poll = _poll,
    };

    internal void Validate(PicChipState? state)
    {
        if (state is null)
            throw new InvalidStateException("8259: a chip's state is missing");
        if ((state.VectorBase & 7) != 0)
            throw new InvalidStateException($"8259: vector base cannot be 0x{state.VectorBase:x}");
        if (state.HighestPriority > 7)
            throw new InvalidStateException($"8259: highest priority cannot be {state.HighestPriority}");
        if (state.ExpectedWord is 1 or > 4)
            throw new InvalidStateException($"8259: expected word cannot be {state.ExpectedWord}");
        if ((state.LevelTriggered & ~elcrMask) != 0)
            throw new InvalidStateException($"8259: trigger mode cannot be 0x{state.LevelTriggered:x}");
    }

    internal void Load(PicChipState state)
    {
        _requests = state.Requests;
        _inService = state.InService;
        Mask = state.Mask;
        _inputs = state.Inputs;
        _levelTriggered = state.LevelTriggered;
        _vectorBase = state.VectorBase;
        _highest = state.HighestPriority;
        _expectedWord = state.ExpectedWord;
        _needsWord4 = state.NeedsWord4;
        _single = state.Single;
        _autoEoi = state.AutoEoi;
        _rotateOnAutoEoi = state.RotateOnAutoEoi;
        _specialMask = state.SpecialMask;
        _specialFullyNested = state.SpecialFullyNested;
        _readsInService = state.ReadsInService;
        _poll = state.Poll;
    }

    /// <summary>How far the foremost of these inputs stands behind the highest priority; 8 when there is none.</summary>
    private int PriorityOf(byte inputs)
    {
        int rotated = (inputs >> _highest | inputs << (8 - _highest)) & 0xff;
        return rotated == 0 ? 8 : BitOperations.TrailingZeroCount(rotated);
    }

    private void Initialise(byte word1)
    {
        // The edge detector is reset: an input already high must fall and rise again. Level-triggered ones still ask.
        _requests = (byte)(_inputs & _levelTriggered);
        _inService = Mask = _highest = 0;
        _autoEoi = _rotateOnAutoEoi = _specialMask = _specialFullyNested = _readsInService = _poll = false;
        _needsWord4 = (word1 & 1) != 0;
        _single = (word1 & 2) != 0;
        _expectedWord = 2;
    }

    private void WriteOperation3(byte value)
    {
        _poll = (value & 4) != 0;
        if ((value & 2) != 0)
            _readsInService = (value & 1) != 0;
        if ((value & 0x40) != 0)
            _specialMask = (value & 0x20) != 0;
    }

    private void WriteOperation2(byte value)
    {
        int input = value & 7;
        switch (value >> 5)
        {
            case 0:
                _rotateOnAutoEoi = false;
                break;
            case 4:
                _rotateOnAutoEoi = true;
                break;
            case 1 or 5 when PriorityOf(_inService) is var priority and < 8:
                input = (priority + _highest) & 7;
                _inService &= (byte)~(1 << input);
                if (value >> 5 == 5)
                    _highest = (byte)((input + 1) & 7);
                break;
            case 3:
                _inService &= (byte)~(1 << input);
                break;
            case 6:
                _highest = (byte)((input + 1) & 7);
                break;
            case 7:
                _inService &= (byte)~(1 << input);
                _highest = (byte)((input + 1) & 7);
                break;
        }
    }

    /// <summary>A read after the poll command acknowledges: bit 7 says whether there was a request, the low bits which.</summary>
    private bool TryPoll(out byte polled)
    {
        polled = 0;
        if (!_poll)
            return false;
        _poll = false;
        if (Pending is var input and >= 0)
        {
            Acknowledge(input);
            polled = (byte)(0x80 | input);
        }
        return true;
    }
}
