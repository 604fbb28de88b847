namespace Godwit.Access;

/// <summary>Files that only their owner may read, and folders that only their owner may enter.</summary>
public static class OwnerFile
{
    public const UnixFileMode FolderMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    public const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private const string NoModes = "Files that hold secrets need the file modes of Unix.";
    private const UnixFileMode Others =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    public static void CreateFolder(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException(NoModes);
        }

        Directory.CreateDirectory(path, FolderMode);
    }

    /// <summary>By rename, so that a reader sees the old or the new, never a part.</summary>
    /// <param name="replace">False: what is there already stands, and this text is forgotten.</param>
    public static void Write(string path, string text, bool replace)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException(NoModes);
        }

        var part = $"{path}.{Environment.ProcessId}";
        using (var file = new FileStream(part, new FileStreamOptions { Mode = System.IO.FileMode.Create, Access = FileAccess.Write, UnixCreateMode = FileMode }))
        using (var writer = new StreamWriter(file))
        {
            writer.Write(text);
        }

        try
        {
            File.Move(part, path, replace);
        }
        catch (IOException) when (!replace && File.Exists(path))
        {
            // Another process was first: what it wrote stands.
            File.Delete(part);
        }
    }

    /// <summary>The file's text; throws <see cref="IOException"/> where others than its owner may read or write it.</summary>
    public static string ReadSecret(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new PlatformNotSupportedException(NoModes);
        }

        if ((File.GetUnixFileMode(path) & Others) != 0)
        {
            throw new IOException($"{path} holds a secret, and others than its owner may read it: chmod 600 {path}");
        }

        return File.ReadAllText(path);
    }
}
