using Godwit.Cli;
using Godwit.Cli.Commands;

// One line a command; each is a file of its own.
return await CommandLine.RunAsync(
    args,
    [
        VmCommands.Create(),
        SiloCommands.Create(),
        ServerProcess.StoreCommand(),
    ]);
