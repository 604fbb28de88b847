using System.Reflection;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Access.Roles;
using Godwit.Client;
using Godwit.Cluster.Tests.Ownership;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>Who may do what in a cluster with an authority, and how others are told that they may not.</summary>
public sealed class RoleTests(AuthorityCluster cluster) : IClassFixture<AuthorityCluster>
{
    public static TheoryData<string> GrainMethods => [.. MethodNames];

    private static IEnumerable<string> MethodNames =>
        typeof(IVmGrain).Assembly.GetTypes().Where(t => t.IsInterface && typeof(IAddressable).IsAssignableFrom(t)).SelectMany(t => t.GetMethods().Select(m => $"{t.Name}.{m.Name}"));

    [Theory]
    [MemberData(nameof(GrainMethods))]
    public void EveryGrainMethodHasOneRole(string method) =>
        Assert.True(GrainRoles.Rows.Count(r => $"{r.Interface.Name}.{r.Method}" == method) == 1, $"{method} is not once in Access/Roles/GrainRoles.cs: say there who may call it");

    [Fact]
    public void TheTableNamesNothingThatIsNotThere() =>
        Assert.Empty(GrainRoles.Rows.Select(r => $"{r.Interface.Name}.{r.Method}").Except(MethodNames));

    [Fact]
    public void WhatTheTableDoesNotKnowIsForSilosOnly() =>
        Assert.Equal([ClusterRole.Silo, ClusterRole.Silo], [GrainRoles.Of(typeof(IManagementGrain), "GetHosts"), GrainRoles.Of(typeof(IVmGrain), "NoSuch")]);

    [Fact]
    public async Task AViewerLooksAndNoMore()
    {
        var vm = await RunningAsync();
        var viewer = await cluster.ClientAsync(ClusterRole.Viewer);
        var seen = viewer.Vm(vm.Name);

        Assert.Equal(VmState.Running, (await seen.ShowAsync()).State);
        Assert.Contains(await viewer.VmsAsync(), v => v.Name == vm.Name);
        Assert.Equal(2, (await viewer.SilosAsync()).Count);
        Assert.Equal(["1", "2"], await VmCommandTests.ReadLinesAsync(seen, 2));
        foreach (var command in (Func<Task>[])
        [
            () => seen.PauseAsync(), () => seen.StopAsync(), () => seen.MigrateAsync(new MigrationRequest { Target = "b" }),
            () => seen.WriteConsoleAsync("x"u8.ToArray()), () => seen.SnapshotAsync(Stream.Null), () => viewer.DrainSiloAsync("a"),
        ])
        {
            await BadInputTests.RefusedAsync(ClusterError.Denied, "Viewer is a viewer, and this command needs an operator.", command);
        }

        Assert.Equal(VmState.Running, (await vm.ShowAsync()).State);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AnOperatorRunsWhatThereIsAndCreatesNothing()
    {
        var vm = await RunningAsync();
        var run = (await cluster.ClientAsync(ClusterRole.Operator)).Vm(vm.Name);

        await (await run.MigrateAsync(new MigrationRequest { Target = "b" })).ResultAsync();
        await run.WriteConsoleAsync("x"u8.ToArray());
        await run.StopAsync();

        const string says = "Operator is an operator, and this command needs an admin.";
        await BadInputTests.RefusedAsync(ClusterError.Denied, says, () => run.DeleteAsync());
        await BadInputTests.RefusedAsync(ClusterError.Denied, says, () => run.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 }));
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task WhatSilosAskOfOneAnotherNoClientMay()
    {
        var admin = await cluster.ClientAsync(ClusterRole.Admin);
        var address = (await admin.SilosAsync()).First(s => s.Host is not null).Address;

        await BadInputTests.RefusedAsync(ClusterError.Denied, "IHostGrain.StartVm is for silos only.", () => admin.Calls.OnceAsync(g => g.GetGrain<IHostGrain>(address).StartVm("x"), default));
        await BadInputTests.RefusedAsync(ClusterError.Denied, "for silos only", () => admin.Calls.OnceAsync(g => g.GetGrain<IManagementGrain>(0).ForceGarbageCollection([]), default));
    }

    [Theory]
    [InlineData("", "does not say whom it is from")]
    [InlineData("silo:0000", "not from this cluster's authority")]
    [InlineData("token:eyJuYW1lIjoieCJ9.AAAA", "not from this cluster's authority")]
    public async Task AnInventedCredentialIsNobodys(string credential, string says)
    {
        // Its certificate is genuine: it is let in, and then nothing that it asks is done.
        var access = cluster.AccessOf("inventor", ClusterRole.Viewer) with { Credential = credential };

        await BadInputTests.RefusedAsync(ClusterError.Denied, says, async () =>
        {
            await using var client = await GodwitClient.ConnectAsync(access, TimeSpan.Zero);
            await client.VmsAsync();
        });
    }

    [Fact]
    public void ATokenCountsUnchangedAndFromItsAuthorityOnly()
    {
        using var folder = new TokenFolder();
        var authority = ClusterAuthority.Init(folder.Path, TimeProvider.System);
        var token = authority.IssueClient("alice", ClusterRole.Viewer, TimeSpan.FromDays(1)).Token!;
        var (body, signature) = (token.Split('.')[0], token.Split('.')[1]);
        var raised = System.Text.Encoding.UTF8.GetString(System.Buffers.Text.Base64Url.DecodeFromChars(body)).Replace("viewer", "admin", StringComparison.Ordinal);

        Assert.Equal(("alice", ClusterRole.Viewer), ClientToken.TryVerify(token, [authority.Certificate]) is { } t ? (t.Name, t.Role) : default);
        Assert.Contains("admin", raised, StringComparison.Ordinal);
        Assert.Null(ClientToken.TryVerify($"{System.Buffers.Text.Base64Url.EncodeToString(System.Text.Encoding.UTF8.GetBytes(raised))}.{signature}", [authority.Certificate]));
        Assert.Null(ClientToken.TryVerify(token, [cluster.Authority.Certificate]));
    }

    [Fact]
    public void ATokenEndsWithItsTimeAndWithItsRevocation()
    {
        using var folder = new TokenFolder();
        var time = new ManualTime();
        var authority = ClusterAuthority.Init(folder.Path, time);
        var silo = authority.IssueSilo("a", [], TimeSpan.FromDays(9));
        var callers = new Callers(silo.Secret!, silo, new RevocationList(folder.Path, time), time);
        var alice = CallCredential.TokenPrefix + authority.IssueClient("alice", ClusterRole.Operator, TimeSpan.FromDays(1)).Token;
        var bob = CallCredential.TokenPrefix + authority.IssueClient("bob", ClusterRole.Admin, TimeSpan.FromDays(1)).Token;
        Assert.Equal(new Caller("alice", ClusterRole.Operator), callers.Identify(alice));
        Assert.Equal(new Caller("bob", ClusterRole.Admin), callers.Identify(bob));

        Assert.Single(authority.Revoke("bob"));
        time.Advance(TimeSpan.FromSeconds(2));
        Assert.Contains("of bob is revoked", Assert.Throws<AccessRefusedException>(() => callers.Identify(bob)).Message, StringComparison.Ordinal);
        Assert.Equal("alice", callers.Identify(alice).Name);

        time.Advance(TimeSpan.FromDays(1));
        Assert.Contains("of alice has expired", Assert.Throws<AccessRefusedException>(() => callers.Identify(alice)).Message, StringComparison.Ordinal);
    }

    private async Task<Vm> RunningAsync()
    {
        var vm = (await cluster.ClientAsync(ClusterRole.Admin)).Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync("a");
        return vm;
    }

    private static async Task GoneAsync(Vm vm)
    {
        await vm.StopAsync();
        await vm.DeleteAsync();
    }

    private sealed class TokenFolder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("godwit-test-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
