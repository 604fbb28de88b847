namespace Godwit.Engine.Devices.Cmos;

/// <summary>Times as the MC146818's registers hold them: BCD or binary, 24 or 12 hours.</summary>
internal readonly struct RtcTime(byte registerB)
{
    internal const int Seconds = 0, SecondsAlarm = 1, Minutes = 2, MinutesAlarm = 3, Hours = 4, HoursAlarm = 5,
        WeekDay = 6, Day = 7, Month = 8, Year = 9, Century = 0x32;

    /// <summary>Set times outside 1970 to 2199 are brought into it; what nanoseconds in 64 bits can hold ends in 2262.</summary>
    private const int FirstYear = 1970, LastYear = 2199;

    private const byte Pm = 0x80;

    /// <summary>Alarm values from 0xc0 on match everything.</summary>
    private const byte AnyValue = 0xc0;

    private const int SecondsADay = 86400;

    private bool IsBinary => (registerB & 4) != 0;

    private bool Is24Hours => (registerB & 2) != 0;

    internal static bool IsTimeRegister(int index) => index is Seconds or Minutes or Hours or (>= WeekDay and <= Year) or Century;

    /// <summary>Puts a time into the time registers of <paramref name="cmos"/>.</summary>
    internal void Store(DateTime time, byte[] cmos)
    {
        cmos[Seconds] = Encode(time.Second);
        cmos[Minutes] = Encode(time.Minute);
        cmos[Hours] = EncodeHour(time.Hour);
        cmos[WeekDay] = Encode((int)time.DayOfWeek + 1);
        cmos[Day] = Encode(time.Day);
        cmos[Month] = Encode(time.Month);
        cmos[Year] = Encode(time.Year % 100);
        cmos[Century] = Encode(time.Year / 100);
    }

    /// <summary>The time in the registers; values that no clock shows are brought into their range.</summary>
    internal DateTime Load(byte[] cmos)
    {
        int year = Math.Clamp(Decode(cmos[Century]) * 100 + Decode(cmos[Year]), FirstYear, LastYear);
        int month = Math.Clamp(Decode(cmos[Month]), 1, 12);
        int day = Math.Clamp(Decode(cmos[Day]), 1, DateTime.DaysInMonth(year, month));
        return new DateTime(year, month, day, Math.Min(DecodeHour(cmos[Hours]), 23), Math.Min(Decode(cmos[Minutes]), 59),
            Math.Min(Decode(cmos[Seconds]), 59), DateTimeKind.Utc);
    }

    /// <summary>Seconds from a time of day until the alarm next matches, at least 1; null when it never does.</summary>
    internal int? SecondsToAlarm(int secondOfDay, byte[] cmos)
    {
        if (!CanMatch(cmos[SecondsAlarm], Decode(cmos[SecondsAlarm]), 60) || !CanMatch(cmos[MinutesAlarm], Decode(cmos[MinutesAlarm]), 60)
            || !CanMatch(cmos[HoursAlarm], DecodeHour(cmos[HoursAlarm]), 24))
            return null;
        int candidate = secondOfDay + 1;
        while (candidate <= secondOfDay + SecondsADay)
        {
            int time = candidate % SecondsADay;
            if (!Matches(cmos[HoursAlarm], DecodeHour(cmos[HoursAlarm]), time / 3600))
                candidate += 3600 - time % 3600;
            else if (!Matches(cmos[MinutesAlarm], Decode(cmos[MinutesAlarm]), time / 60 % 60))
                candidate += 60 - time % 60;
            else if (!Matches(cmos[SecondsAlarm], Decode(cmos[SecondsAlarm]), time % 60))
                candidate++;
            else
                return candidate - secondOfDay;
        }
        return null;
    }

    private static bool CanMatch(byte raw, int value, int limit) => raw >= AnyValue || value < limit;

    private static bool Matches(byte raw, int value, int current) => raw >= AnyValue || value == current;

    private byte Encode(int value) => IsBinary ? (byte)value : (byte)(value / 10 << 4 | value % 10);

    private int Decode(byte raw) => IsBinary ? raw : (raw >> 4) * 10 + (raw & 15);

    private byte EncodeHour(int hour)
    {
        if (Is24Hours)
            return Encode(hour);
        byte half = Encode(hour % 12 == 0 ? 12 : hour % 12);
        return hour >= 12 ? (byte)(half | Pm) : half;
    }

    private int DecodeHour(byte raw) => Is24Hours ? Decode(raw) : Decode((byte)(raw & ~Pm)) % 12 + ((raw & Pm) != 0 ? 12 : 0);
}
