using Godwit.Grains.Interfaces;

namespace Godwit.Silo.Machines;

/// <summary>How much guest memory this silo has promised, so that it never promises more than it has.</summary>
public sealed class MemoryLedger
{
    private readonly Lock _lock = new();
    private readonly string _silo;
    private long _reserved;

    public MemoryLedger(string silo, long capacity)
    {
        _silo = silo;
        Capacity = capacity;
    }

    public long Capacity { get; }

    public long Reserved
    {
        get
        {
            lock (_lock)
            {
                return _reserved;
            }
        }
    }

    /// <summary>Holds memory until disposed; throws <see cref="ClusterException"/> where there is no room.</summary>
    public MemoryReservation Reserve(long bytes)
    {
        lock (_lock)
        {
            if (bytes > Capacity - _reserved)
            {
                throw new ClusterException(ClusterError.NoRoom, $"Silo {_silo} has no room for {MemorySize.Format(bytes)}: {MemorySize.Format(Capacity - _reserved)} of {MemorySize.Format(Capacity)} are free.");
            }

            _reserved += bytes;
            return new MemoryReservation(this, bytes);
        }
    }

    internal void Release(long bytes)
    {
        lock (_lock)
        {
            _reserved -= bytes;
        }
    }
}

/// <summary>A part of the ledger; released once, however often it is disposed.</summary>
public sealed class MemoryReservation(MemoryLedger ledger, long bytes) : IDisposable
{
    private int _released;

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _released, 1) == 0)
        {
            ledger.Release(bytes);
        }
    }
}
