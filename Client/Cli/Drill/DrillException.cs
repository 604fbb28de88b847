namespace Godwit.Cli.Drill;

/// <summary>A drill that could not be carried out; the message is one line.</summary>
public sealed class DrillException(string message) : Exception(message);
