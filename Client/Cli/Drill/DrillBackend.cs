namespace Godwit.Cli.Drill;

/// <summary>Which back end each silo of a drill runs: one for all, or by turns, so that each move is one from back end to back end too.</summary>
internal sealed record DrillBackend(string Name)
{
    private const string Interpreter = "interpreter", Translator = "translator", Mixed = "mixed";

    public static string[] Names { get; } = [Interpreter, Translator, Mixed];

    /// <summary>The back end of a silo, counted from 0.</summary>
    public string Of(int silo) => Name != Mixed ? Name : silo % 2 == 0 ? Interpreter : Translator;
}
