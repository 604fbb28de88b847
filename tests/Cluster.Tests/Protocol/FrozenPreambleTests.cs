using Godwit.Silo.DataPlane;
using Xunit;

namespace Godwit.Cluster.Tests.Protocol;

/// <summary>The first bytes of a data connection, as version 1 wrote them.</summary>
public sealed class FrozenPreambleTests
{
    /// <summary>Magic, version 1, kind 1, a token of 1 to 32, VM "web", attempt "job-7".</summary>
    private const string Frozen = "4744575401000100" + "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20" + "0300" + "776562" + "0500" + "6a6f622d37";

    private static readonly byte[] _token = [.. Enumerable.Range(1, 32).Select(i => (byte)i)];

    [Fact]
    public async Task ThePreambleOfVersion1IsRead()
    {
        var preamble = await Preamble.ReadAsync(new MemoryStream(Convert.FromHexString(Frozen)), default);
        Assert.Equal(("web", "job-7"), (preamble.Vm, preamble.Attempt));
        Assert.True(preamble.HasToken(_token));
    }

    [Fact]
    public async Task APreambleIsWrittenSoThatVersion1ReadsIt()
    {
        using var written = new MemoryStream();
        await new Preamble(_token, "web", "job-7").WriteAsync(written, default);
        Assert.Equal(Frozen, Convert.ToHexStringLower(written.ToArray()));
    }

    [Theory]
    [InlineData(null, "010000")]
    [InlineData("no", "0002006e6f")]
    public async Task AnswersAreThoseOfVersion1(string? refusal, string frozen)
    {
        using var written = new MemoryStream();
        await Preamble.AnswerAsync(written, refusal, default);
        Assert.Equal(frozen, Convert.ToHexStringLower(written.ToArray()));
        Assert.Equal(refusal, await Preamble.ReadAnswerAsync(new MemoryStream(Convert.FromHexString(frozen)), default));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(0xffff)]
    public async Task AnotherVersionIsRefusedByName(int version)
    {
        var bytes = Convert.FromHexString(Frozen);
        bytes[4] = (byte)version;
        bytes[5] = (byte)(version >> 8);
        var refused = await Assert.ThrowsAsync<InvalidDataException>(() => Preamble.ReadAsync(new MemoryStream(bytes), default));
        Assert.Equal("a data connection of an unknown version or kind", refused.Message);
    }
}
