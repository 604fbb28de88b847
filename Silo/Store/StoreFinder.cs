using System.Diagnostics;
using Godwit.Access;
using Godwit.Silo.Commands;

namespace Godwit.Silo.Store;

/// <summary>Finds the cluster folder's embedded store, or starts it as a process of its own that outlives this one.</summary>
public sealed class StoreFinder
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(100);

    private readonly ClusterFolder _folder;
    private readonly string _executable;

    /// <param name="executable">The program whose <c>store</c> command is the store.</param>
    public StoreFinder(ClusterFolder folder, string executable)
    {
        _folder = folder;
        _executable = executable;
    }

    /// <summary>A store that answers; throws <see cref="IOException"/> with one line where none can be had.</summary>
    public async Task<StoreLogin> FindOrStartAsync(CancellationToken cancellation)
    {
        var since = Stopwatch.GetTimestamp();
        using var pause = new PeriodicTimer(_pause);
        string? failure = null;
        while (Stopwatch.GetElapsedTime(since) < _limit)
        {
            if (await FindAsync() is { } login)
            {
                return login;
            }

            // Another silo may be starting it at the same time: then ours finds the folder held, and the next look finds theirs.
            failure = await StartAsync(cancellation);
            if (failure is not null)
            {
                await pause.WaitForNextTickAsync(cancellation);
            }
        }

        throw new IOException($"The embedded store could not be started: {failure ?? "no answer"}");
    }

    /// <summary>The running store; null where none answers.</summary>
    public async Task<StoreLogin?> FindAsync() =>
        StoreLogin.Find(_folder.Path, null) is { } login && await login.WhyNotAsync() is null ? login : null;

    /// <summary>Null: it is ready; otherwise why it is not.</summary>
    private async Task<string?> StartAsync(CancellationToken cancellation)
    {
        var start = new ProcessStartInfo(_executable)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var argument in (string[])["store", "--cluster", _folder.Path, "--background", "--json"])
        {
            start.ArgumentList.Add(argument);
        }

        // It outlives this process, whoever started that.
        start.Environment.Remove(ParentWatch.Variable);
        using var process = Process.Start(start) ?? throw new IOException($"{_executable} could not be started.");
        process.StandardInput.Close();
        if (await process.StandardOutput.ReadLineAsync(cancellation) is not null)
        {
            return null;
        }

        var said = (await process.StandardError.ReadToEndAsync(cancellation)).Trim();
        return said.Length > 0 ? said : "it ended without a word";
    }
}
