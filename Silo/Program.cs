using Godwit.Engine.Machine;
using Godwit.Silo;

return await SiloProgram.RunAsync(args, static (name, spec, backend) => new MachineActor(name, spec, backend), Environment.ProcessPath!);
