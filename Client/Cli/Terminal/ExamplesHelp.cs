using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace Godwit.Cli.Terminal;

/// <summary>
/// Help that ends with examples. Commands write them in their description after an empty line ("Example:" or
/// "Examples:"); they are taken out of it, so that lists of commands stay one line each.
/// </summary>
internal sealed class ExamplesHelp : SynchronousCommandLineAction
{
    private readonly HelpAction _help = new();
    private readonly Dictionary<Command, string> _examples = [];

    private ExamplesHelp()
    {
    }

    /// <summary>Help may be asked for in the middle of an incomplete command.</summary>
    public override bool ClearsParseErrors => true;

    /// <summary>Gives a whole tree of commands this help.</summary>
    public static void AddTo(Command root)
    {
        var help = new ExamplesHelp();
        root.Options.Add(new HelpOption { Action = help });
        help.Collect(root);
    }

    public override int Invoke(ParseResult parseResult)
    {
        var code = _help.Invoke(parseResult);
        if (_examples.TryGetValue(parseResult.CommandResult.Command, out var examples))
        {
            parseResult.InvocationConfiguration.Output.WriteLine(examples.Trim() + "\n");
        }

        return code;
    }

    private void Collect(Command command)
    {
        if (command.Description is { } text && text.IndexOf("\n\nExample", StringComparison.Ordinal) is var at and >= 0)
        {
            _examples[command] = text[at..];
            command.Description = text[..at];
        }

        foreach (var child in command.Subcommands)
        {
            Collect(child);
        }
    }
}
