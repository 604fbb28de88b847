using System.Diagnostics;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Client;

/// <summary>Calls that belong on whichever silo runs the VM: looked up, and looked up again while it moves.</summary>
internal sealed class HostCalls
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(50);

    private readonly GodwitClient _client;
    private readonly string _vm;

    public HostCalls(GodwitClient client, string vm)
    {
        _client = client;
        _vm = vm;
    }

    /// <summary>Makes the call on the owner; repeated only where the owner says that it did not carry it out because the VM is elsewhere.</summary>
    public async Task OnOwnerAsync(Func<IHostGrain, Task> call, CancellationToken cancellation)
    {
        var since = Stopwatch.GetTimestamp();
        using var pause = new PeriodicTimer(_pause);
        while (true)
        {
            var location = await LocateAsync(cancellation);
            if (location is not { Owned: true, SiloAddress: { } address })
            {
                throw new GodwitException(ClusterError.WrongState, $"VM \"{_vm}\" is not running.");
            }

            try
            {
                await _client.Calls.OnceAsync(g => call(g.GetGrain<IHostGrain>(address)), cancellation);
                return;
            }
            catch (GodwitException e) when (e.Error == ClusterError.Moved && Stopwatch.GetElapsedTime(since) < _patience)
            {
                await pause.WaitForNextTickAsync(cancellation);
            }
        }
    }

    public Task<VmLocation> LocateAsync(CancellationToken cancellation) =>
        _client.Calls.RetryAsync(g => g.GetGrain<IVmGrain>(_vm).Locate(), cancellation);
}
