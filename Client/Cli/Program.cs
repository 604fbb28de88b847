using System.CommandLine;
using Godwit.Cli;
using Godwit.Cli.Commands;
using Godwit.Cli.Drill;
using Godwit.Cli.Guest;
using Godwit.Cli.Run;

// One line a command; each is a file of its own.
return await CommandLine.RunAsync(
    args,
    [
        RunCommand.Create(),
        DrillCommand.Create(),
        VmCommands.Create(),
        SiloCommands.Create(),
        ClusterCommands.Create(),
        ServerProcess.StoreCommand(),
        new Command("guest", "Guests to boot.") { GuestFetchCommand.Create() },
    ]);
