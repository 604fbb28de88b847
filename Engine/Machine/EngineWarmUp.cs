using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Machine;

/// <summary>
/// Runs a small guest once, so that the code that a move needs in a hurry (the interpreter's, the devices', saving and
/// loading state) has been compiled before the first machine arrives.
/// </summary>
public static class EngineWarmUp
{
    // Everything small: it is over in a fraction of a second.
    private const ulong MemoryBytes = 8 << 20;
    private const string Guest = "working-set=1M free=1M rate=2000 ticks=2";

    public static async Task RunAsync(CancellationToken cancellation)
    {
        InstructionTable.Complete();
        MachineSpec spec = MachineSpecs.Create(MemoryBytes, 1, ClockMode.InstructionCount, null, default, null, Guest);
        VirtualMachine machine = new(spec, "warm-up");
        await using (machine.ConfigureAwait(false))
        {
            machine.Boot(BootImages.None);
            machine.Permit.Grant(1, long.MaxValue);
            await machine.RunAsync().ConfigureAwait(false);
            await machine.Ended.WaitAsync(cancellation).ConfigureAwait(false);
            machine.LoadState(machine.SaveState());
        }
    }
}
