using System.Text.RegularExpressions;
using Godwit.Grains.Interfaces;
using k8s;
using k8s.Models;
using Xunit;

namespace Godwit.Cluster.Tests.Deployment;

/// <summary>The manifests in deploy/kubernetes, read strictly into Kubernetes' own types: an unknown or misspelt field fails.</summary>
public sealed partial class KubernetesTests
{
    private readonly List<object> _all =
        [.. Directory.GetFiles(DeploymentFiles.Path("deploy", "kubernetes"), "*.yaml").Order().SelectMany(f => KubernetesYaml.LoadAllFromString(File.ReadAllText(f), strict: true))];

    [Fact]
    public void AMisspeltFieldIsRefusedByTheReaderOfTheseTests()
    {
        var text = DeploymentFiles.Read("deploy", "kubernetes", "silo.yaml");

        Assert.ThrowsAny<Exception>(() => KubernetesYaml.LoadAllFromString(text.Replace("readOnlyRootFilesystem", "readonlyRootFilesystem", StringComparison.Ordinal), strict: true));
    }

    [Fact]
    public void EverythingIsInTheNamespaceThatRefusesPrivileges()
    {
        var space = Assert.Single(_all.OfType<V1Namespace>());

        Assert.Equal("restricted", space.Metadata.Labels["pod-security.kubernetes.io/enforce"]);
        Assert.All(_all.Where(o => o is not V1Namespace).Cast<IKubernetesObject<V1ObjectMeta>>(), o => Assert.Equal(space.Metadata.Name, o.Metadata.NamespaceProperty));
    }

    [Fact]
    public void NoPodHasPrivileges()
    {
        foreach (var pod in Pods())
        {
            Assert.True(pod.SecurityContext.RunAsNonRoot);
            Assert.True(pod.SecurityContext.RunAsUser > 0);
            Assert.Equal("RuntimeDefault", pod.SecurityContext.SeccompProfile.Type);
            Assert.False(pod.AutomountServiceAccountToken);
            Assert.True(pod.HostNetwork is not true && pod.HostPID is not true && pod.HostIPC is not true);
            Assert.DoesNotContain(pod.Volumes, v => v.HostPath is not null);
            foreach (var container in Containers(pod))
            {
                Assert.False(container.SecurityContext.AllowPrivilegeEscalation);
                Assert.True(container.SecurityContext.ReadOnlyRootFilesystem);
                Assert.Equal(["ALL"], container.SecurityContext.Capabilities.Drop);
                Assert.Null(container.SecurityContext.Capabilities.Add);
                Assert.True(container.SecurityContext.Privileged is not true);
                Assert.Null(container.SecurityContext.RunAsUser);
                Assert.All(container.Ports ?? [], p => Assert.Null(p.HostPort));
            }
        }

        Assert.All(_all.OfType<V1ServiceAccount>(), a => Assert.False(a.AutomountServiceAccountToken));
    }

    [Fact]
    public void EveryContainerHasProbesAndBoundsAndMountsWhatItsPodHas()
    {
        foreach (var pod in Pods())
        {
            Assert.All(pod.Containers, c => Assert.True(c.StartupProbe is not null && c.ReadinessProbe is not null && c.LivenessProbe is not null, c.Name));
            foreach (var container in Containers(pod))
            {
                Assert.True(container.Resources.Requests.ContainsKey("cpu"));
                Assert.Equal(container.Resources.Requests["memory"], container.Resources.Limits["memory"]);
                var volumes = pod.Volumes.Select(v => v.Name).Concat(Sets().Single(s => s.Spec.Template.Spec == pod).Spec.VolumeClaimTemplates?.Select(c => c.Metadata.Name) ?? []);
                Assert.Empty(container.VolumeMounts.Select(m => m.Name).Except(volumes));
            }
        }
    }

    [Fact]
    public void TheSilosCommandLineIsOneThatSilosTake()
    {
        var container = Silo().Spec.Template.Spec.Containers.Single();
        var known = container.Env.ToDictionary(e => $"$({e.Name})", e => e.Name == "POD_IP" ? "10.0.0.7" : "godwit-silo-0");
        var words = container.Args.Select(a => known.GetValueOrDefault(a, a)).ToList();
        Assert.DoesNotContain(words, w => w.Contains('$', StringComparison.Ordinal));
        var parsed = DeploymentFiles.Parse(words);

        Assert.Equal("10.0.0.7", DeploymentFiles.Option<string>(parsed, "--address"));
        Assert.True(MemorySize.TryParse(DeploymentFiles.Option<string>(parsed, "--memory")!, out var guests));
        Assert.True(guests + (1L << 30) <= (long)container.Resources.Limits["memory"].ToDecimal(), "The silo itself needs 1 GiB beside its guests.");
        Assert.True(Silo().Spec.Template.Spec.TerminationGracePeriodSeconds >= DeploymentFiles.Option<double>(parsed, "--drain-timeout") + 30, "The kubelet would kill it while it drains.");
        Assert.Equal([7401, 7402, 7403], container.Ports.Select(p => p.ContainerPort));
        foreach (var written in new[] { "--cluster", "--checkpoints" })
        {
            Assert.Contains(container.VolumeMounts, m => m.MountPath == DeploymentFiles.Option<string>(parsed, written));
        }

        Assert.Contains(container.VolumeMounts, m => m.MountPath == "/tmp");
    }

    [Fact]
    public void ProbesAskTheSiloForItsHealth()
    {
        var container = Silo().Spec.Template.Spec.Containers.Single();
        foreach (var probe in new[] { container.StartupProbe, container.ReadinessProbe, container.LivenessProbe })
        {
            var command = probe.Exec.Command;
            Assert.Equal(["sh", "-c"], command.Take(2));
            var words = command[2].Replace("$POD_IP", "10.0.0.7", StringComparison.Ordinal).Split(' ');
            Assert.Equal(["exec", DeploymentFiles.SiloExecutable], words.Take(2));
            var parsed = DeploymentFiles.Parse(words.Skip(2));
            Assert.Equal("health", parsed.CommandResult.Command.Name);
            Assert.Equal("10.0.0.7", DeploymentFiles.Option<string>(parsed, "--address"));
            Assert.True(probe.TimeoutSeconds > 5, "The command itself waits for 5 s.");
        }
    }

    [Fact]
    public void TheDisruptionBudgetIsForTheSilosAndLetsOneGo()
    {
        var budget = Assert.Single(_all.OfType<V1PodDisruptionBudget>());

        Assert.Equal("1", budget.Spec.MaxUnavailable.Value);
        Assert.Equal(Silo().Spec.Template.Metadata.Labels, budget.Spec.Selector.MatchLabels);
        Assert.True(Silo().Spec.Replicas >= 3);
    }

    [Fact]
    public void ServicesSelectAStatefulSetsPodsAndPortsThatTheyHave()
    {
        foreach (var set in Sets())
        {
            Assert.Equal(set.Spec.Template.Metadata.Labels, set.Spec.Selector.MatchLabels);
            var service = Assert.Single(_all.OfType<V1Service>(), s => s.Metadata.Name == set.Spec.ServiceName);
            Assert.Equal(set.Spec.Template.Metadata.Labels, service.Spec.Selector);
            var ports = set.Spec.Template.Spec.Containers.SelectMany(c => c.Ports).ToDictionary(p => p.Name, p => p.ContainerPort);
            Assert.All(service.Spec.Ports, p => Assert.Equal(p.Port, ports[p.TargetPort.Value]));
        }

        var store = Silo().Spec.Template.Spec.Containers.Single().Args.SkipWhile(a => a != "--store").ElementAt(1);
        Assert.Contains(_all.OfType<V1Service>(), s => store == $"{s.Metadata.Name}.{s.Metadata.NamespaceProperty}.svc:{s.Spec.Ports.Single().Port}");
    }

    [Fact]
    public void WhatPodsNameIsDefinedHereOrMadeAsTheDocumentSays()
    {
        var document = DeploymentFiles.Read("docs", "deploy.md");
        foreach (var pod in Pods())
        {
            Assert.Contains(_all.OfType<V1ServiceAccount>(), a => a.Metadata.Name == pod.ServiceAccountName);
            foreach (var volume in pod.Volumes)
            {
                if (volume.Secret is { } secret)
                {
                    Assert.Matches($"create secret generic {secret.SecretName} ", document);
                    Assert.All(secret.Items ?? [], i => Assert.Matches($"{secret.SecretName} .*--from-file={Regex.Escape(i.Key)}", document));
                    Assert.Equal(0b100_100_000, secret.DefaultMode);
                }
                else if (volume.ConfigMap is { } map)
                {
                    Assert.True(map.Optional);
                    Assert.Matches($"create configmap {map.Name} ", document);
                }
                else if (volume.PersistentVolumeClaim is { } claim)
                {
                    Assert.Contains(_all.OfType<V1PersistentVolumeClaim>(), c => c.Metadata.Name == claim.ClaimName);
                }
                else
                {
                    Assert.NotNull(volume.EmptyDir);
                }
            }
        }
    }

    [Fact]
    public void OnlyWhatIsNeededPassesTheNetwork()
    {
        var policies = _all.OfType<V1NetworkPolicy>().ToList();
        var nothing = Assert.Single(policies, p => p.Spec.PodSelector.MatchLabels is null);
        Assert.True(nothing.Spec.Ingress is null && nothing.Spec.Egress is null);
        Assert.All(policies, p => Assert.Equal(["Ingress", "Egress"], p.Spec.PolicyTypes));
        foreach (var set in Sets())
        {
            var own = Assert.Single(policies, p => Same(p.Spec.PodSelector.MatchLabels, set.Spec.Template.Metadata.Labels));
            var open = own.Spec.Ingress.SelectMany(i => i.Ports).Select(p => p.Port.Value).ToHashSet();
            Assert.True(open.SetEquals(set.Spec.Template.Spec.Containers.SelectMany(c => c.Ports).Select(p => $"{p.ContainerPort}")));
            Assert.All(own.Spec.Ingress, i => Assert.NotEmpty(i.FromProperty));
        }
    }

    [Fact]
    public void TheStoreKeepsWhatItAcknowledges()
    {
        var command = Sets().Single(s => s.Metadata.Name == "godwit-store").Spec.Template.Spec.Containers.Single().Command;

        ComposeTests.RequireDurable(command);
        Assert.Contains(Sets(), s => s.Spec.VolumeClaimTemplates?.Any(c => c.Metadata.Name == "data") == true);
    }

    [Fact]
    public void ImagesHaveAVersion() =>
        Assert.All(Pods().SelectMany(Containers), c => Assert.Matches(Version(), c.Image));

    private static bool Same(IDictionary<string, string>? some, IDictionary<string, string> others) =>
        some is not null && some.Count == others.Count && some.All(p => others.TryGetValue(p.Key, out var value) && value == p.Value);

    private static IEnumerable<V1Container> Containers(V1PodSpec pod) => (pod.InitContainers ?? []).Concat(pod.Containers);

    private List<V1StatefulSet> Sets() => [.. _all.OfType<V1StatefulSet>()];

    private V1StatefulSet Silo() => Sets().Single(s => s.Metadata.Name == "godwit-silo");

    private IEnumerable<V1PodSpec> Pods() => Sets().Select(s => s.Spec.Template.Spec);

    [GeneratedRegex(":[0-9][0-9.]*$")]
    private static partial Regex Version();
}
