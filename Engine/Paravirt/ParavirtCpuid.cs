using System.Buffers.Binary;
using System.Text;

namespace Godwit.Engine.Paravirt;

/// <summary>The four registers of a CPUID leaf.</summary>
public readonly record struct CpuidLeaf(uint Eax, uint Ebx, uint Ecx, uint Edx);

/// <summary>
/// The hypervisor's CPUID leaves: KVM's range at 0x40000000, so that a stock Linux finds kvmclock, and Godwit's own at
/// 0x40000100. CPUID.1:ECX bit 31 (hypervisor present) is the CPU model's to set.
/// </summary>
public static class ParavirtCpuid
{
    /// <summary>EAX highest leaf of the range, EBX ECX EDX <see cref="KvmSignature"/>.</summary>
    public const uint KvmSignatureLeaf = 0x4000_0000;

    /// <summary>EAX <see cref="KvmFeatures"/>.</summary>
    public const uint KvmFeaturesLeaf = 0x4000_0001;

    /// <summary>Padded with zeros to 12 bytes.</summary>
    public const string KvmSignature = "KVMKVMKVM";

    /// <summary>
    /// Only what the engine does. Linux Documentation/virt/kvm/x86/cpuid.rst: 0 CLOCKSOURCE (MSRs 0x11, 0x12),
    /// 1 NOP_IO_DELAY, 3 CLOCKSOURCE2 (MSRs 0x4b564d00, 01), 6 PV_EOI, 24 CLOCKSOURCE_STABLE_BIT.
    /// </summary>
    public const uint KvmFeatures = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 6 | 1u << 24;

    /// <summary>The leaf, or null where the hypervisor ranges have none (it then reads as zeros).</summary>
    public static CpuidLeaf? Leaf(uint leaf, uint subleaf)
    {
        _ = subleaf; // none of these leaves has subleaves
        return leaf switch
        {
            KvmSignatureLeaf => Signature(KvmFeaturesLeaf, KvmSignature),
            KvmFeaturesLeaf => new CpuidLeaf(KvmFeatures, 0, 0, 0),
            GodwitInterface.SignatureLeaf => Signature(GodwitInterface.FeaturesLeaf, GodwitInterface.Signature),
            GodwitInterface.FeaturesLeaf => new CpuidLeaf(GodwitInterface.Version, GodwitInterface.DoorbellPort, GodwitInterface.Features, 0),
            _ => null,
        };
    }

    private static CpuidLeaf Signature(uint highest, string signature)
    {
        Span<byte> text = stackalloc byte[12];
        text.Clear();
        Encoding.ASCII.GetBytes(signature, text);
        return new CpuidLeaf(
            highest,
            BinaryPrimitives.ReadUInt32LittleEndian(text),
            BinaryPrimitives.ReadUInt32LittleEndian(text[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(text[8..]));
    }
}
