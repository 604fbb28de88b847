using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Network;
using Godwit.Silo;

namespace Godwit.Cluster.Tests;

/// <summary>The silo executable as these tests start it: everything real but the machine.</summary>
internal static class Program
{
    private static Task<int> Main(string[] args) => args switch
    {
        [InsideCommands.Runs, var cluster, var gateway, var vm, .. var silos] => InsideCommands.RunsAsync(cluster, gateway, vm, silos),
        [InsideCommands.Watch, var cluster, var socket] => InsideCommands.WatchAsync(cluster, socket),
        [InsideCommands.Knock, var cluster, var stranger, .. var ports] => InsideCommands.KnockAsync(cluster, stranger, ports),
        _ => SiloProgram.RunAsync(args, (_, _, _) => new CountingMachine(), Environment.ProcessPath!),
    };
}
