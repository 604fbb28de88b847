namespace Godwit.Engine.Migration;

/// <summary>Gets rid of a machine that was built for a move or a restore which then failed.</summary>
internal static class MachineDisposal
{
    /// <summary>Disposes the machine in the way it offers, and its memory in any case.</summary>
    public static async Task DisposeAsync(IMigratableMachine machine)
    {
        if (machine is IAsyncDisposable asynchronous)
            await asynchronous.DisposeAsync().ConfigureAwait(false);
        else
            (machine as IDisposable)?.Dispose();
        machine.Memory.Dispose();
    }
}
