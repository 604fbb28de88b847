using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Placement;

namespace Godwit.Silo.Machines;

/// <summary>What this silo has for guests, besides memory.</summary>
/// <param name="Vcpus">vCPUs that it may hold.</param>
/// <param name="Backend">What executes guest code, as <c>--backend</c> names it.</param>
/// <param name="CpuLevels">CPU levels that machines can have here.</param>
/// <param name="Labels">Its labels.</param>
public sealed record SiloFeatures(int Vcpus, string Backend, IReadOnlyList<int> CpuLevels, IReadOnlyDictionary<string, string> Labels);

/// <summary>What this silo has promised to VMs, so that it never promises more than it has, nor takes a VM that may not run here.</summary>
public sealed class CapacityLedger
{
    private readonly Lock _lock = new();
    private readonly HashSet<CapacityReservation> _held = [];
    private readonly string _silo;
    private readonly SiloFeatures _features;

    public CapacityLedger(string silo, long memory, SiloFeatures features)
    {
        _silo = silo;
        _features = features;
        MemoryCapacity = memory;
    }

    public long MemoryCapacity { get; }

    public long MemoryReserved => Room().MemoryReserved;

    /// <summary>VMs that something is held for.</summary>
    public IReadOnlyList<string> Names()
    {
        lock (_lock)
        {
            return [.. _held.Select(h => h.Demand.Name)];
        }
    }

    /// <summary>What is offered to placement.</summary>
    public HostOffer Offer()
    {
        var room = Room();
        return new HostOffer
        {
            Vcpus = room.VcpuCapacity,
            VcpusReserved = room.VcpusReserved,
            Cores = room.Cores,
            Load = room.Load,
            Backend = _features.Backend,
            CpuLevels = room.CpuLevels,
            Labels = room.Labels,
            Groups = room.Groups,
        };
    }

    /// <summary>Holds what the VM needs until disposed; throws <see cref="ClusterException"/> where it cannot run here, or there is no room.</summary>
    public CapacityReservation Reserve(VmDemand vm)
    {
        lock (_lock)
        {
            if (PlacementRules.Refusal(vm, Sum()) is { } refusal)
            {
                throw new ClusterException(ClusterError.NoRoom, $"Silo {_silo} cannot take {vm}: it {refusal}.");
            }

            var reservation = new CapacityReservation(this, vm);
            _held.Add(reservation);
            return reservation;
        }
    }

    internal void Release(CapacityReservation reservation)
    {
        lock (_lock)
        {
            _held.Remove(reservation);
        }
    }

    private SiloRoom Room()
    {
        lock (_lock)
        {
            return Sum();
        }
    }

    private SiloRoom Sum()
    {
        var empty = new SiloRoom
        {
            Name = _silo,
            Address = "",
            Serving = HostDuty.Serving,
            MemoryCapacity = MemoryCapacity,
            MemoryReserved = 0,
            VcpuCapacity = _features.Vcpus,
            VcpusReserved = 0,
            Cores = Environment.ProcessorCount,
            Load = 0,
            CpuLevels = _features.CpuLevels,
            Labels = _features.Labels,
            Groups = SiloRoom.NoGroups,
        };
        return _held.Aggregate(empty, (room, held) => room.With(held.Demand));
    }
}

/// <summary>A VM's part of the ledger; released once, however often it is disposed.</summary>
public sealed class CapacityReservation : IDisposable
{
    private readonly CapacityLedger _ledger;
    private VmDemand _demand;
    private int _released;

    internal CapacityReservation(CapacityLedger ledger, VmDemand demand)
    {
        _ledger = ledger;
        _demand = demand;
    }

    public VmDemand Demand => Volatile.Read(ref _demand);

    /// <summary>vCPUs that the VM keeps busy, as it is measured.</summary>
    public double Load
    {
        get => Demand.Load;
        set => Volatile.Write(ref _demand, Demand with { Load = value });
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _released, 1) == 0)
        {
            _ledger.Release(this);
        }
    }
}
