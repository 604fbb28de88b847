using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Client;

namespace Godwit.Cli;

/// <summary>Parses and runs the commands. Errors are one line on standard error: exit code 2 for wrong usage, else 1.</summary>
internal static class CommandLine
{
    private const int Failed = 1;
    private const int WrongUsage = 2;

    /// <summary>What a command that was interrupted has for cleaning up (a drill stops its processes).</summary>
    private static readonly TimeSpan s_orderlyEnd = TimeSpan.FromSeconds(30);

    /// <summary>Shells' code for an end by Ctrl-C (128 + SIGINT).</summary>
    private const int Interrupted = 130;

    public static async Task<int> RunAsync(string[] args, IReadOnlyList<Command> commands)
    {
        // Not a RootCommand: that one is named after the executable's file, and people type "godwit".
        var root = new Command("godwit", "Godwit: virtual machines as actors, which move between silos while they run.");
        foreach (var command in commands)
        {
            root.Subcommands.Add(command);
        }

        root.Options.Add(new VersionOption());
        ExamplesHelp.AddTo(root);
        var parsed = root.Parse(args.Length == 0 ? ["--help"] : args);
        if (parsed.Errors.Count > 0)
        {
            await Console.Error.WriteLineAsync($"godwit: {Explain(parsed)} (see \"{string.Join(' ', CommandPath(parsed))} --help\")");
            return WrongUsage;
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = s_orderlyEnd });
        }
        catch (UsageException e)
        {
            await Console.Error.WriteLineAsync($"godwit: {e.Message}");
            return WrongUsage;
        }
        catch (OperationCanceledException)
        {
            return Interrupted;
        }
        catch (GodwitException e)
        {
            await Console.Error.WriteLineAsync($"godwit: {OneLine(e.Message)}");
            return Failed;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"godwit: {OneLine(e.GetBaseException().Message)}");
            return Failed;
        }
    }

    /// <summary>The word that was not understood says more than the one that is missing for it.</summary>
    private static string Explain(ParseResult parsed) =>
        parsed.UnmatchedTokens.Count > 0 ? $"\"{parsed.UnmatchedTokens[0]}\" is not understood here" : OneLine(parsed.Errors[0].Message).TrimEnd('.');

    private static Stack<string> CommandPath(ParseResult parsed)
    {
        var names = new Stack<string>();
        for (var at = parsed.CommandResult; at is not null; at = at.Parent as System.CommandLine.Parsing.CommandResult)
        {
            names.Push(at.Command.Name);
        }

        return names;
    }

    private static string OneLine(string message) => string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
}

/// <summary>The command line itself is wrong; the message is one line.</summary>
internal sealed class UsageException(string message) : Exception(message);
