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
    private static readonly Row[]?[] _rows = Build(Families());

    /// <summary>The handler for an instruction, or none (#UD). <paramref name="endsBlock"/>: it may change what its followers' decoding depends on.</summary>
    public static Handler Select(in Instruction instruction, ref Op op, out bool endsBlock)
    {
        endsBlock = false;
        Row[]? rows = _rows[(int)instruction.Mnemonic];
        if (rows == null && instruction.Encoding == EncodingKind.VEX)
            rows = VexTable.Rows[(int)instruction.Mnemonic];
        if (rows == null)
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
    public static IEnumerable<Row> All => Families().SelectMany(family => family).Concat(VexFamilies.All);

    /// <summary>Makes now what is otherwise made when a guest first needs it.</summary>
    /// <returns>Mnemonics that have rows.</returns>
    public static int Complete() => _rows.Count(rows => rows != null) + VexTable.Rows.Count(rows => rows != null);

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

    private static Row[]?[] Build(IEnumerable<Row[]> families)
    {
        Row[]?[] rows = new Row[]?[Enum.GetValues<Mnemonic>().Length];
        foreach (Row[] family in families)
            foreach (Row row in family)
                rows[(int)row.Mnemonic] = [.. rows[(int)row.Mnemonic] ?? [], row];
        return rows;
    }

    /// <summary>Apart from the others, since making it takes tens of milliseconds of compiling, and most guests boot without.</summary>
    private static class VexTable
    {
        public static readonly Row[]?[] Rows = Build([VexFamilies.All]);
    }
}
