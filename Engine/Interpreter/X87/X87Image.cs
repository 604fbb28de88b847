using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>
/// The memory images of FSTENV and FSAVE in their protected-mode layouts (Intel SDM 1, 8.1.10): control, status and tag
/// words, the last instruction's and operand's addresses, then the registers. Selectors are zero, as on processors that
/// no longer keep them.
/// </summary>
internal static unsafe class X87Image
{
    /// <summary>Room for the larger of the images (108 bytes).</summary>
    public const int Capacity = 112;

    public const int RegistersSize = 80;

    /// <summary>Bytes of the environment; <paramref name="width"/> is 2 or 4.</summary>
    public static int EnvironmentSize(int width) => 7 * width;

    /// <summary>Returns the size of what it wrote.</summary>
    public static int WriteEnvironment(CpuState* state, byte* image, int width)
    {
        new Span<byte>(image, Capacity).Clear();
        if (width == 4)
        {
            ((uint*)image)[0] = 0xffff0000u | state->X87Control;
            ((uint*)image)[1] = 0xffff0000u | state->X87Status;
            ((uint*)image)[2] = 0xffff0000u | FullTag(state);
            ((uint*)image)[3] = (uint)state->X87InstructionPointer;
            ((uint*)image)[4] = (uint)state->X87Opcode << 16;
            ((uint*)image)[5] = (uint)state->X87DataPointer;
            ((uint*)image)[6] = 0xffff0000u;
        }
        else
        {
            ((ushort*)image)[0] = state->X87Control;
            ((ushort*)image)[1] = state->X87Status;
            ((ushort*)image)[2] = FullTag(state);
            ((ushort*)image)[3] = (ushort)state->X87InstructionPointer;
            ((ushort*)image)[5] = (ushort)state->X87DataPointer;
        }
        return EnvironmentSize(width);
    }

    public static void ReadEnvironment(CpuState* state, byte* image, int width)
    {
        state->X87Control = (ushort)((*(ushort*)image & X87Flags.ControlBits) | X87Flags.ControlReserved);
        state->X87Status = X87Flags.WithSummary(*(ushort*)(image + width), state->X87Control);
        ushort tags = *(ushort*)(image + 2 * width);
        state->X87Tag = 0;
        for (int i = 0; i < 8; i++)
        {
            if ((tags >> (2 * i) & 3) != 3)
                state->X87Tag |= (byte)(1 << i);
        }
        state->X87InstructionPointer = width == 4 ? *(uint*)(image + 12) : *(ushort*)(image + 6);
        state->X87DataPointer = width == 4 ? *(uint*)(image + 20) : *(ushort*)(image + 10);
        state->X87Opcode = width == 4 ? (ushort)(*(ushort*)(image + 18) & 0x7ff) : (ushort)0;
    }

    /// <summary>Returns the size of what it wrote.</summary>
    public static int WriteState(CpuState* state, byte* image, int width)
    {
        int offset = WriteEnvironment(state, image, width);
        int top = state->X87Status >> X87Flags.TopShift & 7;
        for (int i = 0; i < 8; i++, offset += 10)
        {
            *(ulong*)(image + offset) = state->X87[2 * ((top + i) & 7)];
            *(ushort*)(image + offset + 8) = (ushort)state->X87[2 * ((top + i) & 7) + 1];
        }
        return offset;
    }

    public static void ReadState(CpuState* state, byte* image, int width)
    {
        ReadEnvironment(state, image, width);
        int offset = EnvironmentSize(width);
        int top = state->X87Status >> X87Flags.TopShift & 7;
        for (int i = 0; i < 8; i++, offset += 10)
        {
            state->X87[2 * ((top + i) & 7)] = *(ulong*)(image + offset);
            state->X87[2 * ((top + i) & 7) + 1] = *(ushort*)(image + offset + 8);
        }
    }

    /// <summary>Two bits a register: 0 valid, 1 zero, 2 special, 3 empty.</summary>
    private static ushort FullTag(CpuState* state)
    {
        int tags = 0;
        for (int i = 0; i < 8; i++)
        {
            int tag;
            if ((state->X87Tag >> i & 1) == 0)
                tag = 3;
            else
            {
                ulong significand = state->X87[2 * i];
                int exponent = (int)state->X87[2 * i + 1] & 0x7fff;
                tag = exponent == 0 && significand == 0 ? 1 : exponent is 0 or 0x7fff || (significand & Number.IntegerBit) == 0 ? 2 : 0;
            }
            tags |= tag << (2 * i);
        }
        return (ushort)tags;
    }
}
