using Godwit.Cluster.Tests.Machines;
using Godwit.Silo;

namespace Godwit.Cluster.Tests;

/// <summary>The silo executable as these tests start it: everything real but the machine.</summary>
internal static class Program
{
    private static Task<int> Main(string[] args) =>
        SiloProgram.RunAsync(args, (_, _, _) => new CountingMachine(), Environment.ProcessPath!);
}
