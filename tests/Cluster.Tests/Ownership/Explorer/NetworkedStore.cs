using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;

namespace Godwit.Cluster.Tests.Ownership.Explorer;

/// <summary>
/// The store as one silo reaches it: requests and answers travel apart, as long as the explorer likes, and a request whose
/// answer is late is sent again, so that an old copy may arrive after everything has changed.
/// </summary>
internal sealed class NetworkedStore(MemoryOwnershipStore store) : IOwnershipStore
{
    private readonly List<Action> _requests = [];
    private readonly List<Action> _answers = [];

    /// <summary>Nothing passes, in neither direction.</summary>
    public bool IsCut { get; set; }

    public int Requests => _requests.Count;

    public int Answers => _answers.Count;

    public Task WarmUpAsync(CancellationToken cancellation) => Task.CompletedTask;

    public Task<OwnershipRecord?> ReadAsync(string vm, CancellationToken cancellation) => Ask(() => store.ReadAsync(vm, default));

    public Task<OwnershipConflict?> CompareExchangeAsync(string vm, string expectedVersion, OwnershipRecord next, CancellationToken cancellation) =>
        Ask(() => store.CompareExchangeAsync(vm, expectedVersion, next, default));

    public Task<bool> CreateAsync(string vm, VmDefinition definition, CancellationToken cancellation) => Ask(() => store.CreateAsync(vm, definition, default));

    public Task<bool> DeleteAsync(string vm, string expectedVersion, CancellationToken cancellation) => Ask(() => store.DeleteAsync(vm, expectedVersion, default));

    public Task<VmDefinition?> ReadDefinitionAsync(string vm, CancellationToken cancellation) => Ask(() => store.ReadDefinitionAsync(vm, default));

    public Task<bool> ChangeDefinitionAsync(string vm, Func<VmDefinition, VmDefinition> change, CancellationToken cancellation) => Ask(() => store.ChangeDefinitionAsync(vm, change, default));

    public Task<IReadOnlyList<string>> ListAsync(CancellationToken cancellation) => Ask(() => store.ListAsync(default));

    /// <summary>One request arrives; <paramref name="again"/>: a copy of it stays on the way.</summary>
    public void Arrive(int index, bool again)
    {
        var request = _requests[index];
        if (!again)
        {
            _requests.RemoveAt(index);
        }

        request();
    }

    public void Answer(int index)
    {
        var answer = _answers[index];
        _answers.RemoveAt(index);
        answer();
    }

    private Task<T> Ask<T>(Func<Task<T>> apply)
    {
        var asked = new TaskCompletionSource<T>();
        _requests.Add(() =>
        {
            // In memory every answer is there at once; it is what the store said when the request arrived.
            var said = apply();
            _answers.Add(() => asked.TrySetResult(said.GetAwaiter().GetResult()));
        });
        return asked.Task;
    }
}
