namespace Godwit.Engine.Interpreter.X87;

/// <summary>The x87 families, united for the instruction table.</summary>
internal static class X87Families
{
    public static readonly Row[] All =
    [
        .. X87Moves.Rows,
        .. X87Arithmetic.Rows,
        .. X87Compare.Rows,
        .. X87Control.Rows,
        .. X87Functions.Rows,
        .. X87Decimal.Rows,
        .. X87Transcendental.Rows,
    ];
}
