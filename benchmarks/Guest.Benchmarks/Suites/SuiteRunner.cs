using Godwit.Guest.Benchmarks.Machines;
using Godwit.Guest.Benchmarks.Reports;

namespace Godwit.Guest.Benchmarks.Suites;

/// <summary>
/// Runs jobs on machines that stay up, by turns: each repetition of a job goes round all machines before the next one.
/// The least processor time of a machine counts, less that of a request without work.
/// </summary>
internal sealed class SuiteRunner(Machinery machinery, BenchmarkOptions options, Action<string> progress)
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);

    private readonly Dictionary<MachineKind, AgentProcess> _agents = [];
    private readonly Dictionary<MachineKind, TimeSpan> _overhead = [];

    public async Task<IReadOnlyList<JobResult>> RunAsync(IReadOnlyList<Job> jobs, CancellationToken cancellation)
    {
        try
        {
            foreach (MachineKind kind in options.Machines)
                await StartAsync(kind, cancellation).ConfigureAwait(false);
            List<JobResult> results = [];
            foreach (Job job in jobs)
            {
                results.Add(await MeasureAsync(job, cancellation).ConfigureAwait(false));
                progress(results[^1].Line);
            }
            return results;
        }
        finally
        {
            foreach (AgentProcess agent in _agents.Values)
                await agent.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task StartAsync(MachineKind kind, CancellationToken cancellation)
    {
        progress($"starting {kind}");
        if (await machinery.StartAsync(kind, cancellation).ConfigureAwait(false) is not { } agent)
            return;
        _agents[kind] = agent;
        if (options.Suites.Contains("user"))
            await agent.RunAsync(JobList.Prepare.Name, JobList.Prepare.Count, s_patience, cancellation).ConfigureAwait(false);
        TimeSpan least = TimeSpan.MaxValue;
        for (int i = 0; i < 5; i++)
        {
            JobRun run = await agent.RunAsync(JobList.Nothing.Name, JobList.Nothing.Count, s_patience, cancellation).ConfigureAwait(false);
            least = run.Cpu < least ? run.Cpu : least;
        }
        _overhead[kind] = least;
    }

    private async Task<JobResult> MeasureAsync(Job job, CancellationToken cancellation)
    {
        Dictionary<MachineKind, JobRun> best = [];
        HashSet<ulong> checksums = [];
        for (int repetition = 0; repetition < options.Repetitions; repetition++)
            foreach (MachineKind kind in options.Machines)
                if (await TurnAsync(kind, job, cancellation).ConfigureAwait(false) is { } run)
                {
                    if (run.Checksum is { } sum)
                        checksums.Add(sum);
                    JobRun former = best.GetValueOrDefault(kind, run);
                    best[kind] = run with { Cpu = Least(run.Cpu, former.Cpu), Elapsed = Least(run.Elapsed, former.Elapsed) };
                }
        return new JobResult(job.Suite, job.Name, job.Count, checksums.Count <= 1, best.ToDictionary(
            entry => entry.Key,
            entry => entry.Value.Checksum is null ? null : new Timing(Math.Max(0.001, (entry.Value.Cpu - _overhead[entry.Key]).TotalMilliseconds), entry.Value.Elapsed.TotalMilliseconds)));
    }

    // A machine that fails at a job is given up: its figures are missing from there on, and a note says why.
    private async Task<JobRun?> TurnAsync(MachineKind kind, Job job, CancellationToken cancellation)
    {
        if (!_agents.TryGetValue(kind, out AgentProcess? agent))
            return null;
        try
        {
            return await agent.RunAsync(job.Name, job.Count, s_patience, cancellation).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is BenchmarkException or IOException)
        {
            machinery.Note($"{kind} is missing from {job.Name} on: {problem.Message}");
            _agents.Remove(kind);
            await agent.DisposeAsync().ConfigureAwait(false);
            return null;
        }
    }

    private static TimeSpan Least(TimeSpan a, TimeSpan b) => a < b ? a : b;
}
