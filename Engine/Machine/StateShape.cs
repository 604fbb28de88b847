using System.Reflection;
using System.Runtime.CompilerServices;
using Godwit.Engine.Devices;
using MessagePack;

namespace Godwit.Engine.Machine;

/// <summary>
/// Checks that a MessagePack record has every field that its type requires, in nested records too: the serializer itself
/// gives a missing field its default, and a machine would go on with half a device.
/// </summary>
internal sealed class StateShape
{
    private readonly int _required;
    private readonly Field?[] _fields;

    private StateShape(Type record)
    {
        List<(int Key, PropertyInfo Property)> keys = [.. Keys(record)];
        _required = keys.Where(key => key.Property.GetCustomAttribute<RequiredMemberAttribute>() is not null).Select(key => key.Key + 1).DefaultIfEmpty(0).Max();
        _fields = new Field?[keys.Select(key => key.Key + 1).DefaultIfEmpty(0).Max()];
        foreach ((int key, PropertyInfo property) in keys)
        {
            bool many = property.PropertyType.IsArray;
            Type type = many ? property.PropertyType.GetElementType()! : property.PropertyType;
            if (type.GetCustomAttribute<MessagePackObjectAttribute>() is not null)
                _fields[key] = new Field(new StateShape(type), many);
        }
    }

    public static StateShape Of<TState>() => Cache<TState>.Shape;

    /// <summary>Throws <see cref="InvalidStateException"/> with the part's name where a required field is missing.</summary>
    public void Check(string part, ReadOnlyMemory<byte> payload)
    {
        MessagePackReader reader = new(payload);
        Check(part, ref reader);
    }

    private void Check(string part, ref MessagePackReader reader)
    {
        if (reader.TryReadNil())
            throw new InvalidStateException($"the state of '{part}' has an empty record");
        int present = reader.ReadArrayHeader();
        if (present < _required)
            throw new InvalidStateException($"the state of '{part}' has a record of {present} fields where at least {_required} are needed");
        for (int field = 0; field < present; field++)
            CheckField(part, field < _fields.Length ? _fields[field] : null, ref reader);
    }

    private static void CheckField(string part, Field? field, ref MessagePackReader reader)
    {
        if (field is null || reader.IsNil)
        {
            reader.Skip();
            return;
        }
        int records = field.Many ? reader.ReadArrayHeader() : 1;
        for (int i = 0; i < records; i++)
            field.Shape.Check(part, ref reader);
    }

    private static IEnumerable<(int Key, PropertyInfo Property)> Keys(Type record)
    {
        foreach (PropertyInfo property in record.GetProperties())
            if (property.GetCustomAttribute<KeyAttribute>()?.IntKey is { } key)
                yield return (key, property);
    }

    private sealed record Field(StateShape Shape, bool Many);

    private static class Cache<TState>
    {
        public static readonly StateShape Shape = new(typeof(TState));
    }
}
