using Godwit.Client;
using Godwit.Grains.Interfaces;
using Spectre.Console;

namespace Godwit.Cli.Terminal;

/// <summary>Progress bars for bytes on their way; silent where the output is not a terminal.</summary>
internal static class Progress
{
    public static Task<string> UploadAsync(Output output, string what, byte[] image, GodwitClient client, CancellationToken cancellation) =>
        RunAsync(output, $"uploading {what} ({MemorySize.Format(image.Length)})", report =>
            client.UploadImageAsync(image, new Direct<long>(done => report(done, image.Length)), cancellation));

    /// <summary>Runs work that reports (done, total).</summary>
    public static async Task<T> RunAsync<T>(Output output, string title, Func<Action<long, long>, Task<T>> work)
    {
        if (!output.Live)
        {
            return await work((_, _) => { });
        }

        return await AnsiConsole.Progress().AutoClear(true).StartAsync(async screen =>
        {
            var bar = screen.AddTask(Markup.Escape(title));
            return await work((done, total) =>
            {
                bar.MaxValue = Math.Max(1, total);
                bar.Value = done;
            });
        });
    }

    /// <summary>Reports on the caller's thread, in order.</summary>
    internal sealed class Direct<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }
}
