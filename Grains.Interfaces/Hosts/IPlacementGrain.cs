using Godwit.Grains.Interfaces.Vms;
using Orleans.Concurrency;

namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>Chooses silos for VMs, one VM after the other, so that choices made at once know of one another; key 0.</summary>
[Alias("Godwit.IPlacementGrain")]
public interface IPlacementGrain : IGrainWithIntegerKey
{
    /// <summary>The silo that a VM is to go to. <see cref="ClusterException"/> (NoRoom) says what each silo is short of where none can take it.</summary>
    [Alias("Choose")]
    Task<PlacementChoice> Choose(PlacementRequest request);

    /// <summary>
    /// What a choice was asked for has been done, or refused: from now on the silos' own figures tell of that VM. Where this is not
    /// said, the choice counts for some seconds more.
    /// </summary>
    [Alias("Settle"), OneWay]
    Task Settle(string vm);
}

/// <summary>A VM that needs a silo.</summary>
[GenerateSerializer, Alias("Godwit.PlacementRequest"), Immutable]
public sealed record PlacementRequest
{
    [Id(0)]
    public required string Vm { get; init; }

    [Id(1)]
    public required VmDefinition Definition { get; init; }

    /// <summary>vCPUs that it keeps busy.</summary>
    [Id(2)]
    public required double Load { get; init; }

    /// <summary>Address of the silo that it is to leave; null: none.</summary>
    [Id(3)]
    public required string? Except { get; init; }
}

/// <summary>The silo chosen.</summary>
[GenerateSerializer, Alias("Godwit.PlacementChoice"), Immutable]
public sealed record PlacementChoice
{
    [Id(0)]
    public required string Silo { get; init; }

    [Id(1)]
    public required string Address { get; init; }
}
