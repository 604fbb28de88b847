using Xunit;

namespace Godwit.Drills.Tests.Guest;

/// <summary>A fact that needs Debian's apt-get and dpkg-deb, but no network: the packages are made on the spot.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class AptFactAttribute : FactAttribute
{
    public AptFactAttribute()
    {
        if (!File.Exists("/usr/bin/apt-get") || !File.Exists("/usr/bin/dpkg-deb"))
            Skip = "apt-get and dpkg-deb are not here: not a Debian system";
    }
}
