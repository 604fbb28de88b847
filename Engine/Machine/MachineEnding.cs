namespace Godwit.Engine.Machine;

/// <summary>How a machine ended: why, in one line, and the guest's exit code where it gave one (0 for power-off).</summary>
public sealed record MachineEnding(string Reason, int? ExitCode);
