using Godwit.Engine.Machine;
using Godwit.Silo;

return await SiloProgram.RunAsync(args, static () => throw new MachineException("this build's engine has no machine"), Environment.ProcessPath!);
