using Godwit.Engine.Interpreter.Vex;
using Godwit.Engine.Interpreter.X87;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>The MMX, SSE and x87 families, united for the instruction table.</summary>
internal static class VectorFamilies
{
    public static readonly Row[] All =
    [
        .. Moves.Rows,
        .. PackedInteger.Rows,
        .. PackedBits.Rows,
        .. Shuffles.Rows,
        .. FloatArithmetic.Rows,
        .. FloatCompare.Rows,
        .. Conversions.Rows,
        .. Reciprocals.Rows,
        .. Horizontal.Rows,
        .. Supplemental3.Rows,
        .. Sse41Integer.Rows,
        .. Sse41Moves.Rows,
        .. Sse41Round.Rows,
        .. StringCompare.Rows,
        .. CarrylessMultiply.Rows,
        .. AesRounds.Rows,
        .. ShaRounds.Rows,
        .. StateImage.Rows,
        .. ExtendedState.Rows,
        .. Hints.Rows,
        .. X87Families.All,
    ];
}

/// <summary>The families of VEX-encoded vector instructions.</summary>
internal static class VexFamilies
{
    public static readonly Row[] All =
    [
        .. VexInteger.Rows,
        .. VexFloat.Rows,
        .. VexConversions.Rows,
        .. VexMoves.Rows,
        .. VexElements.Rows,
        .. VexPermutes.Rows,
        .. VexMasked.Rows,
        .. FusedMultiplyAdd.Rows,
    ];
}
