using System.Globalization;
using System.Net;
using Godwit.Grains.Interfaces;
using Xunit;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace Godwit.Cluster.Tests.Deployment;

/// <summary>deploy/compose.yaml, read into a model of exactly what it uses: a key that is not in it, or comes twice, fails.</summary>
public sealed class ComposeTests
{
    private readonly ComposeFile _file = Read(DeploymentFiles.Read("deploy", "compose.yaml"));

    [Fact]
    public void AMisspeltKeyIsRefusedByTheReaderOfTheseTests() =>
        Assert.ThrowsAny<YamlDotNet.Core.YamlException>(() => Read(DeploymentFiles.Read("deploy", "compose.yaml").Replace("cap_drop", "cap_dorp", StringComparison.Ordinal)));

    [Fact]
    public void SilosHaveCommandLinesThatSilosTakeAtTheirOwnAddress()
    {
        var silos = Silos();
        Assert.Equal(3, silos.Count);
        var store = _file.Services["store"].Networks["cluster"].Ipv4Address;
        foreach (var (name, silo) in silos)
        {
            var address = silo.Networks["cluster"].Ipv4Address;
            var parsed = DeploymentFiles.Parse(silo.Command);
            Assert.Equal(address, DeploymentFiles.Option<string>(parsed, "--address"));
            Assert.Equal($"{store}:6379", DeploymentFiles.Option<string>(parsed, "--store"));
            Assert.Equal(address, silo.Environment["GODWIT_ADDRESS"]);
            Assert.Equal($"/run/secrets/{Assert.Single(silo.Secrets)}", DeploymentFiles.Option<string>(parsed, "--store-password-file"));
            Assert.True(Seconds(silo.StopGracePeriod) >= DeploymentFiles.Option<double>(parsed, "--drain-timeout") + 30, "It would be killed while it drains.");
            Assert.True(MemorySize.TryParse(DeploymentFiles.Option<string>(parsed, "--memory")!, out var guests) && MemorySize.TryParse(silo.MemLimit!.ToUpperInvariant(), out var limit) && guests + (1L << 30) <= limit);
            Assert.Contains($"./secrets/{name["silo-".Length..]}:{DeploymentFiles.Option<string>(parsed, "--cluster")}", silo.Volumes);
            Assert.Contains($"checkpoints:{DeploymentFiles.Option<string>(parsed, "--checkpoints")}", silo.Volumes);
            Assert.Contains("/tmp", silo.Volumes);

            Assert.Equal(["CMD", DeploymentFiles.SiloExecutable], silo.Healthcheck.Test.Take(2));
            var probe = DeploymentFiles.Parse(silo.Healthcheck.Test.Skip(2));
            Assert.Equal("health", probe.CommandResult.Command.Name);
            Assert.Equal(address, DeploymentFiles.Option<string>(probe, "--address"));
        }
    }

    [Fact]
    public void EachHasAnAddressOfItsOwnInTheSubnet()
    {
        var subnet = IPNetwork.Parse(_file.Networks["cluster"].Ipam.Config.Single().Subnet);
        var addresses = _file.Services.Values.Select(s => s.Networks["cluster"].Ipv4Address).ToList();

        Assert.Equal(addresses.Count, addresses.Distinct().Count());
        Assert.All(addresses, a => Assert.True(subnet.Contains(IPAddress.Parse(a)), a));
    }

    [Fact]
    public void NoServiceHasPrivilegesAndWhatItNamesIsThere()
    {
        foreach (var service in _file.Services.Values)
        {
            Assert.Equal(["ALL"], service.CapDrop);
            Assert.Equal(["no-new-privileges:true"], service.SecurityOpt);
            Assert.True(service.ReadOnly);
            Assert.Matches("^[1-9][0-9]*:[1-9][0-9]*$", service.User);
            Assert.Empty(service.Secrets.Except(_file.Secrets.Keys));
            Assert.Empty(service.DependsOn.Keys.Except(_file.Services.Keys));
            Assert.Empty(service.Volumes.Select(v => v.Split(':')[0]).Where(v => v[0] is not ('.' or '/')).Except(_file.Volumes.Keys));
            if (service.Build is { } build)
            {
                Assert.True(File.Exists(Path.Combine(DeploymentFiles.Path("deploy"), build.Context, build.Dockerfile)));
            }
        }

        Assert.All(_file.Secrets.Values, s => Assert.Contains(s.File.Replace("./", "deploy/", StringComparison.Ordinal), DeploymentFiles.Read("docs", "deploy.md"), StringComparison.Ordinal));
    }

    [Fact]
    public void TheStoreKeepsWhatItAcknowledgesAndItsPasswordIsInAFile()
    {
        var store = _file.Services["store"];

        RequireDurable(store.Command);
        Assert.Equal($"/run/secrets/{Assert.Single(store.Secrets)}", store.Command[1]);
        Assert.DoesNotContain(store.Command, w => w.Contains("requirepass", StringComparison.Ordinal));
    }

    /// <summary>A Redis whose acknowledged writes are on its disk, and that forgets none to make room.</summary>
    internal static void RequireDurable(IEnumerable<string> command)
    {
        var words = command.ToList();
        foreach (var (setting, value) in new[] { ("--appendonly", "yes"), ("--appendfsync", "always"), ("--maxmemory-policy", "noeviction"), ("--dir", "/data") })
        {
            var at = words.IndexOf(setting);
            Assert.True(at > 0 && words[at + 1] == value, $"{setting} {value}");
        }
    }

    private static ComposeFile Read(string text) =>
        new DeserializerBuilder().WithNamingConvention(UnderscoredNamingConvention.Instance).WithDuplicateKeyChecking().Build().Deserialize<ComposeFile>(text);

    private static double Seconds(string text) => double.Parse(text.AsSpan(0, text.Length - 1), CultureInfo.InvariantCulture);

    private List<KeyValuePair<string, ComposeService>> Silos() => [.. _file.Services.Where(s => s.Key.StartsWith("silo-", StringComparison.Ordinal))];

    internal sealed class ComposeFile
    {
        public Dictionary<string, ComposeService> Services { get; set; } = [];
        public Dictionary<string, ComposeNetwork> Networks { get; set; } = [];
        public Dictionary<string, Dictionary<string, string>> Volumes { get; set; } = [];
        public Dictionary<string, ComposeSecret> Secrets { get; set; } = [];
    }

    internal sealed class ComposeService
    {
        public string Image { get; set; } = "";
        public ComposeBuild? Build { get; set; }
        public string User { get; set; } = "";
        public List<string> Command { get; set; } = [];
        public Dictionary<string, string> Environment { get; set; } = [];
        public List<string> Secrets { get; set; } = [];
        public List<string> Volumes { get; set; } = [];
        public Dictionary<string, ComposeAddress> Networks { get; set; } = [];
        public Dictionary<string, ComposeCondition> DependsOn { get; set; } = [];
        public string? MemLimit { get; set; }
        public bool ReadOnly { get; set; }
        public List<string> CapDrop { get; set; } = [];
        public List<string> SecurityOpt { get; set; } = [];
        public string Restart { get; set; } = "";
        public string StopGracePeriod { get; set; } = "";
        public ComposeHealth Healthcheck { get; set; } = new();
    }

    internal sealed class ComposeBuild
    {
        public string Context { get; set; } = "";
        public string Dockerfile { get; set; } = "";
    }

    internal sealed class ComposeHealth
    {
        public List<string> Test { get; set; } = [];
        public string Interval { get; set; } = "";
        public string Timeout { get; set; } = "";
        public int Retries { get; set; }
    }

    internal sealed class ComposeAddress
    {
        [YamlMember(Alias = "ipv4_address", ApplyNamingConventions = false)]
        public string Ipv4Address { get; set; } = "";
    }

    internal sealed class ComposeCondition
    {
        public string Condition { get; set; } = "";
    }

    internal sealed class ComposeNetwork
    {
        public ComposeIpam Ipam { get; set; } = new();
    }

    internal sealed class ComposeIpam
    {
        public List<ComposeSubnet> Config { get; set; } = [];
    }

    internal sealed class ComposeSubnet
    {
        public string Subnet { get; set; } = "";
    }

    internal sealed class ComposeSecret
    {
        public string File { get; set; } = "";
    }
}
