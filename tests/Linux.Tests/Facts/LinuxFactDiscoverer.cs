using Xunit.Abstractions;
using Xunit.Sdk;

namespace Godwit.Linux.Tests.Facts;

/// <summary>Makes a <see cref="LinuxTestCase"/> of each method marked with <see cref="LinuxFactAttribute"/>.</summary>
public sealed class LinuxFactDiscoverer(IMessageSink diagnostics) : IXunitTestCaseDiscoverer
{
    public IEnumerable<IXunitTestCase> Discover(ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo factAttribute) =>
        [new LinuxTestCase(diagnostics, discoveryOptions.MethodDisplayOrDefault(), discoveryOptions.MethodDisplayOptionsOrDefault(), testMethod)];
}
