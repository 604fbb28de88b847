using System.CommandLine;
using System.Text;
using Godwit.Cli.Terminal;
using Godwit.Client;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm console</c>: the serial console on this terminal, across migrations.</summary>
internal static class VmConsole
{
    /// <summary>Ctrl-], as telnet leaves.</summary>
    private const char Leave = '\u001d';

    private static readonly Option<long> _from = new("--from") { Description = "Offset to begin at, in bytes since the guest booted", HelpName = "OFFSET" };
    private static readonly Option<bool> _noFollow = new("--no-follow") { Description = "End when all that there is has been printed" };
    private static readonly Option<string?> _send = new("--send") { Description = "Type this text and a newline first", HelpName = "TEXT" };

    public static Command Create()
    {
        var command = new Command("console", """
            Attaches to a VM's serial console. Keys go to the guest; Ctrl-] leaves. It follows the VM to other silos.

            Examples:
              godwit vm console web
              godwit vm console web --no-follow > boot.log
              godwit vm console web --send "uname -a" --from 52000
            """)
        { ClusterOptions.VmName, _from, _noFollow, _send };
        _from.Validators.Add(r =>
        {
            if (r.GetValueOrDefault<long>() < 0)
            {
                r.AddError("--from takes an offset of at least 0.");
            }
        });
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
        var follow = !parsed.GetValue(_noFollow);
        if (parsed.GetValue(_send) is { } text)
        {
            await vm.WriteConsoleAsync(Encoding.UTF8.GetBytes(text + "\n"), cancellation);
        }

        using var leave = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (follow && !Console.IsInputRedirected && !output.Json)
        {
            _ = Task.Factory.StartNew(() => TypeAsync(vm, leave), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        }

        await using var screen = Console.OpenStandardOutput();
        try
        {
            await foreach (var segment in vm.Console(new ConsolePosition(0, parsed.GetValue(_from)), follow, leave.Token))
            {
                if (segment.VoidUpTo is { } end && !output.Json)
                {
                    await Console.Error.WriteLineAsync($"{Environment.NewLine}godwit: the VM's silo was lost and the guest went back to a checkpoint: its last {end - segment.Offset} bytes here are void (now epoch {segment.Epoch}, offset {segment.Offset})");
                }

                if (output.Json)
                {
                    Output.Object(new { segment.BootEpoch, segment.Epoch, segment.Offset, segment.VoidUpTo, text = Encoding.UTF8.GetString(segment.Bytes), base64 = Convert.ToBase64String(segment.Bytes) });
                    continue;
                }

                await screen.WriteAsync(segment.Bytes, leave.Token);
                await screen.FlushAsync(leave.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            Output.Line("");
        }
    }

    /// <summary>Keys as they are pressed, until the leaving one; a thread of its own, since reading a key blocks.</summary>
    private static async Task TypeAsync(Vm vm, CancellationTokenSource leave)
    {
        try
        {
            Console.TreatControlCAsInput = true;
            while (!leave.IsCancellationRequested)
            {
                var key = Console.ReadKey(intercept: true);
                if (key.KeyChar == Leave || (key.Key == ConsoleKey.Oem6 && key.Modifiers == ConsoleModifiers.Control))
                {
                    await leave.CancelAsync();
                    return;
                }

                var bytes = key.KeyChar != 0 ? Encoding.UTF8.GetBytes([key.KeyChar]) : Escape(key.Key);
                if (bytes.Length > 0)
                {
                    await vm.WriteConsoleAsync(bytes, leave.Token);
                }
            }
        }
        catch (Exception e) when (e is GodwitException or OperationCanceledException or InvalidOperationException)
        {
            // The guest has ended, or the terminal has: the reader says so.
        }
    }

    /// <summary>What a VT100 sends for keys without a character.</summary>
    private static byte[] Escape(ConsoleKey key) => key switch
    {
        ConsoleKey.UpArrow => "\u001b[A"u8.ToArray(),
        ConsoleKey.DownArrow => "\u001b[B"u8.ToArray(),
        ConsoleKey.RightArrow => "\u001b[C"u8.ToArray(),
        ConsoleKey.LeftArrow => "\u001b[D"u8.ToArray(),
        _ => [],
    };
}
