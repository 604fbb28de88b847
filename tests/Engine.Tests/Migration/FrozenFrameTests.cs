using Godwit.Engine.Machine;
using Godwit.Engine.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Migration;

/// <summary>Frames of the migration stream as version 1 wrote them. The bytes are not to be changed: another layout is another version.</summary>
public sealed class FrozenFrameTests
{
    private const string FrozenOffer = "01096c6f73742d7061676596ce04000000010100ce3b9aca009401d94061616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161d94062626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262626262ad636f6e736f6c653d7474795330";
    private const string FrozenFinal = "1032547698badcfeefcdab89674523012a00000000000000000000000000000001307500000000000050c3000000000000";

    private static readonly MachineSpec s_spec = new()
    {
        MemoryBytes = 64UL << 20,
        VcpuCount = 1,
        CpuLevel = CpuLevel.V1,
        Clock = ClockMode.Host,
        TscHz = 1_000_000_000,
        Boot = new BootSource { Protocol = BootProtocol.Linux, Kernel = new string('a', 64), Initrd = new string('b', 64), CommandLine = "console=ttyS0" },
    };

    private static readonly FinalFrame s_final = new((UInt128)0x0123456789abcdef << 64 | 0xfedcba9876543210, 42, Announced: true, Ready: false, TimeSpan.FromMilliseconds(3), TimeSpan.FromMilliseconds(5));

    [Fact]
    public void TheHelloIsThatOfVersion1()
    {
        Assert.Equal("GODWITMG"u8, Wire.Magic);
        Assert.Equal(1, Wire.Version);
        Assert.Equal(5, Wire.HeaderBytes);
    }

    [Fact]
    public void FrameTypesKeepTheirNumbers() =>
        Assert.Equal("Hello=1 Ping=2 Pong=3 Offer=4 Accept=5 Refuse=6 Pages=7 RoundEnd=8 RoundAck=9 Stopping=10 Free=11 StateBegin=12 StateChunk=13 Final=14 RamHash=15 Verified=16 Committed=17 Running=18 Done=19 Alive=20 Abort=21", string.Join(' ', Enum.GetValues<FrameType>().Select(type => $"{type}={(int)type}")));

    [Fact]
    public void TheOfferOfVersion1IsReadAndWritten()
    {
        Assert.Equal(new Offer(true, "lost-page", s_spec), Offer.Decode(Convert.FromHexString(FrozenOffer)));
        Assert.StartsWith(FrozenOffer[..22], Convert.ToHexStringLower(new Offer(true, "lost-page", s_spec).Encode()), StringComparison.Ordinal);
    }

    [Fact]
    public void TheFinalFrameOfVersion1IsReadAndWritten()
    {
        Assert.Equal(s_final, FinalFrame.Decode(Convert.FromHexString(FrozenFinal)));
        Assert.Equal(FrozenFinal, Convert.ToHexStringLower(s_final.Encode()));
    }
}
