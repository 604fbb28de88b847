using System.Text.Json;
using System.Text.Json.Serialization;
using Godwit.Grains.Interfaces;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;

namespace Godwit.Cluster.Tests.Protocol;

/// <summary>
/// Messages as a version wrote them, one a line: alias, bytes as Orleans serialises them (hex), and what they mean (JSON),
/// separated by tabs; then, after "methods", the grain contracts' methods. A version's file is written once and stays.
/// </summary>
internal static class FrozenMessages
{
    private static readonly JsonSerializerOptions _json = new() { Converters = { new JsonStringEnumConverter() } };

    public static Serializer Serializer { get; } = new ServiceCollection().AddSerializer().BuildServiceProvider().GetRequiredService<Serializer>();

    /// <summary>What this build would freeze.</summary>
    public static IEnumerable<string> Write()
    {
        foreach (var (alias, type) in SampleFactory.Types())
        {
            var sample = SampleFactory.Create(type);
            yield return $"{alias}\t{Convert.ToHexStringLower(Serializer.SerializeToArray<object>(sample))}\t{Meaning(sample)}";
        }

        yield return "methods";
        foreach (var method in SampleFactory.Methods())
        {
            yield return method;
        }
    }

    public static string Meaning(object message) => message is ClusterException refusal
        ? JsonSerializer.Serialize(new { refusal.Error, refusal.Message }, _json)
        : JsonSerializer.Serialize(message, message.GetType(), _json);
}
