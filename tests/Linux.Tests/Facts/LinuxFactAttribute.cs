using Xunit;
using Xunit.Sdk;

namespace Godwit.Linux.Tests.Facts;

/// <summary>A fact about the stock Debian guest. Where its packages cannot be had it is skipped, with the reason; under CI=true it fails.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Godwit.Linux.Tests.Facts.LinuxFactDiscoverer", "Godwit.Linux.Tests")]
public sealed class LinuxFactAttribute : FactAttribute;
