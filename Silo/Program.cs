using Godwit.Engine.Machine;
using Godwit.Silo;

return await SiloProgram.RunAsync(args, static (name, spec) => new MachineActor(name, spec), Environment.ProcessPath!);
