using Orleans.Runtime;

namespace Godwit.Access.Roles;

/// <summary>Whom a grain call is from, as it travels with the call: a kind and what proves it.</summary>
public static class CallCredential
{
    public const string SiloPrefix = "silo:";
    public const string OwnerPrefix = "owner:";
    public const string TokenPrefix = "token:";

    private const string Key = "godwit.credential";

    public static string? OfThisCall => RequestContext.Get(Key) as string;

    /// <summary>Puts the credential on the calls that this flow of control makes from now on.</summary>
    public static void Put(string credential) => RequestContext.Set(Key, credential);
}

/// <summary>Puts a client's credential on each of its calls.</summary>
public sealed class ClientCredentialFilter(string credential) : IOutgoingGrainCallFilter
{
    public async Task Invoke(IOutgoingGrainCallContext context)
    {
        CallCredential.Put(credential);
        await context.Invoke();
    }
}

/// <summary>
/// Puts the silos' credential on each call that leaves a grain or a silo, whatever it came from; never on one to a client,
/// which would then have it.
/// </summary>
public sealed class SiloCredentialFilter(ClusterSecret secret) : IOutgoingGrainCallFilter
{
    private readonly string _credential = CallCredential.SiloPrefix + secret.SiloCredential;

    public async Task Invoke(IOutgoingGrainCallContext context)
    {
        if (!context.TargetId.IsClient())
        {
            CallCredential.Put(_credential);
        }
        else if (CallCredential.OfThisCall is not null)
        {
            CallCredential.Put("");
        }

        await context.Invoke();
    }
}
