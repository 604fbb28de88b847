using System.Text.Json;
using System.Text.Json.Serialization;

namespace Godwit.Cli.Run;

/// <summary>How the command line writes JSON: camelCase, enums by name, one line.</summary>
public static class CliJson
{
    public static JsonSerializerOptions Options { get; } = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
    };
}
