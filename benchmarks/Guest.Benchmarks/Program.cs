using Godwit.Cli;
using Godwit.Cli.Run;
using Godwit.Guest.Benchmarks;
using Godwit.Guest.Benchmarks.Machines;

// A Godwit machine to be measured is a process of its own, as QEMU's is: this program again, as `godwit run`.
return args is [MachineCommands.RunMachine, .. string[] machine]
    ? await CommandLine.RunAsync(["run", .. machine], [RunCommand.Create()])
    : await BenchmarkCommand.RunAsync(args);
