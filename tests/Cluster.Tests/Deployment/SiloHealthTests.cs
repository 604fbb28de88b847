using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Cluster.Tests.Processes;
using k8s;
using k8s.Models;
using Xunit;

namespace Godwit.Cluster.Tests.Deployment;

/// <summary>A silo with the command line of deploy/kubernetes, certificates and all, at a loopback address; and what its probes say.</summary>
public sealed class SiloHealthTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("godwit-test-").FullName;

    [Fact]
    public async Task TheManifestsSiloIsHealthyFromReadyToItsEnd()
    {
        var storeFolder = Path.Combine(_folder, "store");
        await using var store = await StoreServer.StartAsync(storeFolder);
        var authority = ClusterAuthority.Init(Path.Combine(_folder, "authority"), TimeProvider.System);
        var cluster = Path.Combine(_folder, "godwit");
        OwnerFile.CreateFolder(cluster);
        authority.IssueSilo("godwit-silo-0", [], TimeSpan.FromDays(1)).Write(Path.Combine(cluster, Identity.FileName));
        OwnerFile.Write(Path.Combine(cluster, "password"), ClusterSecret.TryRead(storeFolder)!.StorePassword + "\n", replace: true);

        await using var silo = await TestProcess.StartAsync([.. Arguments(store.Address), "--json"]);
        var port = silo.Ready.GetProperty("gateway").GetString()!.Split(':')[1];

        Assert.Equal("godwit-silo-0", silo.Ready.GetProperty("name").GetString());
        Assert.Equal((0, "", ""), await ProbeAsync(cluster, port));

        silo.Signal("-TERM");
        await silo.WaitForExitAsync();
        Assert.Equal(0, silo.ExitCode);
        Assert.True(silo.Errors.Trim().Length == 0, $"A probe is nothing to complain of: {silo.Errors}");
        var (exitCode, _, errors) = await ProbeAsync(cluster, port);
        Assert.Equal(1, exitCode);
        Assert.StartsWith($"godwit: No silo is active at 127.0.0.1:{port}: ", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AProbeThatIsNotOfTheClusterIsToldSo()
    {
        var cluster = Path.Combine(_folder, "one");
        await using var store = await StoreServer.StartAsync(cluster);
        await using var silo = await TestProcess.StartAsync("silo", "--cluster", cluster, "--json");
        var port = silo.Ready.GetProperty("gateway").GetString()!.Split(':')[1];
        Assert.Equal((0, "", ""), await ProbeAsync(cluster, port));

        var other = Path.Combine(_folder, "other");
        ClusterSecret.ReadOrCreate(other);
        Assert.Equal(1, (await ProbeAsync(other, port)).ExitCode);
        Assert.Equal((1, $"godwit: There is no cluster folder {_folder}/none."), await ErrorAsync(Path.Combine(_folder, "none"), port));
        Assert.False(Directory.Exists(Path.Combine(_folder, "none")));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task<(int ExitCode, string Output, string Errors)> ProbeAsync(string cluster, string port)
    {
        var (exitCode, output, errors) = await TestProcess.RunAsync(TestProcess.Executable, "silo", "health", "--cluster", cluster, "--gateway-port", port);
        return (exitCode, output.Trim(), errors.Trim());
    }

    private static async Task<(int ExitCode, string Errors)> ErrorAsync(string cluster, string port)
    {
        var (exitCode, _, errors) = await ProbeAsync(cluster, port);
        return (exitCode, errors);
    }

    /// <summary>The manifest's, with this test's folder, store and address in the places of the pod's.</summary>
    private IEnumerable<string> Arguments(string store) =>
        KubernetesYaml.LoadAllFromString(DeploymentFiles.Read("deploy", "kubernetes", "silo.yaml"), strict: true)
            .OfType<V1StatefulSet>().Single().Spec.Template.Spec.Containers.Single().Args
            .Select(a => a
                .Replace("$(POD_NAME)", "godwit-silo-0", StringComparison.Ordinal)
                .Replace("$(POD_IP)", "127.0.0.1", StringComparison.Ordinal)
                .Replace("godwit-store.godwit.svc:6379", store, StringComparison.Ordinal)
                .Replace("/var/lib", _folder, StringComparison.Ordinal));
}
