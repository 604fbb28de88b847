using System.Globalization;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>What a process uses at a moment, from /proc (proc(5)).</summary>
/// <param name="PrivateBytes">Anonymous memory that is in RAM (RssAnon), and page tables (VmPTE).</param>
/// <param name="SharedBytes">Shared memory that is in RAM (RssShmem): guest RAM and whatever else lies in memory files.</param>
/// <param name="Threads">Threads.</param>
/// <param name="Cpu">User and system time since it started.</param>
/// <param name="Switches">How often its threads have gone to sleep so far.</param>
internal sealed record ProcessUse(long PrivateBytes, long SharedBytes, int Threads, TimeSpan Cpu, long Switches)
{
    /// <summary>USER_HZ, which Linux fixes at 100 for programs on x86-64.</summary>
    private const double TicksPerSecond = 100;

    public static ProcessUse Of(int process)
    {
        string root = string.Create(CultureInfo.InvariantCulture, $"/proc/{process}");
        Dictionary<string, long> status = Status($"{root}/status");
        string[] stat = File.ReadAllText($"{root}/stat").Split(") ")[1].Split(' ');
        return new ProcessUse(
            (status["RssAnon"] + status["VmPTE"]) << 10,
            status["RssShmem"] << 10,
            (int)status["Threads"],
            // Fields 14 and 15, counted from 1; the first two are cut off.
            TimeSpan.FromSeconds((long.Parse(stat[11], CultureInfo.InvariantCulture) + long.Parse(stat[12], CultureInfo.InvariantCulture)) / TicksPerSecond),
            Directory.EnumerateDirectories($"{root}/task").Sum(Sleeps));
    }

    private static long Sleeps(string task)
    {
        try
        {
            return Status($"{task}/status")["voluntary_ctxt_switches"];
        }
        catch (IOException)
        {
            // The thread has ended.
            return 0;
        }
    }

    private static Dictionary<string, long> Status(string file) => File.ReadLines(file)
        .Select(line => line.Split([':', '\t', ' '], StringSplitOptions.RemoveEmptyEntries))
        .Where(words => words.Length > 1 && long.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out _))
        .ToDictionary(words => words[0], words => long.Parse(words[1], CultureInfo.InvariantCulture));
}
