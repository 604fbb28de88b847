namespace Godwit.Engine.Paravirt;

/// <summary>The numbers of Godwit's own guest interface (docs/paravirt.md). They never change their meaning.</summary>
public static class GodwitInterface
{
    /// <summary>First CPUID leaf: EAX highest leaf of the range, EBX ECX EDX the signature.</summary>
    public const uint SignatureLeaf = 0x4000_0100;

    /// <summary>EAX interface version, EBX doorbell port, ECX <see cref="Features"/>.</summary>
    public const uint FeaturesLeaf = 0x4000_0101;

    /// <summary>EBX, ECX, EDX of <see cref="SignatureLeaf"/>, in ASCII.</summary>
    public const string Signature = "GodwitGodwit";

    public const uint Version = 1;

    /// <summary>The port whose 4-byte OUT from EAX is a hypercall. "GW" in ASCII, most significant byte first.</summary>
    public const ushort DoorbellPort = 0x5747;

    /// <summary>Bit n says that hypercall n is there.</summary>
    public const uint Features =
        1u << (int)HypercallNumber.Features | 1u << (int)HypercallNumber.Subscribe | 1u << (int)HypercallNumber.FreePages
        | 1u << (int)HypercallNumber.Ready | 1u << (int)HypercallNumber.ConsoleWrite | 1u << (int)HypercallNumber.Log
        | 1u << (int)HypercallNumber.Poll;
}

/// <summary>Hypercalls by number, as the guest has them in EAX when it writes to the doorbell.</summary>
public enum HypercallNumber : uint
{
    Features = 0,
    Subscribe = 1,
    FreePages = 2,
    Ready = 3,
    ConsoleWrite = 6,
    Log = 7,
    Poll = 8,
}

/// <summary>What a refused hypercall returns in RAX; KVM's numbers (Linux include/uapi/linux/kvm_para.h).</summary>
public static class HypercallError
{
    /// <summary>This privilege level may not make the call.</summary>
    public const long NotPermitted = -1;

    /// <summary>A list that is longer than one call may carry.</summary>
    public const long TooBig = -7;

    /// <summary>A range that is not all RAM.</summary>
    public const long BadAddress = -14;

    /// <summary>An argument that makes no sense.</summary>
    public const long Invalid = -22;

    /// <summary>No such call.</summary>
    public const long Unknown = -1000;
}
