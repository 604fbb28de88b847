using Godwit.Engine.Devices;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using MessagePack;

namespace Godwit.Engine.Migration;

/// <summary>A machine's spec as bytes that come from a stranger: migration streams and snapshot files.</summary>
public static class MachineSpecCodec
{
    /// <summary>Bytes of an encoded spec.</summary>
    public const int MaxBytes = 1 << 17;

    // Keys of the first version; later ones only ever add to them.
    private const int LeastKeys = 6;
    private const int MaxVcpus = 1024;
    private const ulong LeastMemory = 1 << 20;
    private const int MaxText = 1 << 16;

    private static readonly MessagePackSerializerOptions s_untrusted =
        MessagePackSerializerOptions.Standard.WithSecurity(MessagePackSecurity.UntrustedData);

    public static byte[] Encode(MachineSpec spec) => MessagePackSerializer.Serialize(spec, s_untrusted);

    /// <summary>Reads and checks a spec. Throws <see cref="InvalidStateException"/> with what is wrong.</summary>
    public static MachineSpec Decode(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length > MaxBytes)
            throw new InvalidStateException($"machine spec of {bytes.Length} bytes, at most {MaxBytes} are allowed");
        MachineSpec? spec;
        try
        {
            MessagePackReader keys = new(bytes);
            int count = keys.ReadArrayHeader();
            spec = MessagePackSerializer.Deserialize<MachineSpec?>(bytes, s_untrusted, out int read);
            if (read != bytes.Length || spec is null || count < LeastKeys)
                throw new InvalidStateException("machine spec is damaged");
            // An unknown field says something about the machine that this version would not build.
            MessagePackReader known = new(Encode(spec));
            if (count > known.ReadArrayHeader())
                throw new InvalidStateException("machine spec comes from a newer version of Godwit");
        }
        catch (Exception damaged) when (damaged is MessagePackSerializationException or EndOfStreamException or OverflowException)
        {
            throw new InvalidStateException("machine spec is damaged", damaged);
        }
        Check(spec);
        return spec;
    }

    private static void Check(MachineSpec spec)
    {
        if (spec.MemoryBytes < LeastMemory || spec.MemoryBytes % PageNumber.Size != 0 || spec.MemoryBytes >> PageNumber.Shift > int.MaxValue)
            throw new InvalidStateException($"machine spec: {spec.MemoryBytes} bytes of memory");
        if (spec.VcpuCount is < 1 or > MaxVcpus)
            throw new InvalidStateException($"machine spec: {spec.VcpuCount} vCPUs");
        if (!Enum.IsDefined(spec.CpuLevel))
            throw new InvalidStateException($"machine spec: unknown CPU level {(int)spec.CpuLevel}");
        if (!Enum.IsDefined(spec.Clock))
            throw new InvalidStateException($"machine spec: unknown clock mode {(int)spec.Clock}");
        if (spec.TscHz is < 1_000_000 or > 100_000_000_000)
            throw new InvalidStateException($"machine spec: a TSC of {spec.TscHz} Hz");
        if (spec.Boot is not { CommandLine: not null } boot || !Enum.IsDefined(boot.Protocol))
            throw new InvalidStateException("machine spec: no boot source");
        if (boot.CommandLine.Length > MaxText || boot.Kernel?.Length > MaxText || boot.Initrd?.Length > MaxText)
            throw new InvalidStateException("machine spec: a name or command line is too long");
    }
}
