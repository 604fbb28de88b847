using System.Globalization;
using System.Net.Sockets;
using System.Text.Json;
using Godwit.Cluster.Tests.Deployment;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Network;

/// <summary>
/// README's cluster, by README's commands at README's addresses: silos s1, s2 and s3 on machines of their own, Redis on
/// another, the authority and a client on a fifth. Made when a test first asks for it.
/// </summary>
public sealed class ThreeMachines : IAsyncLifetime
{
    public const string Desk = "desk";
    private const string Store = "store";

    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly Dictionary<string, TestProcess> _silos = [];
    private IReadOnlyList<string> _commands = [];
    private NetworkLab? _lab;
    private RedisServer? _redis;
    private TestProcess? _watcher;

    internal NetworkLab Lab => _lab!;

    /// <summary>Where the commands are run; the silos' folders are copied nowhere, since these machines share the disk.</summary>
    public string Folder => _folder;

    internal TestProcess Silo(string name) => _silos[name];

    internal IEnumerable<TestProcess> Silos => _silos.Values;

    public static string AddressOf(string silo) => $"10.0.0.{silo[1..]}";

    /// <summary>The cluster with three silos, whatever tests have done to it: one that has ended is started again.</summary>
    public async Task ReadyAsync()
    {
        if (_lab is null)
        {
            Prepare();
            _lab = await NetworkLab.StartAsync(("s1", "10.0.0.1"), ("s2", "10.0.0.2"), ("s3", "10.0.0.3"), (Store, "10.0.0.9"), (Desk, "10.0.0.20"));
            foreach (var command in _commands.Take(3))
            {
                await DoneAsync(command);
            }

            var (executable, arguments) = _lab.On(Store, _folder, "sh", "-c", _commands[3]);
            _redis = await RedisServer.StartAsync(executable, arguments);
        }

        await _lab.MendAllAsync();
        await Task.WhenAll(new[] { "s1", "s2", "s3" }.Where(n => !_silos.ContainsKey(n)).Select(StartAsync).ToArray());
        if (_watcher is null)
        {
            var (executable, arguments) = _lab.On(Desk, _folder, TestProcess.Executable, InsideCommands.Watch, Path.Combine(_folder, "me"), Path.Combine(_folder, "watcher"));
            _watcher = await TestProcess.StartAsync(executable, arguments);
        }

        await Eventually.HoldsAsync("three silos are active", async () =>
        {
            // One that was held to be dead while it was cut off ends as soon as it hears of that.
            foreach (var name in _silos.Where(s => s.Value.HasExited).Select(s => s.Key).ToList())
            {
                await StartAsync(name);
            }

            return (await LookAsync("")).Active.Count == 3;
        });
    }

    /// <summary>What a client on the desk sees that has been connected all the time.</summary>
    internal async Task<VmSight> LookAsync(string vm)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(_folder, "watcher")));
        await using var stream = new NetworkStream(socket);
        await using var writer = new StreamWriter(stream);
        using var reader = new StreamReader(stream);
        await writer.WriteLineAsync(vm);
        await writer.FlushAsync();
        return JsonSerializer.Deserialize<VmSight>((await reader.ReadLineAsync())!)!;
    }

    /// <summary>README's way to start a silo, on its machine; beside it only what makes it speak to programs.</summary>
    public async Task StartAsync(string name)
    {
        var command = _commands[4].Replace("s1", name, StringComparison.Ordinal).Replace("10.0.0.1 ", $"{AddressOf(name)} ", StringComparison.Ordinal);
        var (executable, arguments) = Lab.On(name, _folder, "sh", "-c", $"exec {command} --json");
        var silo = await TestProcess.StartAsync(executable, arguments);
        lock (_silos)
        {
            _silos[name] = silo;
        }
    }

    /// <summary>A command of README's client on the desk that must succeed.</summary>
    public async Task<IReadOnlyList<JsonElement>> AskAsync(params string[] command)
    {
        var (exitCode, output, errors) = await TryAsync(command);
        Assert.True(exitCode == 0, $"godwit {string.Join(' ', command)}: {exitCode}, {errors}{output}");
        return output;
    }

    /// <summary>As <see cref="AskAsync"/>, whatever comes of it.</summary>
    public async Task<(int ExitCode, IReadOnlyList<JsonElement> Output, string Errors)> TryAsync(params string[] command)
    {
        var (exitCode, output, errors) = await OnAsync(Desk, ["./godwit", .. command, "--cluster", "me", "--json"]);
        var lines = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement).ToList();
        return (exitCode, lines is [{ ValueKind: JsonValueKind.Array } all] ? [.. all.EnumerateArray()] : lines, errors);
    }

    public Task<(int ExitCode, string Output, string Errors)> OnAsync(string machine, params string[] command)
    {
        var (executable, arguments) = Lab.On(machine, _folder, command);
        return TestProcess.RunAsync(executable, arguments);
    }

    /// <summary>What silos remember of a VM's runs, asked from a machine at its nearest gateway.</summary>
    public async Task<IReadOnlyList<RunInterval>> RunsAsync(string from, string gateway, string vm, params string[] silos)
    {
        var (exitCode, output, errors) = await OnAsync(from, [TestProcess.Executable, InsideCommands.Runs, Path.Combine(_folder, "me"), $"{AddressOf(gateway)}:7402", vm, .. silos.Select(s => Silo(s).Ready.GetProperty("address").GetString()!)]);
        Assert.True(exitCode == 0, errors);
        return JsonSerializer.Deserialize<List<RunInterval>>(output)!;
    }

    public Task SignalAsync(string silo, string signal) =>
        OnAsync(silo, "kill", signal, Silo(silo).Ready.GetProperty("pid").GetInt32().ToString(CultureInfo.InvariantCulture));

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_lab is not null)
        {
            await _lab.DisposeAsync();
        }

        foreach (var process in _silos.Values.Append(_watcher))
        {
            if (process is not null)
            {
                await process.DisposeAsync();
            }
        }

        if (_redis is not null)
        {
            await _redis.DisposeAsync();
        }

        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private void Prepare()
    {
        Directory.CreateDirectory(_folder);
        _commands = ReadmeCommands.Read();
        Assert.Equal(5, _commands.Count);
        var bin = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", ".."));
        var build = Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory));

        // What the repository's own script does once everything is built.
        var script = Path.Combine(_folder, "godwit");
        File.WriteAllText(script, $"""
            #!/bin/sh
            program=Cli
            case "$1 $2" in "silo list" | "silo drain" | "silo undrain") ;; "silo "*) program=Silo ;; esac
            exec {bin}/$program/{build}/Godwit.$program "$@"

            """);
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private async Task DoneAsync(string command)
    {
        var (exitCode, _, errors) = await OnAsync(Desk, "sh", "-c", command);
        Assert.True(exitCode == 0, $"{command}: {errors}");
    }
}
