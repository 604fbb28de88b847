using Godwit.Engine.Devices;
using Godwit.Engine.Migration;
using MessagePack;

namespace Godwit.Engine.Machine;

/// <summary>The parts of a machine that have state, by tag, and their way to MessagePack and back.</summary>
internal sealed class StateRegistry
{
    private static readonly MessagePackSerializerOptions s_untrusted =
        MessagePackSerializerOptions.Standard.WithSecurity(MessagePackSecurity.UntrustedData);

    private readonly List<Part> _parts = [];

    /// <summary>Adds a part. Parts are loaded in the order in which they were added.</summary>
    public void Add<TState>(string tag, ISavedState<TState> part)
        where TState : class => Add(tag, part.SaveState, part.LoadState);

    public void Add<TState>(string tag, Func<TState> save, Action<TState> load)
        where TState : class
    {
        if (_parts.Exists(part => part.Tag == tag))
            throw new InvalidOperationException($"two parts of the machine are called '{tag}'");
        _parts.Add(new Part(tag, () => MessagePackSerializer.Serialize(save(), s_untrusted), payload => load(Decode<TState>(tag, payload))));
    }

    public IReadOnlyList<StateSection> Save() => [.. _parts.Select(part => new StateSection(part.Tag, true, part.Save()))];

    /// <summary>Loads every part; throws <see cref="InvalidStateException"/> when one is missing, damaged, or unknown and critical.</summary>
    public void Load(IReadOnlyList<StateSection> sections)
    {
        foreach (StateSection section in sections)
            if (section.Critical && !_parts.Exists(part => part.Tag == section.Tag))
                throw new InvalidStateException($"the state has a part '{section.Tag}' that this machine does not");
        foreach (Part part in _parts)
            part.Load((sections.FirstOrDefault(section => section.Tag == part.Tag)
                ?? throw new InvalidStateException($"the state lacks the part '{part.Tag}'")).Payload);
    }

    private static TState Decode<TState>(string tag, ReadOnlyMemory<byte> payload)
        where TState : class
    {
        try
        {
            StateShape.Of<TState>().Check(tag, payload);
            TState state = MessagePackSerializer.Deserialize<TState>(payload, s_untrusted, out int read);
            return read == payload.Length ? state : throw new InvalidStateException($"the state of '{tag}' has {payload.Length - read} bytes too many");
        }
        catch (Exception damaged) when (damaged is MessagePackSerializationException or EndOfStreamException)
        {
            throw new InvalidStateException($"the state of '{tag}' is damaged", damaged);
        }
    }

    private sealed record Part(string Tag, Func<byte[]> Save, Action<ReadOnlyMemory<byte>> Load);
}
