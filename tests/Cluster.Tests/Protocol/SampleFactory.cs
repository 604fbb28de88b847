using System.Collections;
using System.Reflection;
using System.Runtime.CompilerServices;
using Godwit.Grains.Interfaces;

namespace Godwit.Cluster.Tests.Protocol;

/// <summary>One filled message of each type that silos and clients exchange: every property has a value of its own, the same at each run.</summary>
internal static class SampleFactory
{
    /// <summary>The serialisable types of the contracts, by alias.</summary>
    public static IEnumerable<(string Alias, Type Type)> Types() => typeof(ClusterException).Assembly.GetExportedTypes()
        .Where(t => t.GetCustomAttribute<GenerateSerializerAttribute>() is not null)
        .Select(t => (t.GetCustomAttribute<AliasAttribute>()!.Alias, t))
        .OrderBy(t => t.Alias, StringComparer.Ordinal);

    /// <summary>Methods of the grain contracts, one line each: interface and method by alias, parameters and result.</summary>
    public static IEnumerable<string> Methods() => typeof(ClusterException).Assembly.GetExportedTypes()
        .Where(t => t.IsInterface && typeof(IGrain).IsAssignableFrom(t))
        .SelectMany(t => t.GetMethods().Select(m =>
            $"{t.GetCustomAttribute<AliasAttribute>()!.Alias}.{m.GetCustomAttribute<AliasAttribute>()!.Alias}({string.Join(", ", m.GetParameters().Select(p => Name(p.ParameterType)))}): {Name(m.ReturnType)}"))
        .Order(StringComparer.Ordinal);

    public static object Create(Type type) => type == typeof(ClusterException)
        ? new ClusterException(ClusterError.NoRoom, "no room")
        : Fill(RuntimeHelpers.GetUninitializedObject(type));

    private static object Fill(object target)
    {
        foreach (var property in target.GetType().GetProperties(BindingFlags.Instance | BindingFlags.Public).Where(p => p.CanWrite && p.GetIndexParameters().Length == 0))
        {
            property.SetValue(target, Value(property.PropertyType, property.Name));
        }

        return target;
    }

    private static object Value(Type type, string name)
    {
        var seed = name.Aggregate(7, (sum, c) => (sum * 31 + c) & 0xffff);
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsEnum)
        {
            var values = Enum.GetValues(type);
            return values.GetValue(values.Length - 1)!;
        }

        return type switch
        {
            _ when type == typeof(string) => name,
            _ when type == typeof(bool) => true,
            _ when type == typeof(int) => seed,
            _ when type == typeof(long) => seed + (1L << 40),
            _ when type == typeof(ulong) => (ulong)seed + (1UL << 50),
            _ when type == typeof(double) => seed / 16.0,
            _ when type == typeof(TimeSpan) => TimeSpan.FromMilliseconds(seed),
            _ when type == typeof(byte[]) => new byte[] { 1, 2, (byte)seed },
            _ when type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) => List(type.GetGenericArguments()[0], name),
            _ when type == typeof(IReadOnlyDictionary<string, string>) => new Dictionary<string, string> { [name] = "value of " + name },
            _ => Create(type),
        };
    }

    private static Array List(Type item, string name)
    {
        var list = Array.CreateInstance(item, 1);
        ((IList)list)[0] = Value(item, name);
        return list;
    }

    private static string Name(Type type) => type.IsGenericType
        ? $"{type.Name[..type.Name.IndexOf('`', StringComparison.Ordinal)]}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>"
        : type.Name;
}
