using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Godwit.Cluster.Tests.Processes;

namespace Godwit.Cluster.Tests.Network;

/// <summary>
/// Machines that share nothing but a bridge: each has a network namespace with one address of its own, made without root in
/// a user namespace. All of it lives in one process namespace, whose first process ends with this one: namespaces, links
/// and processes are gone then, however the tests end.
/// </summary>
internal sealed class NetworkLab : IAsyncDisposable
{
    /// <summary>Its own process id as the outside sees it: the proc that is still mounted is the outside's.</summary>
    private const string Begin = """
        set -e
        PATH=$PATH:/usr/sbin:/sbin
        read -r outside rest </proc/self/stat
        mount -t proc proc /proc
        mount -t tmpfs tmpfs /run
        mkdir /run/netns
        ip link set lo up
        ip link add name bridge type bridge
        ip link set bridge up
        for machine in "$@"; do
            name=${machine%%=*}
            ip netns add "$name"
            ip link add name "p-$name" type veth peer name eth0 netns "$name"
            ip link set "p-$name" master bridge up
            ip -n "$name" link set lo up
            ip -n "$name" address add "${machine#*=}/24" dev eth0
            ip -n "$name" link set eth0 up
        done
        printf '{"outside":%s}\n' "$outside"
        cat >/dev/null
        """;

    private readonly HashSet<string> _cut = [];
    private readonly HashSet<string> _slow = [];
    private readonly Process _first;
    private readonly string[] _enter;

    private NetworkLab(Process first, string[] enter)
    {
        _first = first;
        _enter = enter;
    }

    private static readonly string _ip = Programs.Find("ip") ?? "ip";
    private static readonly string _tc = Programs.Find("tc") ?? "tc";
    private static readonly string _bridge = Programs.Find("bridge") ?? "bridge";

    /// <summary>Without root, or else as root.</summary>
    private static readonly string[][] _ways = [["--user", "--map-root-user"], []];

    /// <summary>The way that works here.</summary>
    private static string[] _way = _ways[0];

    /// <summary>Why there can be no such machines here, in one line; null where there can.</summary>
    public static string? WhyNot { get; } = FindWhyNot();

    /// <param name="machines">Names and addresses, all of one network of 256.</param>
    public static async Task<NetworkLab> StartAsync(params (string Name, string Address)[] machines)
    {
        var first = Launch(_way, machines.Select(m => $"{m.Name}={m.Address}"));
        var line = await first.StandardOutput.ReadLineAsync();
        if (line is null)
        {
            var said = await first.StandardError.ReadToEndAsync();
            first.Dispose();
            throw new InvalidOperationException($"no network namespaces: {said.Trim()}");
        }

        var outside = JsonDocument.Parse(line).RootElement.GetProperty("outside").GetInt32();
        return new NetworkLab(first, ["--target", outside.ToString(CultureInfo.InvariantCulture), "--net", "--mount", "--pid", .. _way.Length > 0 ? (string[])["--user", "--preserve-credentials"] : []]);
    }

    /// <summary>The program and arguments that run a command on a machine, in a folder.</summary>
    public (string Executable, string[] Arguments) On(string machine, string folder, params string[] command) =>
        ("nsenter", [.. _enter, _ip, "netns", "exec", machine, "env", "-C", folder, .. command]);

    /// <summary>Nothing comes from the machine or to it any more, and nobody is told: its link stays up.</summary>
    public async Task CutAsync(string machine)
    {
        await DoAsync(_bridge, "link", "set", "dev", $"p-{machine}", "state", "0");
        _cut.Add(machine);
    }

    public async Task MendAsync(string machine)
    {
        await DoAsync(_bridge, "link", "set", "dev", $"p-{machine}", "state", "3");
        _cut.Remove(machine);
    }

    /// <summary>What goes from the machine and to it has a rate (tc(8)), with a third of a second's worth waiting at most.</summary>
    public async Task SlowAsync(string machine, string rate)
    {
        await DoAsync(_tc, "qdisc", "add", "dev", $"p-{machine}", "root", "tbf", "rate", rate, "burst", "32k", "latency", "300ms");
        _slow.Add(machine);
        await DoAsync(_ip, "netns", "exec", machine, _tc, "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "32k", "latency", "300ms");
    }

    public async Task QuickAsync(string machine)
    {
        await DoAsync(_tc, "qdisc", "delete", "dev", $"p-{machine}", "root");
        _slow.Remove(machine);
        await DoAsync(_ip, "netns", "exec", machine, _tc, "qdisc", "delete", "dev", "eth0", "root");
    }

    /// <summary>Mends what a test that failed has left cut or slow.</summary>
    public async Task MendAllAsync()
    {
        foreach (var machine in _cut.ToList())
        {
            await MendAsync(machine);
        }

        foreach (var machine in _slow.ToList())
        {
            await QuickAsync(machine);
        }
    }

    public async ValueTask DisposeAsync()
    {
        // The first process of a process namespace takes all others with it.
        _first.StandardInput.Close();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await _first.WaitForExitAsync(limit.Token);
        _first.Dispose();
    }

    private async Task DoAsync(params string[] command)
    {
        var (exitCode, _, errors) = await TestProcess.RunAsync("nsenter", [.. _enter, .. command]);
        if (exitCode != 0)
        {
            throw new InvalidOperationException($"{string.Join(' ', command)}: {errors.Trim()}");
        }
    }

    private static string? FindWhyNot()
    {
        string[] missing = [.. new[] { "unshare", "nsenter", "ip", "bridge", "tc" }.Where(tool => Programs.Find(tool) is null)];
        if (missing.Length > 0)
        {
            return $"{string.Join(", ", missing)} not found: install Debian's packages iproute2 and util-linux";
        }

        var said = "";
        foreach (var way in _ways)
        {
            using var probe = Launch(way, ["probe=10.0.0.1"]);
            probe.StandardInput.Close();
            said = probe.StandardError.ReadToEnd();
            probe.WaitForExit();
            if (probe.ExitCode == 0)
            {
                _way = way;
                return null;
            }
        }

        return $"network namespaces cannot be made here, neither in a user namespace nor as this user: {string.Join(' ', said.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))}";
    }

    private static Process Launch(string[] way, IEnumerable<string> machines)
    {
        var start = new ProcessStartInfo("unshare") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in (string[])[.. way, "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", Begin, "sh", .. machines])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }
}
