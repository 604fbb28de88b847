using System.CommandLine;
using Godwit.Engine.Machine;
using Godwit.Silo.Commands;

namespace Godwit.Silo;

/// <summary>The silo executable's commands. Errors are one line on standard error and exit code 1; wrong usage is 2.</summary>
public static class SiloProgram
{
    /// <param name="storeExecutable">What to start as <c>… store</c> where no store runs.</param>
    public static async Task<int> RunAsync(string[] args, Func<string, MachineSpec, BackendKind, IMachine> machines, string storeExecutable)
    {
        ParentWatch.Start();
        var root = new Command("godwit", "Godwit's server processes.")
        {
            StoreCommand.Create(),
            SiloCommand.Create(machines, storeExecutable),
            new System.CommandLine.Help.HelpOption(),
        };
        var parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            await Console.Error.WriteLineAsync($"godwit: {OneLine(parsed.Errors[0].Message)}");
            return 2;
        }

        try
        {
            // Signals are the commands' own: the default would cut a silo's orderly stop short after two seconds.
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (ArgumentException e)
        {
            await Console.Error.WriteLineAsync($"godwit: {e.Message}");
            return 2;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"godwit: {OneLine(e.GetBaseException().Message)}");
            return 1;
        }
    }

    private static string OneLine(string message) => string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
}
