using Xunit;

namespace Godwit.Engine.Tests.Boot;

/// <summary>A fact about the stock kernel that `godwit guest fetch` has put into the cache; skipped, by name, where it has not.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class DebianKernelFactAttribute : FactAttribute
{
    public DebianKernelFactAttribute()
    {
        if (Kernel is null)
            Skip = "no kernel in the guest cache: run ./godwit guest fetch";
    }

    /// <summary>The newest cached kernel's path, or null.</summary>
    public static string? Kernel { get; } = Find();

    private static string? Find()
    {
        string cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } set
            ? set
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        string guests = Path.Combine(cache, "godwit", "guests");
        return Directory.Exists(guests)
            ? Directory.EnumerateFiles(guests, "vmlinuz", SearchOption.AllDirectories).OrderByDescending(File.GetLastWriteTimeUtc).FirstOrDefault()
            : null;
    }
}
