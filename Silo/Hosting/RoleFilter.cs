using Godwit.Access;
using Godwit.Access.Roles;
using Godwit.Grains.Interfaces;

namespace Godwit.Silo.Hosting;

/// <summary>
/// Before every grain call and every call of Orleans' own in this silo: the caller's role allows it. A caller is known by
/// the credential that travels with the call; silos put theirs on by <see cref="SiloCredentialFilter"/>.
/// </summary>
internal sealed partial class RoleFilter(Callers callers, ILogger<RoleFilter> log) : IIncomingGrainCallFilter
{
    public async Task Invoke(IIncomingGrainCallContext context)
    {
        // A call to what lives at a client is not for this silo to allow.
        var called = context.Request.GetInterfaceType();
        if (!context.TargetId.IsClient() && !GrainRoles.IsOpen(called))
        {
            Require(called, context.MethodName);
        }

        await context.Invoke();
    }

    private void Require(Type called, string method)
    {
        var needed = GrainRoles.Of(called, method);
        Caller caller;
        try
        {
            caller = callers.Identify(CallCredential.OfThisCall);
        }
        catch (AccessRefusedException e)
        {
            LogRefused("?", called.Name, method, e.Message);
            throw new ClusterException(ClusterError.Denied, $"The cluster does not carry out this command: {e.Message}.");
        }

        if (caller.Role < needed)
        {
            LogRefused(caller.Name, called.Name, method, caller.Role.ToString());
            throw new ClusterException(
                ClusterError.Denied,
                needed == ClusterRole.Silo
                    ? $"{called.Name}.{method} is for silos only."
                    : $"{caller.Name} is {Named(caller.Role)}, and this command needs {Named(needed)}.");
        }
    }

    private static string Named(ClusterRole role) => role switch
    {
        ClusterRole.Viewer => "a viewer",
        ClusterRole.Operator => "an operator",
        ClusterRole.Admin => "an admin",
        _ => "a silo",
    };

    [LoggerMessage(Level = LogLevel.Warning, Message = "Refused to {Caller}: {Interface}.{Method} ({Reason})")]
    private partial void LogRefused(string caller, string @interface, string method, string reason);
}
