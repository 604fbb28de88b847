using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm …</c></summary>
internal static class VmCommands
{
    public static Command Create()
    {
        var group = new Command("vm", """
            VMs of the cluster.

            Examples:
              godwit vm create web --memory 256M --kernel bzImage --initrd initrd.img --append "console=ttyS0"
              godwit vm start web
              godwit vm migrate web --to b
              godwit vm console web
            """)
        {
            VmCreate.Create(),
            VmStart.Create(),
            VmPause.Create(),
            VmResume.Create(),
            VmStop.Create(),
            VmDelete.Create(),
            VmSet.Create(),
            VmList.Create(),
            VmShow.Create(),
            VmConsole.Create(),
            VmSnapshot.Create(),
            VmRestore.Create(),
            VmMigrate.Create(),
        };
        ClusterOptions.AddTo(group);
        return group;
    }
}
