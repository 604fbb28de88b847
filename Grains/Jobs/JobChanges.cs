namespace Godwit.Grains.Jobs;

/// <summary>
/// How watchers wait for what a job has to say next. The job changes and reads its state under <see cref="Gate"/>; who
/// watches, and whether anyone does, changes nothing.
/// </summary>
public sealed class JobChanges(TimeProvider time)
{
    private TaskCompletionSource _changed = New();

    /// <summary>The lock that the job's state is behind.</summary>
    public Lock Gate { get; } = new();

    /// <summary>The state has changed. With the lock held.</summary>
    public void Signal()
    {
        _changed.TrySetResult();
        _changed = New();
    }

    /// <summary>
    /// What the job has to say: at once where there is news, else after its next change or after <paramref name="wait"/>,
    /// since no news is an answer too.
    /// </summary>
    /// <param name="hasNews">Asked with the lock held.</param>
    /// <param name="say">Called with the lock held.</param>
    public async Task<TUpdate> WatchAsync<TUpdate>(Func<bool> hasNews, Func<TUpdate> say, TimeSpan wait)
    {
        Task changed;
        lock (Gate)
        {
            if (hasNews())
            {
                return say();
            }

            changed = _changed.Task;
        }

        try
        {
            await changed.WaitAsync(wait, time);
        }
        catch (TimeoutException)
        {
            // As said above.
        }

        lock (Gate)
        {
            return say();
        }
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
