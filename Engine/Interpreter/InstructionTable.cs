using Godwit.Engine.Interpreter.Integer;
using Godwit.Engine.Interpreter.Sse;
using Godwit.Engine.Interpreter.SystemInstructions;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// All rows of all families, by mnemonic. A mnemonic may have rows in more than one family (MOV: general, segment and
/// control registers); the first that knows the form has it.
/// </summary>
internal static class InstructionTable
{
    private static readonly Row[]?[] _rows = Build();

    /// <summary>The handler for an instruction, or none (#UD). <paramref name="endsBlock"/>: it may change what its followers' decoding depends on.</summary>
    public static Handler Select(in Instruction instruction, ref Op op, out bool endsBlock)
    {
        endsBlock = false;
        if (_rows[(int)instruction.Mnemonic] is not { } rows)
            return default;
        foreach (Row row in rows)
        {
            Handler handler = row.Select(instruction, ref op);
            if (handler.IsNone)
                continue;
            endsBlock = row.EndsBlock;
            return handler;
        }
        return default;
    }

    /// <summary>Every row, for tests that go through all of them.</summary>
    public static IEnumerable<Row> All => Families().SelectMany(family => family);

    private static IEnumerable<Row[]> Families() =>
    [
        Arithmetic.Rows,
        Logic.Rows,
        Shift.Rows,
        MulDiv.Rows,
        BitTest.Rows,
        Move.Rows,
        FlagMoves.Rows,
        Control.Rows,
        Stack.Rows,
        Strings.Rows,
        Exchange.Rows,
        Integer.Decimal.Rows,
        BitManipulation.Rows,
        [.. VectorFamilies.All],
        SystemRows.Rows,
    ];

    private static Row[]?[] Build()
    {
        int count = Enum.GetValues<Mnemonic>().Length;
        Row[]?[] rows = new Row[]?[count];
        foreach (Row row in All)
            rows[(int)row.Mnemonic] = [.. rows[(int)row.Mnemonic] ?? [], row];
        return rows;
    }
}
