using System.Text.Json;
using System.Text.Json.Serialization;
using Spectre.Console;

namespace Godwit.Cli.Terminal;

/// <summary>Where a command's results go: people get lines and tables, programs one JSON object a line.</summary>
internal sealed class Output(bool json)
{
    private static readonly JsonSerializerOptions _options = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(), new SecondsConverter() },
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public bool Json => json;

    /// <summary>Whether progress may redraw its line.</summary>
    public bool Live => !json && !Console.IsOutputRedirected;

    /// <summary>A result in both forms.</summary>
    public void Result(object value, Action people)
    {
        if (json)
        {
            Object(value);
        }
        else
        {
            people();
        }
    }

    /// <summary>A result that is one line for people.</summary>
    public void Result(object value, string line) => Result(value, () => Console.Out.WriteLine(line));

    public static void Object(object value) => Console.Out.WriteLine(JsonSerializer.Serialize(value, _options));

    public static void Line(string line) => Console.Out.WriteLine(line);

    /// <summary>A table with plain cells; no cell is read as markup.</summary>
    public static void Table(string[] columns, IEnumerable<string[]> rows)
    {
        var table = new Table().Border(TableBorder.Rounded);
        foreach (var column in columns)
        {
            table.AddColumn(new TableColumn(new Text(column)).NoWrap());
        }

        foreach (var row in rows)
        {
            table.AddRow(row.Select(cell => new Text(cell)));
        }

        if (Console.IsOutputRedirected)
        {
            // A pipe has no width to fit into.
            AnsiConsole.Profile.Width = 240;
        }

        AnsiConsole.Write(table);
    }

    /// <summary>Durations as seconds: a number that every language can read.</summary>
    private sealed class SecondsConverter : JsonConverter<TimeSpan>
    {
        public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => TimeSpan.FromSeconds(reader.GetDouble());

        public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) => writer.WriteNumberValue(value.TotalSeconds);
    }
}
