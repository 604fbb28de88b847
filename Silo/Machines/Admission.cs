using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Silo.Machines;

/// <summary>Whether VMs may come to this silo, and how many are on their way in.</summary>
internal sealed class Admission(SiloIdentity silo, HostedVms vms)
{
    private readonly Lock _lock = new();
    private bool _closed;
    private int _entering;

    /// <summary>Drained is a closed silo without a machine and with none on its way in.</summary>
    public HostDuty Duty
    {
        get
        {
            lock (_lock)
            {
                return !_closed ? HostDuty.Serving
                    : _entering > 0 || vms.All.Any(v => !v.Ended) ? HostDuty.Draining
                    : HostDuty.Drained;
            }
        }
    }

    /// <summary>VMs were admitted that the registry may not show yet.</summary>
    public bool Entering
    {
        get
        {
            lock (_lock)
            {
                return _entering > 0;
            }
        }
    }

    /// <summary>Lets one VM in; dispose when it is in the registry, or will not come. Throws <see cref="Grains.Interfaces.ClusterException"/> while closed.</summary>
    public IDisposable Admit()
    {
        lock (_lock)
        {
            if (!_closed)
            {
                _entering++;
                return new Entry(this);
            }
        }

        throw SiloDirectory.NotServing(silo.Name, Duty);
    }

    public void Set(bool open)
    {
        lock (_lock)
        {
            _closed = !open;
        }
    }

    private void Leave()
    {
        lock (_lock)
        {
            _entering--;
        }
    }

    private sealed class Entry(Admission admission) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                admission.Leave();
            }
        }
    }
}
