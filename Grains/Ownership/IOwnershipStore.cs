using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Ownership;

/// <summary>
/// The one place that says who may run a VM. Every call either has a known result when it returns or throws on
/// cancellation: an unknown result (a time-out, a lost connection) is asked again inside until it is known.
/// </summary>
public interface IOwnershipStore
{
    /// <summary>Pays ahead for what the first change would pay: called when a silo starts.</summary>
    Task WarmUpAsync(CancellationToken cancellation);

    /// <summary>Null where there is no VM of that name.</summary>
    Task<OwnershipRecord?> ReadAsync(string vm, CancellationToken cancellation);

    /// <summary>
    /// Replaces the record whose version is <paramref name="expectedVersion"/>. Null: <paramref name="next"/> stands.
    /// Otherwise the refusal, with the record that stood in the way.
    /// </summary>
    Task<OwnershipConflict?> CompareExchangeAsync(string vm, string expectedVersion, OwnershipRecord next, CancellationToken cancellation);

    /// <summary>Adds a VM with its definition; false where the name is taken.</summary>
    Task<bool> CreateAsync(string vm, VmDefinition definition, CancellationToken cancellation);

    /// <summary>Removes the VM whose record has that version; false where it has another by now.</summary>
    Task<bool> DeleteAsync(string vm, string expectedVersion, CancellationToken cancellation);

    /// <summary>What the VM was created with; null where there is none of that name.</summary>
    Task<VmDefinition?> ReadDefinitionAsync(string vm, CancellationToken cancellation);

    /// <summary>Replaces the definition by a change of what stands, whatever others change at the same time; false where there is no such VM.</summary>
    Task<bool> ChangeDefinitionAsync(string vm, Func<VmDefinition, VmDefinition> change, CancellationToken cancellation);

    /// <summary>Names of all VMs, sorted.</summary>
    Task<IReadOnlyList<string>> ListAsync(CancellationToken cancellation);
}

/// <summary>A compare-and-swap that did not take place.</summary>
/// <param name="Current">The record as it is; null where the VM has been deleted.</param>
public sealed record OwnershipConflict(OwnershipRecord? Current);
