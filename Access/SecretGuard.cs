using System.Net;
using System.Security.Cryptography;

namespace Godwit.Access;

/// <summary>
/// For a cluster on one machine: both ends show that they know the cluster's secret, without saying it. The connecting end
/// sends "GDWA", version (u8), port (u8) and a nonce (32 bytes); the listening end answers with its nonce and
/// HMAC-SHA256(key, "server", both nonces); the connecting end with HMAC-SHA256(key, "client", both nonces); the listening
/// end with 1. The key is the port's own. What follows is as it was: no other user of the machine can read loopback.
/// </summary>
public sealed class SecretGuard : ConnectionGuard
{
    private const int NonceLength = 32;
    private const int ProofLength = HMACSHA256.HashSizeInBytes;
    private const byte Version = 1;
    private const int HelloLength = 6 + NonceLength;

    private readonly ClusterSecret _secret;

    public SecretGuard(ClusterSecret secret) => _secret = secret;

    protected override async Task<Stream> AcceptCoreAsync(Stream connection, ClusterPort port, CancellationToken cancellation)
    {
        var hello = new byte[HelloLength];
        await connection.ReadExactlyAsync(hello, cancellation);
        if (!hello.AsSpan(0, 4).SequenceEqual("GDWA"u8) || hello[4] != Version || hello[5] != (byte)port)
        {
            throw new AccessRefusedException("the peer does not know how connections of a cluster begin");
        }

        var theirs = hello[6..];
        var mine = RandomNumberGenerator.GetBytes(NonceLength);
        await connection.WriteAsync((byte[])[.. mine, .. Proof(port, "server"u8, theirs, mine)], cancellation);
        await connection.FlushAsync(cancellation);
        var proof = new byte[ProofLength];
        await connection.ReadExactlyAsync(proof, cancellation);
        if (!CryptographicOperations.FixedTimeEquals(proof, Proof(port, "client"u8, theirs, mine)))
        {
            await AnswerAsync(connection, 0, cancellation);
            throw new AccessRefusedException("the peer does not know the cluster's secret");
        }

        await AnswerAsync(connection, 1, cancellation);
        return connection;
    }

    protected override async Task<Stream> ConnectCoreAsync(Stream connection, ClusterPort port, EndPoint? peer, CancellationToken cancellation)
    {
        var mine = RandomNumberGenerator.GetBytes(NonceLength);
        await connection.WriteAsync((byte[])[.. "GDWA"u8, Version, (byte)port, .. mine], cancellation);
        await connection.FlushAsync(cancellation);
        var answer = new byte[NonceLength + ProofLength];
        await connection.ReadExactlyAsync(answer, cancellation);
        var theirs = answer[..NonceLength];
        if (!CryptographicOperations.FixedTimeEquals(answer.AsSpan(NonceLength), Proof(port, "server"u8, mine, theirs)))
        {
            throw new AccessRefusedException($"what listens at {peer} does not know the secret of this cluster folder");
        }

        await connection.WriteAsync(Proof(port, "client"u8, mine, theirs), cancellation);
        await connection.FlushAsync(cancellation);
        var accepted = new byte[1];
        await connection.ReadExactlyAsync(accepted, cancellation);
        return accepted[0] == 1 ? connection : throw new AccessRefusedException($"what listens at {peer} did not accept the secret of this cluster folder");
    }

    private static async Task AnswerAsync(Stream connection, byte answer, CancellationToken cancellation)
    {
        await connection.WriteAsync(new[] { answer }, cancellation);
        await connection.FlushAsync(cancellation);
    }

    private byte[] Proof(ClusterPort port, ReadOnlySpan<byte> end, byte[] client, byte[] server) =>
        HMACSHA256.HashData(_secret.Derive($"{port} port"), (byte[])[.. end, .. client, .. server]);
}
