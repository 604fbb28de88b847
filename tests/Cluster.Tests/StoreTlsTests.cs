using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Silo.Hosting;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>A redis-server with the folder that <c>godwit cluster issue store</c> makes, silos that trust it, and those that do not.</summary>
public sealed class StoreTlsTests : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("godwit-test-").FullName;
    private readonly List<RedisServer> _servers = [];
    private readonly int _port = FreePort.Find();

    private static string Cli => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Cli"));

    [Theory, OnRedisServer]
    public async Task SilosAndTheirVmsAreKeptInAStoreThatSpeaksTls(StoreKind _)
    {
        await IssueAsync("silo", "a");
        await IssueAsync("client", "me", "--role", "admin");
        await StartAsync("redis");
        await using var silo = await TestProcess.StartAsync("silo", "--cluster", In("a"), "--store", $"127.0.0.1:{_port}", "--store-tls", "--memory", "1G", "--json");
        await using var client = await GodwitClient.ConnectAsync(ClusterAccess.Open(In("me"), gateways: [silo.Ready.GetProperty("gateway").GetString()!]));
        var vm = client.Vm("kept");

        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync();

        Assert.Equal(["1", "2", "3"], await VmCommandTests.ReadLinesAsync(vm, 3));
        Assert.Equal("", silo.Errors.Trim());
    }

    [Theory, OnRedisServer]
    public async Task AStoreThatIsNotTheClustersIsRefusedWithTheReason(StoreKind _)
    {
        await IssueAsync("silo", "a");
        await StartAsync("redis");
        await IssueFromAsync("other", "silo", "b");
        var plain = await RedisServer.StartAsync(In("plain"), port: 0, password: "secret");
        _servers.Add(plain);

        // Another authority's; under another name than it has; no TLS at either end; nobody there; no authority to ask.
        await RefusedAsync("b", "is not trusted: its certificate is not from this cluster's authority, or has expired.", $"127.0.0.1:{_port}", "--store-tls");
        await RefusedAsync("a", "is not trusted: its certificate is for another address.", $"localhost:{_port}", "--store-tls");
        await RefusedAsync("a", "speaks TLS: say --store-tls.", $"127.0.0.1:{_port}");
        await RefusedAsync("a", "does not speak TLS", $"127.0.0.1:{plain.Port}", "--store-tls");
        await RefusedAsync("a", "No store answers at", "127.0.0.1:1", "--store-tls");
        await RefusedAsync("nobody", "is not trusted: its certificate is from nobody whom this machine trusts.", $"127.0.0.1:{_port}", "--store-tls");
    }

    [Theory, OnRedisServer]
    public async Task ASilosCertificateMakesNoStore(StoreKind _)
    {
        await IssueAsync("silo", "a");
        await IssueAsync("silo", "b", "--address", "127.0.0.1");
        var pem = await File.ReadAllTextAsync(Path.Combine(In("b"), Identity.FileName));
        await File.WriteAllTextAsync(Path.Combine(In("redis"), "store.crt"), pem);
        await File.WriteAllTextAsync(Path.Combine(In("redis"), "store.key"), pem);
        await StartAsync("redis");

        await RefusedAsync("a", "is not trusted: its certificate was issued to a silo or a client, and not to a store.", $"127.0.0.1:{_port}", "--store-tls");
    }

    [Theory, OnRedisServer]
    public async Task ThePasswordComesFromAFileOfItsOwnersOnly(StoreKind _)
    {
        await IssueAsync("silo", "a");
        await StartAsync("redis");
        var file = In("password");
        OwnerFile.Write(file, "wrong\n", replace: true);

        await RefusedAsync("a", "asks for a different password", $"127.0.0.1:{_port}", "--store-tls", "--store-password-file", file);
        File.SetUnixFileMode(file, OwnerFile.FileMode | UnixFileMode.OtherRead);
        await RefusedAsync("a", $"chmod 600 {file}", $"127.0.0.1:{_port}", "--store-tls", "--store-password-file", file);
        Assert.Equal(2, (await TestProcess.RunAsync(TestProcess.Executable, "silo", "--cluster", In("a"), "--store-password", "secret")).ExitCode);
        Assert.All(Directory.EnumerateFiles(In("redis")).Where(f => !f.Contains("appendonly", StringComparison.Ordinal)), f => Assert.Equal(OwnerFile.FileMode, File.GetUnixFileMode(f)));
    }

    public async Task InitializeAsync()
    {
        foreach (var authority in new[] { "authority", "other" })
        {
            await DoneAsync("cluster", "init", "--cluster", In(authority));
        }

        await IssueAsync("store", "redis", "--address", "127.0.0.1", "--port", $"{_port}");
    }

    public async Task DisposeAsync()
    {
        foreach (var server in _servers)
        {
            await server.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private string In(string name) => Path.Combine(_folder, name);

    private Task IssueAsync(string kind, string name, params string[] more) => IssueFromAsync("authority", kind, name, more);

    private Task IssueFromAsync(string authority, string kind, string name, params string[] more) =>
        DoneAsync(["cluster", "issue", kind, name, "--out", In(name), "--cluster", In(authority), .. more]);

    private async Task StartAsync(string folder) => _servers.Add(await RedisServer.StartAsync("env", ["-C", In(folder), RedisServer.Executable!, "redis.conf"]));

    private async Task RefusedAsync(string silo, string reason, string store, params string[] more)
    {
        var (exitCode, output, errors) = await TestProcess.RunAsync(TestProcess.Executable, ["silo", "--cluster", In(silo), "--store", store, .. more]);
        Assert.Equal((1, ""), (exitCode, output));
        Assert.Contains(reason, errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
    }

    private static async Task DoneAsync(params string[] command)
    {
        var (exitCode, _, errors) = await TestProcess.RunAsync(Cli, command);
        Assert.True(exitCode == 0, errors);
    }
}
