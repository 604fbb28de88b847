using System.Reflection;
using Xunit.Sdk;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>Runs a theory on the embedded store.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OnEmbeddedStoreAttribute : DataAttribute
{
    public override IEnumerable<object[]> GetData(MethodInfo testMethod) => [[StoreKind.Embedded]];
}

/// <summary>Runs a theory on a real redis-server. Where there is none it is skipped with the reason, but in CI it fails.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class OnRedisServerAttribute : DataAttribute
{
    public OnRedisServerAttribute()
    {
        if (RedisServer.Executable is null && Environment.GetEnvironmentVariable("CI") != "true")
        {
            Skip = "redis-server is not on the PATH (Debian's package redis-server)";
        }
    }

    public override IEnumerable<object[]> GetData(MethodInfo testMethod) => [[StoreKind.Redis]];
}
