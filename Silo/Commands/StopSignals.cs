using System.Runtime.InteropServices;

namespace Godwit.Silo.Commands;

/// <summary>SIGTERM and SIGINT as a task, so that a process ends in good order.</summary>
internal sealed class StopSignals : IDisposable
{
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;
    private readonly CancellationTokenRegistration _cancelled;

    public StopSignals(bool ignoreInterrupt, CancellationToken cancellation)
    {
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, c => Stop(c));
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c =>
        {
            c.Cancel = true;
            if (!ignoreInterrupt)
            {
                _stopped.TrySetResult();
            }
        });
        _cancelled = cancellation.Register(() => _stopped.TrySetResult());
    }

    public Task Stopped => _stopped.Task;

    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
        _cancelled.Dispose();
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = true;
        _stopped.TrySetResult();
    }
}
