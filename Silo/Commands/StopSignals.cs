using System.Runtime.InteropServices;

namespace Godwit.Silo.Commands;

/// <summary>SIGTERM and SIGINT as tasks, so that a process ends in good order.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _again = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;
    private readonly CancellationTokenRegistration _cancelled;

    public StopSignals(bool ignoreInterrupt, CancellationToken cancellation)
    {
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, c =>
        {
            c.Cancel = true;
            Stop();
        });
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c =>
        {
            c.Cancel = true;
            if (!ignoreInterrupt)
            {
                Stop();
            }
        });
        _cancelled = cancellation.Register(() => _stopped.TrySetResult());
    }

    public Task Stopped => _stopped.Task;

    /// <summary>A second signal: at once.</summary>
    public Task StoppedAgain => _again.Task;

    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
        _cancelled.Dispose();
    }

    private void Stop()
    {
        if (!_stopped.TrySetResult())
        {
            _again.TrySetResult();
        }
    }
}
