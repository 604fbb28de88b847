using Godwit.Engine.Machine;
using Godwit.Silo;

return await SiloProgram.RunAsync(args, static () => new MachineActor(), Environment.ProcessPath!);
