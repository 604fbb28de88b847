using System.Text.Json;
using Godwit.Engine.Host;
using Godwit.Engine.Machine;

namespace Godwit.Cli.Run;

/// <summary>Runs a machine with its console on this terminal until it ends.</summary>
internal static class ForegroundMachine
{
    private const byte Escape = 1; // Ctrl-A, as QEMU's -nographic has it.

    public static async Task<int> RunAsync(MachineSpec spec, BootImages images, BackendKind backend, bool digest, bool json, CancellationToken cancellation)
    {
        await using MachineActor machine = new(backend: backend);
        await machine.CreateAsync(spec, images, cancellation).ConfigureAwait(false);
        machine.Grant(1, long.MaxValue);
        using TerminalMode terminal = TerminalMode.Raw();
        using CancellationTokenSource quit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        // A blocked read of standard input cannot be cancelled; the thread is a background one and dies with the process.
        Thread keyboard = new(() => ForwardInput(machine, terminal.IsTerminal, quit)) { IsBackground = true, Name = "keyboard" };
        keyboard.Start();
        await machine.RunAsync(cancellation).ConfigureAwait(false);
        bool stopped = false;
        try
        {
            await CopyConsoleAsync(machine, quit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            stopped = true;
        }
        MachineStatus status = await machine.GetStatusAsync(CancellationToken.None).ConfigureAwait(false);
        terminal.Dispose();
        if (digest)
            await Console.Error.WriteLineAsync($"digest {await machine.DigestAsync(CancellationToken.None).ConfigureAwait(false)}").ConfigureAwait(false);
        if (json)
            await Console.Error.WriteLineAsync(JsonSerializer.Serialize(status, CliJson.Options)).ConfigureAwait(false);
        if (stopped)
            return cancellation.IsCancellationRequested ? 130 : 0;
        if (status.ExitCode is { } code)
            return code & 0xff;
        await Console.Error.WriteLineAsync($"godwit: the machine ended: {status.EndReason}").ConfigureAwait(false);
        return 1;
    }

    private static async Task CopyConsoleAsync(MachineActor machine, CancellationToken cancellation)
    {
        using Stream output = Console.OpenStandardOutput();
        long offset = 0;
        while (true)
        {
            ConsoleChunk chunk = await machine.ReadConsoleAsync(offset, 65536, cancellation).ConfigureAwait(false);
            await output.WriteAsync(chunk.Bytes, cancellation).ConfigureAwait(false);
            await output.FlushAsync(cancellation).ConfigureAwait(false);
            if (chunk.Ended)
                return;
            offset = chunk.Offset + chunk.Bytes.Length;
        }
    }

    private static void ForwardInput(MachineActor machine, bool escapes, CancellationTokenSource quit)
    {
        using Stream input = Console.OpenStandardInput();
        byte[] buffer = new byte[256];
        bool escaped = false;
        int count;
        while ((count = input.Read(buffer)) > 0)
        {
            List<byte> typed = new(count);
            foreach (byte key in buffer.AsSpan(0, count))
            {
                if (escapes && !escaped && key == Escape)
                {
                    escaped = true;
                    continue;
                }
                if (escaped && key is (byte)'x' or (byte)'X')
                {
                    quit.Cancel();
                    return;
                }
                escaped = false;
                typed.Add(key);
            }
            try
            {
                machine.WriteConsoleAsync(typed.ToArray(), CancellationToken.None).GetAwaiter().GetResult();
            }
            catch (MachineException)
            {
                return; // It has ended: nobody reads any more.
            }
        }
    }
}
