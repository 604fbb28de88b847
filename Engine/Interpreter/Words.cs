namespace Godwit.Engine.Interpreter;

/// <summary>
/// An unsigned integer of an operand's width. The engine's own types and not the runtime's: code that is generic over
/// the runtime's integers and their arithmetic cannot be precompiled, and is most of what a first boot would compile.
/// </summary>
internal interface IWord<T>
    where T : unmanaged, IWord<T>
{
    static abstract T Zero { get; }

    static abstract T One { get; }

    /// <summary>The low bits of a value.</summary>
    static abstract T Truncate(ulong value);

    static abstract T operator +(T left, T right);

    static abstract T operator -(T left, T right);

    static abstract T operator &(T left, T right);

    static abstract T operator |(T left, T right);

    static abstract T operator ^(T left, T right);

    static abstract T operator ~(T value);

    static abstract T operator <<(T value, int count);

    static abstract T operator >>>(T value, int count);

    static abstract bool operator ==(T left, T right);

    static abstract bool operator !=(T left, T right);
}

/// <summary>8 bits.</summary>
internal readonly struct Word8(byte value) : IWord<Word8>
{
    public byte Value { get; } = value;

    public static Word8 Zero => default;

    public static Word8 One => new(1);

    public static Word8 Truncate(ulong value) => new((byte)value);

    public static Word8 operator +(Word8 left, Word8 right) => new((byte)(left.Value + right.Value));

    public static Word8 operator -(Word8 left, Word8 right) => new((byte)(left.Value - right.Value));

    public static Word8 operator &(Word8 left, Word8 right) => new((byte)(left.Value & right.Value));

    public static Word8 operator |(Word8 left, Word8 right) => new((byte)(left.Value | right.Value));

    public static Word8 operator ^(Word8 left, Word8 right) => new((byte)(left.Value ^ right.Value));

    public static Word8 operator ~(Word8 value) => new((byte)(~value.Value));

    public static Word8 operator <<(Word8 value, int count) => new((byte)(value.Value << count));

    public static Word8 operator >>>(Word8 value, int count) => new((byte)(value.Value >>> count));

    public static bool operator ==(Word8 left, Word8 right) => left.Value == right.Value;

    public static bool operator !=(Word8 left, Word8 right) => left.Value != right.Value;

    public override bool Equals(object? obj) => obj is Word8 other && this == other;

    public override int GetHashCode() => Value.GetHashCode();
}

/// <summary>16 bits.</summary>
internal readonly struct Word16(ushort value) : IWord<Word16>
{
    public ushort Value { get; } = value;

    public static Word16 Zero => default;

    public static Word16 One => new(1);

    public static Word16 Truncate(ulong value) => new((ushort)value);

    public static Word16 operator +(Word16 left, Word16 right) => new((ushort)(left.Value + right.Value));

    public static Word16 operator -(Word16 left, Word16 right) => new((ushort)(left.Value - right.Value));

    public static Word16 operator &(Word16 left, Word16 right) => new((ushort)(left.Value & right.Value));

    public static Word16 operator |(Word16 left, Word16 right) => new((ushort)(left.Value | right.Value));

    public static Word16 operator ^(Word16 left, Word16 right) => new((ushort)(left.Value ^ right.Value));

    public static Word16 operator ~(Word16 value) => new((ushort)(~value.Value));

    public static Word16 operator <<(Word16 value, int count) => new((ushort)(value.Value << count));

    public static Word16 operator >>>(Word16 value, int count) => new((ushort)(value.Value >>> count));

    public static bool operator ==(Word16 left, Word16 right) => left.Value == right.Value;

    public static bool operator !=(Word16 left, Word16 right) => left.Value != right.Value;

    public override bool Equals(object? obj) => obj is Word16 other && this == other;

    public override int GetHashCode() => Value.GetHashCode();
}

/// <summary>32 bits.</summary>
internal readonly struct Word32(uint value) : IWord<Word32>
{
    public uint Value { get; } = value;

    public static Word32 Zero => default;

    public static Word32 One => new(1);

    public static Word32 Truncate(ulong value) => new((uint)value);

    public static Word32 operator +(Word32 left, Word32 right) => new(left.Value + right.Value);

    public static Word32 operator -(Word32 left, Word32 right) => new(left.Value - right.Value);

    public static Word32 operator &(Word32 left, Word32 right) => new(left.Value & right.Value);

    public static Word32 operator |(Word32 left, Word32 right) => new(left.Value | right.Value);

    public static Word32 operator ^(Word32 left, Word32 right) => new(left.Value ^ right.Value);

    public static Word32 operator ~(Word32 value) => new(~value.Value);

    public static Word32 operator <<(Word32 value, int count) => new(value.Value << count);

    public static Word32 operator >>>(Word32 value, int count) => new(value.Value >>> count);

    public static bool operator ==(Word32 left, Word32 right) => left.Value == right.Value;

    public static bool operator !=(Word32 left, Word32 right) => left.Value != right.Value;

    public override bool Equals(object? obj) => obj is Word32 other && this == other;

    public override int GetHashCode() => Value.GetHashCode();
}

/// <summary>64 bits.</summary>
internal readonly struct Word64(ulong value) : IWord<Word64>
{
    public ulong Value { get; } = value;

    public static Word64 Zero => default;

    public static Word64 One => new(1);

    public static Word64 Truncate(ulong value) => new(value);

    public static Word64 operator +(Word64 left, Word64 right) => new(left.Value + right.Value);

    public static Word64 operator -(Word64 left, Word64 right) => new(left.Value - right.Value);

    public static Word64 operator &(Word64 left, Word64 right) => new(left.Value & right.Value);

    public static Word64 operator |(Word64 left, Word64 right) => new(left.Value | right.Value);

    public static Word64 operator ^(Word64 left, Word64 right) => new(left.Value ^ right.Value);

    public static Word64 operator ~(Word64 value) => new(~value.Value);

    public static Word64 operator <<(Word64 value, int count) => new(value.Value << count);

    public static Word64 operator >>>(Word64 value, int count) => new(value.Value >>> count);

    public static bool operator ==(Word64 left, Word64 right) => left.Value == right.Value;

    public static bool operator !=(Word64 left, Word64 right) => left.Value != right.Value;

    public override bool Equals(object? obj) => obj is Word64 other && this == other;

    public override int GetHashCode() => Value.GetHashCode();
}
