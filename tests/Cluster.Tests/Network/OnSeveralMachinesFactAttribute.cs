using Godwit.Cluster.Tests.Processes;
using Xunit;

namespace Godwit.Cluster.Tests.Network;

/// <summary>
/// A test in network namespaces with a real redis-server. Skipped with the reason where there can be none; in CI, which
/// installs the programs, only the kernel may be the reason.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OnSeveralMachinesFactAttribute : FactAttribute
{
    public OnSeveralMachinesFactAttribute()
    {
        var missing = RedisServer.Executable is null ? "redis-server is not on the PATH (Debian's package redis-server)" : null;
        if ((missing ?? NetworkLab.WhyNot) is { } reason && !(Environment.GetEnvironmentVariable("CI") == "true" && reason.Contains("package", StringComparison.Ordinal)))
        {
            Skip = reason;
        }
    }
}
