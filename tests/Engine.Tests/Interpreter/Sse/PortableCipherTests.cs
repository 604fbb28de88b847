using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Interpreter.Sse;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>What hosts without the instructions compute, against FIPS 197 and against the host's where it has them.</summary>
public sealed class PortableCipherTests
{
    [Fact]
    public void ARoundOfFips197ComesOutAsPrinted()
    {
        // Appendix B, round 1: the state at its start, the round key, and the state at the start of round 2.
        Vector128<byte> state = Bytes("193de3bea0f4e22b9ac68d2ae9f84808"), key = Bytes("a0fafe1788542cb123a339392a6c7605");
        Assert.Equal(Bytes("a49c7ff2689f352b6b5bea43026a5049"), AesRounds.PortableRound(state, key, decrypt: false, last: false));
        // Round 10: no mixing of columns.
        state = Bytes("eb40f21e592e38848ba113e71bc342d2");
        key = Bytes("d014f9a8c9ee2589e13f0cc8b6630ca6");
        Assert.Equal(Bytes("3925841d02dc09fbdc118597196a0b32"), AesRounds.PortableRound(state, key, decrypt: false, last: true));
    }

    [Fact]
    public void PortableRoundsAreTheHosts()
    {
        if (!Aes.IsSupported || !Pclmulqdq.IsSupported)
            return;
        Random random = new(1);
        for (int i = 0; i < 1000; i++)
        {
            Vector128<byte> state = Vector128.Create(random.NextInt64(), random.NextInt64()).AsByte() ^ Vector128.Create((byte)random.Next(256));
            Vector128<byte> key = Vector128.Create(random.NextInt64(), random.NextInt64()).AsByte();
            Assert.Equal(Aes.Encrypt(state, key), AesRounds.PortableRound(state, key, decrypt: false, last: false));
            Assert.Equal(Aes.EncryptLast(state, key), AesRounds.PortableRound(state, key, decrypt: false, last: true));
            Assert.Equal(Aes.Decrypt(state, key), AesRounds.PortableRound(state, key, decrypt: true, last: false));
            Assert.Equal(Aes.DecryptLast(state, key), AesRounds.PortableRound(state, key, decrypt: true, last: true));
            Assert.Equal(Aes.InverseMixColumns(state), AesRounds.PortableInverseMix(state));
            Assert.Equal(Pclmulqdq.CarrylessMultiply(state.AsUInt64(), key.AsUInt64(), 0), CarrylessMultiply.Portable(state.AsUInt64()[0], key.AsUInt64()[0]));
        }
    }

    private static Vector128<byte> Bytes(string hex) => Vector128.Create(Convert.FromHexString(hex));
}
