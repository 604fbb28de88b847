using System.Text.Json;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Protocol;

/// <summary>
/// What each version wrote is read by this build, and its calls are there still: messages and contracts only ever grow. A
/// version's file is written once, by the build of that version (<see cref="FrozenMessages.Write"/>), and is not changed any more.
/// </summary>
public sealed class FrozenMessageTests
{
    public static TheoryData<int> Versions => [.. Enumerable.Range(ProtocolRange.OfThisBuild.Oldest, ProtocolRange.OfThisBuild.Current - ProtocolRange.OfThisBuild.Oldest + 1)];

    [Theory, MemberData(nameof(Versions))]
    public void EveryMessageOfTheVersionIsReadAndMeansTheSame(int version)
    {
        var lines = Read(version).TakeWhile(l => l != "methods").ToList();
        Assert.True(lines.Count > 30, $"only {lines.Count} messages are frozen");
        foreach (var parts in lines.Select(l => l.Split('\t')))
        {
            var message = FrozenMessages.Serializer.Deserialize<object>(Convert.FromHexString(parts[1]))!;
            Assert.Equal(SampleFactory.Types().Single(t => t.Alias == parts[0]).Type, message.GetType());
            using var meant = JsonDocument.Parse(parts[2]);
            using var read = JsonDocument.Parse(FrozenMessages.Meaning(message));
            RequireWithin(parts[0], meant.RootElement, read.RootElement);
        }
    }

    [Theory, MemberData(nameof(Versions))]
    public void EveryCallOfTheVersionIsThereStill(int version)
    {
        var calls = Read(version).SkipWhile(l => l != "methods").Skip(1).ToList();
        Assert.True(calls.Count > 30, $"only {calls.Count} calls are frozen");
        Assert.Empty(calls.Except(SampleFactory.Methods()));
    }

    [Fact]
    public void TheVersionBeforeReadsWhatThisOneWrites()
    {
        // Records that have grown since version 1, read as that version knew them.
        var definition = Written<VmDefinition, DefinitionOfVersion1>(out var d);
        Assert.Equal((d.MemoryBytes, d.Kernel, d.CommandLine), (definition.MemoryBytes, definition.Kernel, definition.CommandLine));
        var vm = Written<HostedVmInfo, HostedVmOfVersion1>(out var v);
        Assert.Equal((v.Name, v.Phase, v.ResidentBytes), (vm.Name, vm.Phase, vm.ResidentBytes));
        var request = Written<IncomingRequest, IncomingOfVersion1>(out var r);
        Assert.Equal((r.Vm, r.SourceName, r.Definition.CommandLine), (request.Vm, request.SourceName, request.Definition.CommandLine));
        var host = Written<HostInfo, HostOfVersion1>(out var h);
        Assert.Equal((h.Name, h.MemoryReserved, h.Duty, h.Leaving[0], h.Vms[0].Name), (host.Name, host.MemoryReserved, host.Duty, host.Leaving[0], host.Vms[0].Name));
    }

    [Theory]
    [InlineData(2, 1, 2, 1, true)]
    [InlineData(2, 1, 1, 1, true)]
    [InlineData(3, 2, 2, 1, true)]
    [InlineData(3, 2, 1, 1, false)]
    [InlineData(4, 3, 2, 1, false)]
    public void NeighbouringVersionsFitAndOthersDoNot(int current, int oldest, int otherCurrent, int otherOldest, bool fits)
    {
        ProtocolRange one = new(current, oldest), other = new(otherCurrent, otherOldest);
        Assert.Equal((fits, fits), (one.FitsWith(other), other.FitsWith(one)));
    }

    /// <summary>A full sample as this build writes it to a field of its own type, read as another type.</summary>
    private static TOld Written<TNew, TOld>(out TNew sample)
        where TNew : notnull
    {
        sample = (TNew)SampleFactory.Create(typeof(TNew));
        return FrozenMessages.Serializer.Deserialize<TOld>(FrozenMessages.Serializer.SerializeToArray(sample))!;
    }

    private static string[] Read(int version)
    {
        using var stream = typeof(FrozenMessageTests).Assembly.GetManifestResourceStream($"Protocol.version-{version}.txt")
            ?? throw new InvalidOperationException($"Version {version} has no frozen messages: write them with FrozenMessages.Write.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>Everything that was meant is there with the same value; more may be there.</summary>
    private static void RequireWithin(string where, JsonElement meant, JsonElement read)
    {
        switch (meant.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var property in meant.EnumerateObject())
                {
                    Assert.True(read.TryGetProperty(property.Name, out var found), $"{where}.{property.Name} is gone");
                    RequireWithin($"{where}.{property.Name}", property.Value, found);
                }

                break;
            case JsonValueKind.Array:
                Assert.True(meant.GetArrayLength() == read.GetArrayLength(), $"{where} has another length");
                foreach (var (one, other) in meant.EnumerateArray().Zip(read.EnumerateArray()))
                {
                    RequireWithin(where, one, other);
                }

                break;
            default:
                Assert.True(meant.GetRawText() == read.GetRawText(), $"{where}: {meant.GetRawText()} is read as {read.GetRawText()}");
                break;
        }
    }
}
