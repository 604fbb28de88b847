using System.Globalization;

namespace Godwit.Guest.Benchmarks.Machines;

/// <summary>Processor time from Linux's /proc (proc(5)): the machine is shared, so that wall time says little.</summary>
internal static class ProcessorTime
{
    // sysconf(_SC_CLK_TCK), which Linux has at 100 for user space on x86.
    private const long NanosecondsPerTick = 10_000_000;

    /// <summary>Nanoseconds that each thread of a process has run (schedstat's first number).</summary>
    public static Dictionary<int, long> OfThreads(int process)
    {
        Dictionary<int, long> times = [];
        foreach (string folder in Directory.EnumerateDirectories($"/proc/{process}/task"))
            if (Nanoseconds(folder) is { } time)
                times[int.Parse(Path.GetFileName(folder), CultureInfo.InvariantCulture)] = time;
        return times;
    }

    /// <summary>What the threads have run between two samples; a thread that has ended in between is left out.</summary>
    public static TimeSpan Between(Dictionary<int, long> before, Dictionary<int, long> after) =>
        TimeSpan.FromMicroseconds(after.Sum(thread => thread.Value - before.GetValueOrDefault(thread.Key)) / 1000.0);

    /// <summary>What this process's children have run that have ended, to 10 ms.</summary>
    public static TimeSpan OfEndedChildren()
    {
        string stat = File.ReadAllText("/proc/self/stat");
        // The name, in parentheses, may hold blanks; cutime and cstime are fields 16 and 17.
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        long ticks = long.Parse(fields[13], CultureInfo.InvariantCulture) + long.Parse(fields[14], CultureInfo.InvariantCulture);
        return TimeSpan.FromMicroseconds(ticks * NanosecondsPerTick / 1000.0);
    }

    /// <summary>Nanoseconds that this process's threads of a name have run.</summary>
    public static long OfOwnThread(string name)
    {
        // Linux keeps 15 characters.
        string kept = name[..Math.Min(15, name.Length)];
        foreach (string folder in Directory.EnumerateDirectories("/proc/self/task"))
            if (Read(Path.Combine(folder, "comm"))?.TrimEnd('\n') == kept && Nanoseconds(folder) is { } time)
                return time;
        throw new BenchmarkException($"this process has no thread named {kept}");
    }

    private static long? Nanoseconds(string folder) =>
        Read(Path.Combine(folder, "schedstat")) is { } text ? long.Parse(text.AsSpan(0, text.IndexOf(' ')), CultureInfo.InvariantCulture) : null;

    private static string? Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (IOException)
        {
            return null; // The thread has ended since the folder was listed.
        }
    }
}
