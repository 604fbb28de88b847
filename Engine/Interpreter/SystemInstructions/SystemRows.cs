namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>Every row of system architecture: privileged instructions and those that change segments, modes or control.</summary>
public static class SystemRows
{
    public static Row[] Rows { get; } =
    [
        .. ProcessorControl.Rows,
        .. PortAccess.Rows,
        .. PortStrings.Rows,
        .. SegmentMoves.Rows,
        .. SegmentBases.Rows,
        .. ControlMoves.Rows,
        .. TableRegisters.Rows,
        .. SelectorQueries.Rows,
        .. FarTransfers.Rows,
        .. SystemCalls.Rows,
        .. Identification.Rows,
    ];
}
