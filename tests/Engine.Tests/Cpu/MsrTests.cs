using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

public sealed unsafe class MsrTests
{
    private const ulong NotCanonical = 1ul << 47;

    /// <summary>Registers that hold what is written, with a value they take and one they refuse (0: none).</summary>
    public static TheoryData<uint, ulong, ulong> Held => new()
    {
        { 0x48, 1, 8 },
        { 0x174, 0x10, 0 },
        { 0x175, 0xffff_8000_0000_1000, 0 },
        { 0x176, 0xffff_8000_0000_2000, 0 },
        { 0x277, 0x0007_0106_0007_0106, 0x02 },
        { 0x2ff, 0xc00, 0xc02 },
        { 0xc000_0081, 0x0023_0010_1234_5678, 0 },
        { 0xc000_0082, 0xffff_ffff_8000_0000, NotCanonical },
        { 0xc000_0083, 0xffff_ffff_8000_0000, NotCanonical },
        { 0xc000_0084, 0x4_7700, 0 },
        { 0xc000_0100, 0x7fff_ffff_f000, NotCanonical },
        { 0xc000_0101, 0x7fff_ffff_f000, NotCanonical },
        { 0xc000_0102, 0xffff_8880_0000_0000, NotCanonical },
        { 0xc000_0103, 7, 1ul << 32 },
        { 0x3b, 0x1234, 0 },
        { 0x800, 0x55, 0 },
    };

    [Theory]
    [MemberData(nameof(Held))]
    public void RegistersHoldValidValuesAndRefuseOthers(uint index, ulong valid, ulong invalid)
    {
        using CpuBench bench = new();
        Assert.True(Msrs.Write(bench.C, index, valid));
        Assert.True(Msrs.Read(bench.C, index, out ulong value));
        Assert.Equal(valid, value);
        if (invalid == 0)
            return;
        Assert.False(Msrs.Write(bench.C, index, invalid));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
        Assert.True(bench.Fault.HasErrorCode);
        Assert.True(Msrs.Read(bench.C, index, out value));
        Assert.Equal(valid, value);
    }

    [Theory]
    [InlineData(0x8bu)]
    [InlineData(0xfeu)]
    [InlineData(0x10au)]
    [InlineData(0x179u)]
    [InlineData(0x1d9u)]
    [InlineData(0xc001_0010u)]
    [InlineData(0xc001_0015u)]
    [InlineData(0xc001_1029u)]
    public void RegistersThatKernelsProbeCanBeRead(uint index)
    {
        using CpuBench bench = new();
        Assert.True(Msrs.Read(bench.C, index, out _));
    }

    [Fact]
    public void UnknownRegistersGoToTheMachineAndThenFault()
    {
        using CpuBench bench = new();
        bench.Services.Registers[0x4b56_4d01] = 5;
        Assert.True(Msrs.Read(bench.C, 0x4b56_4d01, out ulong value));
        Assert.Equal(5ul, value);
        Assert.True(Msrs.Write(bench.C, 0x4b56_4d01, 6));
        Assert.Equal(6ul, bench.Services.Registers[0x4b56_4d01]);
        Assert.False(Msrs.Read(bench.C, 0xc001_0000, out _));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
        Assert.False(Msrs.Write(bench.C, 0x1234_5678, 0));
    }

    [Fact]
    public void WritingTheTimeStampMovesItAndTheDeadlineFollows()
    {
        using CpuBench bench = new();
        bench.Clock.Tsc = 1000;
        Assert.True(Msrs.Write(bench.C, 0x10, 5000));
        bench.Clock.Tsc = 1500;
        Assert.True(Msrs.Read(bench.C, 0x10, out ulong now));
        Assert.Equal(5500ul, now);
        Assert.True(Msrs.Read(bench.C, 0x3b, out ulong adjust));
        Assert.Equal(4000ul, adjust);
        // The guest's 6000 is the machine's 2000.
        Assert.True(Msrs.Write(bench.C, 0x6e0, 6000));
        Assert.Equal(2000ul, bench.Interrupts.Registers[0x6e0]);
        Assert.True(Msrs.Read(bench.C, 0x6e0, out ulong deadline));
        Assert.Equal(6000ul, deadline);
        // Before the machine began: past, not disarmed.
        Assert.True(Msrs.Write(bench.C, 0x6e0, 10));
        Assert.Equal(1ul, bench.Interrupts.Registers[0x6e0]);
        Assert.True(Msrs.Write(bench.C, 0x6e0, 0));
        Assert.Equal(0ul, bench.Interrupts.Registers[0x6e0]);
        Assert.True(Msrs.Write(bench.C, 0x10, 500));
        Assert.True(Msrs.Write(bench.C, 0x6e0, 700));
        Assert.Equal(1700ul, bench.Interrupts.Registers[0x6e0]);
    }

    [Fact]
    public void TimeStampDisableKeepsUserModeOut()
    {
        using CpuBench bench = new();
        bench.EnterLong();
        bench.State.Cr4 |= Cr4.TSD;
        Assert.True(TimeStamp.Read(bench.C, out _));
        bench.DropToUser();
        Assert.False(TimeStamp.Read(bench.C, out _));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
    }

    [Fact]
    public void CpuidDescribesTheFirstLevelAndNothingThatIsNotExecuted()
    {
        CpuidResult vendor = CpuidModel.Query(CpuLevel.V1, 0, 0);
        Assert.Equal("AuthenticAMD", Text(vendor.Ebx) + Text(vendor.Edx) + Text(vendor.Ecx));
        CpuidResult features = CpuidModel.Query(CpuLevel.V1, 1, 0);
        // x86-64-v1: FPU, CX8, CMOV, MMX, FXSR, SSE, SSE2; and the hypervisor bit.
        Assert.Equal(0x0700_8101u | 1u << 23, features.Edx & (0x0700_8101u | 1u << 23));
        Assert.NotEqual(0u, features.Ecx & 1u << 31);
        // No SSE3, SSSE3, SSE4, CX16, POPCNT, XSAVE, AVX, MONITOR.
        Assert.Equal(0u, features.Ecx & (1u << 0 | 1u << 9 | 1u << 19 | 1u << 20 | 1u << 13 | 1u << 23 | 1u << 26 | 1u << 28 | 1u << 3));
        Assert.NotEqual(0u, CpuidModel.Query(CpuLevel.V1, 0x8000_0001, 0).Edx & 1u << 29);
        Assert.NotEqual(0u, CpuidModel.Query(CpuLevel.V1, 0x8000_0007, 0).Edx & 1u << 8);
        Assert.Equal(default, CpuidModel.Query(CpuLevel.V1, 0x15, 0));
        Assert.Equal(default, CpuidModel.Query(CpuLevel.V1, 7, 1));
        Assert.StartsWith("Godwit virtual processor, x86-64-v1", string.Concat(Enumerable.Range(2, 3).Select(part =>
        {
            CpuidResult r = CpuidModel.Query(CpuLevel.V1, 0x8000_0000 + (uint)part, 0);
            return Text(r.Eax) + Text(r.Ebx) + Text(r.Ecx) + Text(r.Edx);
        })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CpuLevel.V1, 0u, 0u, 0u)]
    // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT, XSAVE; LAHF.
    [InlineData(CpuLevel.V2, 0x0498_2201u, 0u, 1u)]
    // PCLMULQDQ, FMA, MOVBE, AES, AVX, F16C; BMI1, AVX2, BMI2, RDSEED, ADX, SHA; LZCNT.
    [InlineData(CpuLevel.V3, 0x0498_2201u | 0x3240_1002u, 0x200c_0128u, 0x21u)]
    public void EachLevelShowsItsFeatures(CpuLevel level, uint first, uint structured, uint extended)
    {
        const uint Hypervisor = 1u << 31, RandomNumbers = 1u << 30, Apic = 1u << 21 | 1u << 24, Pcid = 1u << 17, FirstLevel = 0x0010_0681;
        Assert.Equal(first | Hypervisor | RandomNumbers | Apic | Pcid, CpuidModel.Query(level, 1, 0).Ecx);
        Assert.Equal(structured | FirstLevel, CpuidModel.Query(level, 7, 0).Ebx);
        Assert.Equal(extended, CpuidModel.Query(level, 0x8000_0001, 0).Ecx);
    }

    [Theory]
    [InlineData("x86-64-v1", CpuLevel.V1)]
    [InlineData("x86-64-v2", CpuLevel.V2)]
    [InlineData("x86-64-v3", CpuLevel.V3)]
    [InlineData("x86-64-v4", null)]
    [InlineData("v2", null)]
    public void LevelsHaveTheirPsabiNames(string name, CpuLevel? expected)
    {
        Assert.Equal(expected is not null, CpuLevels.TryParse(name, out CpuLevel level));
        Assert.Equal(expected ?? default, level);
    }

    [Fact]
    public void ALevelThatNobodyKnowsIsRefusedInOneLine()
    {
        string? refusal = CpuLevels.Refusal((CpuLevel)9);
        Assert.NotNull(refusal);
        Assert.DoesNotContain('\n', refusal);
    }

    private static string Text(uint word) => System.Text.Encoding.ASCII.GetString(BitConverter.GetBytes(word));

    [Fact]
    public void CpuidFollowsTheVcpusState()
    {
        using CpuBench bench = new();
        CpuidResult result = CpuidModel.Query(CpuLevel.V1, 1, 0);
        CpuidModel.Complete(bench.C, 1, 0, ref result);
        Assert.NotEqual(0u, result.Edx & 1u << 9);
        bench.Interrupts.Registers[0x1b] = 0xfee0_0000;
        CpuidModel.Complete(bench.C, 1, 0, ref result);
        Assert.Equal(0u, result.Edx & 1u << 9);
    }
}
