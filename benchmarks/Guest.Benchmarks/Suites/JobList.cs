namespace Godwit.Guest.Benchmarks.Suites;

/// <summary>A piece of work in Programs/.</summary>
/// <param name="Suite">"kernels" or "user".</param>
/// <param name="Count">How often it is done: about 30 ms of the host's processor.</param>
internal sealed record Job(string Suite, string Name, long Count);

/// <summary>The suites. Counts are fixed, because checksums depend on them.</summary>
internal static class JobList
{
    /// <summary>Fills the work folder for those of the user suite that read files: KiB of text.</summary>
    public static readonly Job Prepare = new("user", "prepare", 2048);

    /// <summary>A request and its answer, and no work.</summary>
    public static readonly Job Nothing = new("", "nothing", 1);

    private static readonly Job[] s_jobs =
    [
        new("kernels", "integer", 16_000_000),
        new("kernels", "branchy", 5_000_000),
        new("kernels", "sieve", 80),
        new("kernels", "crc32 table", 200),
        new("kernels", "hash", 2500),
        new("kernels", "call/ret", 200),
        new("kernels", "switch", 9000),
        new("kernels", "indirect calls", 4_000_000),
        new("kernels", "bit tricks", 6_000_000),
        new("kernels", "division", 6_000_000),
        new("kernels", "sha256", 150),
        new("kernels", "copy loop", 500),
        new("kernels", "rep movs", 20_000),
        new("kernels", "strlen", 800),
        new("kernels", "list chase", 4_000_000),
        new("kernels", "random 8 MiB", 3_000_000),
        new("kernels", "qsort", 18),
        new("kernels", "matrix int", 50),
        new("kernels", "matrix double", 40),
        new("kernels", "mandelbrot", 40),
        new("kernels", "saxpy SSE", 24_000),
        new("kernels", "dot AVX2", 50_000),
        new("user", "shell", 4),
        new("user", "sha256sum", 4),
        new("user", "gzip", 1),
        new("user", "gunzip", 5),
        new("user", "sort", 1),
        new("user", "coremark-like", 1500),
        new("user", "fork", 300),
        new("user", "fork+exec", 100),
        new("user", "dynamic exec", 30),
        new("user", "bash", 1),
        new("user", "pipe ping-pong", 10_000),
        new("user", "syscalls", 300_000),
        new("user", "page faults", 20),
    ];

    /// <summary>What the options ask for, in order.</summary>
    public static IReadOnlyList<Job> Select(BenchmarkOptions options) =>
    [
        .. s_jobs.Where(job => options.Suites.Contains(job.Suite) && (options.Only is null || job.Name.Contains(options.Only, StringComparison.OrdinalIgnoreCase)))
            .Select(job => job with { Count = Math.Max(1, (long)(job.Count * options.Scale)) }),
    ];
}
