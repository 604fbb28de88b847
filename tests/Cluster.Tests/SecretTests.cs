using System.Net;
using System.Net.Sockets;
using Godwit.Access;
using Godwit.Client;
using Godwit.Cluster.Tests.Network;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using StackExchange.Redis;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>What users of the machine who cannot read the cluster folder get from a one-machine cluster: nothing.</summary>
[Collection(TwoSilosCollection.Name)]
public sealed class SecretTests(TwoSilos cluster) : OnTwoSilos(cluster), IDisposable
{
    private readonly string _other = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");

    [Fact]
    public async Task TheEmbeddedStoreAsksForItsPassword()
    {
        var refused = await Assert.ThrowsAnyAsync<RedisException>(() => ConnectionMultiplexer.ConnectAsync(Cluster.Store));
        Assert.Contains("NOAUTH", refused.Message, StringComparison.Ordinal);

        Assert.Null(await StoreLogin.Find(Cluster.Folder, null)!.WhyNotAsync());
    }

    [Fact]
    public async Task AOneMachineClusterListensOnLoopbackAndItsPortsAnswerNoStranger()
    {
        foreach (var process in ProcessesOfTheCluster())
        {
            var listening = ListeningSockets.Of(process);
            Assert.NotEmpty(listening);
            Assert.All(listening, at => Assert.True(IPAddress.IsLoopback(at.Address), $"{at} is beyond loopback"));
            foreach (var at in listening)
            {
                // A store may say that it wants a password; a silo closes without a word.
                Assert.Equal("", (await InsideCommands.PlainAsync(at)).Replace("-NOAUTH Authentication required.", "", StringComparison.Ordinal));
                Assert.Equal("", await InsideCommands.SecuredAsync(at, null));
            }
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("wrong")]
    public async Task ALoginWithoutThePasswordSaysWhereToPutIt(string? password)
    {
        var reason = await new StoreLogin { Address = Cluster.Store, Password = password }.WhyNotAsync();

        Assert.Contains("asks for a", reason, StringComparison.Ordinal);
        Assert.Contains("--store-password-file", reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AClientWithAnotherSecretIsNotLetIn()
    {
        // As one who got hold of the store's password, and of nothing else.
        var access = Cluster.Access with { Guard = new SecretGuard(ClusterSecret.New()) };

        await BadInputTests.RefusedAsync(ClusterError.Denied, "does not know the secret of this cluster folder", () => GodwitClient.ConnectAsync(access, TimeSpan.Zero));
    }

    [Fact]
    public async Task ASiloWithAnotherSecretDoesNotJoin()
    {
        var password = Path.Combine(_other, "password");
        Directory.CreateDirectory(_other, OwnerFile.FolderMode);
        OwnerFile.Write(password, StoreLogin.Find(Cluster.Folder, null)!.Password!, replace: false);

        var (exitCode, output, errors) = await TestProcess.RunAsync(TestProcess.Executable, "silo", "--cluster", _other, "--store", Cluster.Store, "--store-password-file", password, "--name", "stranger", "--failure-detection", "1", "--json");

        Assert.Equal((1, ""), (exitCode, output));
        Assert.Contains("does not let this one join", errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
        Assert.DoesNotContain(await Cluster.Client.SilosAsync(), s => s.Name == "stranger");
    }

    [Fact]
    public async Task ASecretThatOthersMayReadIsNotUsed()
    {
        ClusterSecret.ReadOrCreate(_other);
        var file = Path.Combine(_other, ClusterSecret.FileName);
        File.SetUnixFileMode(file, OwnerFile.FileMode | UnixFileMode.GroupRead);

        var (exitCode, _, errors) = await TestProcess.RunAsync(TestProcess.Executable, "silo", "--cluster", _other);

        Assert.Equal(1, exitCode);
        Assert.Contains($"chmod 600 {file}", errors, StringComparison.Ordinal);
    }

    [Fact]
    public void TheSecretIsMadeOnceAndForItsOwnerAlone()
    {
        var first = ClusterSecret.ReadOrCreate(_other);

        Assert.Equal(first.ToHex(), ClusterSecret.ReadOrCreate(_other).ToHex());
        Assert.Equal(OwnerFile.FileMode, File.GetUnixFileMode(Path.Combine(_other, ClusterSecret.FileName)));
        Assert.Equal(OwnerFile.FolderMode, File.GetUnixFileMode(_other));
        Assert.Equal(["token"], Directory.EnumerateFileSystemEntries(_other).Select(Path.GetFileName));
    }

    [Fact]
    public async Task WhatIsProvedAtOnePortCountsForNothingAtAnother()
    {
        var secret = ClusterSecret.New();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
        using var server = await listener.AcceptTcpClientAsync();

        var accepting = new SecretGuard(secret).AcceptAsync(server.GetStream(), ClusterPort.Silo, default);
        var connecting = new SecretGuard(secret).ConnectAsync(client.GetStream(), ClusterPort.Gateway, null, default);

        await Assert.ThrowsAsync<AccessRefusedException>(() => accepting);
        server.Dispose();
        await Assert.ThrowsAnyAsync<IOException>(() => connecting);
    }

    /// <summary>Silos a and b, and the embedded store.</summary>
    private IEnumerable<int> ProcessesOfTheCluster() =>
        new[] { Cluster.Silo("a").Id, Cluster.Silo("b").Id }.Concat(LocalCluster.FindStore(Cluster.Folder) is { } store ? [store.Pid] : []);

    public void Dispose()
    {
        if (Directory.Exists(_other))
        {
            Directory.Delete(_other, recursive: true);
        }
    }
}
