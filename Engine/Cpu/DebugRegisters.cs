namespace Godwit.Engine.Cpu;

/// <summary>
/// MOV to and from DR0-DR7 (Intel SDM 3B, 17.2). The registers hold what the guest writes; the back end
/// takes the traps. Privilege is the caller's to check.
/// </summary>
public static unsafe class DebugRegisters
{
    /// <summary>DR7.GD: the next access to a debug register traps.</summary>
    public const ulong GeneralDetect = 1 << 13;

    /// <summary>DR6 bits that read as ones and zeros, and the bits of DR7 that do.</summary>
    private const ulong Dr6Ones = 0xffff_0ff0, Dr6Writable = 0xe00f, Dr7Ones = 1 << 10, Dr7Writable = 0xffff_2bff;

    private const ulong AccessDetected = 1 << 13;

    public static bool Read(VcpuContext* c, int index, out ulong value)
    {
        value = 0;
        if (!Check(c, ref index))
            return false;
        ref CpuState state = ref c->State;
        value = index switch
        {
            0 => state.Dr0,
            1 => state.Dr1,
            2 => state.Dr2,
            3 => state.Dr3,
            6 => state.Dr6,
            _ => state.Dr7,
        };
        return true;
    }

    public static bool Write(VcpuContext* c, int index, ulong value)
    {
        if (!Check(c, ref index))
            return false;
        ref CpuState state = ref c->State;
        if (index >= 6 && value >> 32 != 0)
            return c->Raise(Vector.GP, 0);
        switch (index)
        {
            case 0:
                state.Dr0 = value;
                break;
            case 1:
                state.Dr1 = value;
                break;
            case 2:
                state.Dr2 = value;
                break;
            case 3:
                state.Dr3 = value;
                break;
            case 6:
                state.Dr6 = (value & Dr6Writable) | Dr6Ones;
                break;
            default:
                state.Dr7 = (value & Dr7Writable) | Dr7Ones;
                break;
        }
        return true;
    }

    private static bool Check(VcpuContext* c, ref int index)
    {
        if (index is 4 or 5)
        {
            if ((c->State.Cr4 & Cr4.DE) != 0)
                return c->Raise(Vector.UD);
            index += 2;
        }
        if (index > 7)
            return c->Raise(Vector.UD);
        return (c->State.Dr7 & GeneralDetect) == 0 || EventDelivery.RaiseDebug(c, AccessDetected);
    }
}
