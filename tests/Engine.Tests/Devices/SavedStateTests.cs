using System.Reflection;
using System.Runtime.CompilerServices;
using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;
using MessagePack;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

/// <summary>Holds for every device there is, found by reflection.</summary>
public sealed class SavedStateTests
{
    private static readonly MessagePackSerializerOptions Untrusted =
        MessagePackSerializerOptions.Standard.WithSecurity(MessagePackSecurity.UntrustedData);

    private static IEnumerable<Type> DeviceTypes => typeof(Bus).Assembly.GetTypes()
        .Where(type => type is { IsClass: true, IsAbstract: false } && InDevices(type) && StateOf(type) is not null);

    public static TheoryData<string> Devices => [.. DeviceTypes.Select(type => type.FullName!)];

    public static TheoryData<string> Records => [.. typeof(Bus).Assembly.GetTypes()
        .Where(type => InDevices(type) && type.GetCustomAttribute<MessagePackObjectAttribute>() is not null)
        .Select(type => type.FullName!)];

    [Theory]
    [MemberData(nameof(Devices))]
    public void AStateRoundTrips(string name)
    {
        Type type = typeof(Bus).Assembly.GetType(name)!;
        Type state = StateOf(type)!;
        byte[] saved = Save(Create(type), state);
        object fresh = Create(type);
        object loaded = MessagePackSerializer.Deserialize(state, saved, Untrusted)!;
        Interface(state).GetMethod("LoadState")!.Invoke(fresh, [loaded]);
        Assert.Equal(saved, Save(fresh, state));
    }

    /// <summary>A required field left out of SaveState fails the build; a hole in the keys would be a field dropped from the format.</summary>
    [Theory]
    [MemberData(nameof(Records))]
    public void EveryFieldIsRequiredAndHasItsOwnKey(string name)
    {
        PropertyInfo[] properties = typeof(Bus).Assembly.GetType(name)!.GetProperties(BindingFlags.Public | BindingFlags.Instance);
        List<int> keys = [];
        foreach (PropertyInfo property in properties)
        {
            KeyAttribute? key = property.GetCustomAttribute<KeyAttribute>();
            Assert.True(key?.IntKey is not null, $"{name}.{property.Name} has no integer key");
            Assert.True(property.GetCustomAttribute<RequiredMemberAttribute>() is not null, $"{name}.{property.Name} is not required");
            keys.Add(key!.IntKey!.Value);
        }
        Assert.Equal(Enumerable.Range(0, keys.Count), keys.Order());
    }

    /// <summary>A record of nothing but nulls and zeros is refused with a reason or makes a usable device; it never breaks one later.</summary>
    [Theory]
    [MemberData(nameof(Devices))]
    public void ATruncatedStateIsRefusedOrHarmless(string name)
    {
        Type type = typeof(Bus).Assembly.GetType(name)!;
        Type state = StateOf(type)!;
        object empty = MessagePackSerializer.Deserialize(state, new byte[] { 0x90 }, Untrusted)!;
        object device = Create(type);
        try
        {
            Interface(state).GetMethod("LoadState")!.Invoke(device, [empty]);
        }
        catch (TargetInvocationException thrown)
        {
            Assert.IsType<InvalidStateException>(thrown.InnerException);
        }
        Save(device, state);
    }

    private static bool InDevices(Type type) => type.Namespace?.StartsWith("Godwit.Engine.Devices", StringComparison.Ordinal) == true;

    private static Type Interface(Type state) => typeof(ISavedState<>).MakeGenericType(state);

    private static Type? StateOf(Type type) => type.GetInterfaces()
        .FirstOrDefault(candidate => candidate.IsGenericType && candidate.GetGenericTypeDefinition() == typeof(ISavedState<>))?.GetGenericArguments()[0];

    private static byte[] Save(object device, Type state) =>
        MessagePackSerializer.Serialize(state, Interface(state).GetMethod("SaveState")!.Invoke(device, []), Untrusted);

    private static object Create(Type type)
    {
        ManualClock clock = new() { Nanoseconds = 123_456_789 };
        RecordingMachine machine = new();
        Dictionary<Type, object> arguments = new()
        {
            [typeof(IGuestClock)] = clock,
            [typeof(ITimerQueue)] = clock.Timers,
            [typeof(IInterruptLine)] = new RecordingLine(),
            [typeof(IObservedLine)] = new RecordingLine(),
            [typeof(IApicBus)] = new ApicBus(),
            [typeof(IVectorSource)] = new NoVectors(),
            [typeof(IMachineControl)] = machine,
            [typeof(IConsoleSink)] = machine,
            [typeof(IReadOnlyList<Bus>)] = new Bus[] { new() },
            [typeof(Action)] = () => { },
            [typeof(Action<int>)] = (int _) => { },
            [typeof(int)] = 1,
            [typeof(bool)] = true,
        };
        ConstructorInfo constructor = type.GetConstructors().Single();
        return constructor.Invoke([.. constructor.GetParameters().Select(parameter =>
            arguments.TryGetValue(parameter.ParameterType, out object? value)
                ? value
                : throw new InvalidOperationException($"{type.Name} needs a {parameter.ParameterType.Name}: add one here"))]);
    }

    private sealed class NoVectors : IVectorSource
    {
        public byte AcknowledgeVector() => 7;
    }
}
