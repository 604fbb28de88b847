using System.Text.Json;
using System.Text.Json.Serialization;

namespace Godwit.Guest.Benchmarks.Reports;

/// <summary>For programs: one object, camelCase, times in milliseconds.</summary>
internal static class JsonReport
{
    private static readonly JsonSerializerOptions s_options = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
        NumberHandling = JsonNumberHandling.Strict,
    };

    public static string Write(Results results) => JsonSerializer.Serialize(results, s_options) + "\n";
}
