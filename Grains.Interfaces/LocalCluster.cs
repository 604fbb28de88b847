using System.Text.Json;

namespace Godwit.Grains.Interfaces;

/// <summary>
/// How processes of one machine find one another: a folder in which the running embedded store leaves a note.
/// </summary>
public static class LocalCluster
{
    /// <summary>The note's file name in the cluster folder.</summary>
    public const string StoreFile = "store.json";

    /// <summary>The note's format.</summary>
    public static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web);

    /// <summary>$XDG_STATE_HOME/godwit, or ~/.local/state/godwit.</summary>
    public static string DefaultFolder()
    {
        var state = Environment.GetEnvironmentVariable("XDG_STATE_HOME");
        var root = string.IsNullOrEmpty(state)
            ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state")
            : state;
        return Path.Combine(root, "godwit");
    }

    /// <summary>Where the folder's embedded store said it listens; null where there is no note. It may have died since.</summary>
    public static StoreNote? FindStore(string folder)
    {
        try
        {
            return JsonSerializer.Deserialize<StoreNote>(File.ReadAllText(Path.Combine(folder, StoreFile)), Json);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException or JsonException)
        {
            return null;
        }
    }
}

/// <summary>What the running embedded store leaves in the cluster folder.</summary>
/// <param name="Address">HOST:PORT.</param>
/// <param name="Pid">Its process.</param>
public sealed record StoreNote(string Address, int Pid);
