using System.Text;
using System.Text.RegularExpressions;
using Godwit.Engine.Machine;
using Xunit;

namespace Godwit.Linux.Tests.Guests;

/// <summary>A machine with Linux in it, and a reader of its console who types commands.</summary>
internal sealed partial class GuestSession : IAsyncDisposable
{
    /// <summary>The shell's prompt, as docs/linux-guest.md has it.</summary>
    public const string Prompt = "godwit:/root# ";

    // Far beyond what anything here takes on an idle machine; only a hang is to be told from a slow one.
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(4);

    private readonly CancellationTokenSource _limit = new(s_limit);
    private readonly StringBuilder _text = new();
    private long _offset;
    private int _read;

    private GuestSession(MachineActor machine, long offset)
    {
        Machine = machine;
        _offset = offset;
    }

    public MachineActor Machine { get; }

    /// <summary>All that was read of the console.</summary>
    public string Text => _text.ToString();

    /// <summary>Where the next console byte to read stands.</summary>
    public long Offset => _offset;

    /// <summary>Boots images; the console is read from its first byte.</summary>
    public static Task<GuestSession> BootAsync(MachineSpec spec, BootImages images, BackendKind? backend = null) =>
        BootAsync(spec, images, new MachineActor("linux", backend: backend));

    /// <summary>The same on an empty machine.</summary>
    public static async Task<GuestSession> BootAsync(MachineSpec spec, BootImages images, MachineActor machine)
    {
        await machine.CreateAsync(spec, images, default);
        return new GuestSession(machine, 0);
    }

    /// <summary>Restores a snapshot, paused; the console is read from there on.</summary>
    public static async Task<GuestSession> RestoreAsync(ReadOnlyMemory<byte> snapshot)
    {
        MachineActor machine = new("linux");
        using MemoryStream stream = new(snapshot.ToArray(), writable: false);
        await machine.RestoreAsync(stream, default);
        return new GuestSession(machine, (await machine.GetStatusAsync(default)).ConsoleEnd);
    }

    /// <summary>A session of a machine whose console is read from an offset on.</summary>
    public static GuestSession Of(MachineActor machine, long offset) => new(machine, offset);

    /// <summary>The session goes on with the machine to which the guest has moved; what was read stays read.</summary>
    public GuestSession MovedTo(MachineActor machine)
    {
        GuestSession there = new(machine, _offset) { _read = _read };
        there._text.Append(_text);
        return there;
    }

    public Task<MachineStatus> StatusAsync() => Machine.GetStatusAsync(default);

    public async Task<GuestSession> StartAsync()
    {
        Machine.Grant(1, long.MaxValue);
        await Machine.RunAsync(default);
        return this;
    }

    public Task TypeAsync(string text) => Machine.WriteConsoleAsync(Encoding.ASCII.GetBytes(text), default);

    /// <summary>Types a command at the prompt and returns what it printed, lines ended by \n.</summary>
    public async Task<string> RunAsync(string command)
    {
        await TypeAsync(command + "\n");
        await ReadToAsync(command + "\r\n");
        return await ReadOutputAsync();
    }

    /// <summary>What the command that was typed printed since its echo was read, up to the next prompt.</summary>
    public async Task<string> ReadOutputAsync()
    {
        string output = await ReadToAsync(Prompt);
        return EscapeSequence().Replace(output[..^Prompt.Length], "").Replace("\r\n", "\n", StringComparison.Ordinal);
    }

    /// <summary>Reads on until a text has come; returns what was not yet returned, up to its end.</summary>
    public async Task<string> ReadToAsync(string text)
    {
        while (true)
        {
            int found = Text.IndexOf(text, _read, StringComparison.Ordinal);
            if (found >= 0)
            {
                int from = _read;
                _read = found + text.Length;
                return Text[from.._read];
            }
            Assert.True(await ReadAsync(), $"the machine ended ({(await StatusAsync()).EndReason}) before '{text}' came; its console:\n{Tail()}");
        }
    }

    /// <summary>Reads to the machine's end.</summary>
    public async Task<MachineStatus> ReadToEndAsync()
    {
        while (await ReadAsync())
        {
        }
        return await StatusAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Machine.DisposeAsync();
        _limit.Dispose();
    }

    private async Task<bool> ReadAsync()
    {
        try
        {
            ConsoleChunk chunk = await Machine.ReadConsoleAsync(_offset, 65536, _limit.Token);
            Assert.Equal(_offset, chunk.Offset);
            _offset += chunk.Bytes.Length;
            _text.Append(Encoding.Latin1.GetString(chunk.Bytes));
            return !chunk.Ended;
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"the guest was silent for too long; its console:\n{Tail()}");
            throw;
        }
    }

    private string Tail() => Text.Length > 2000 ? Text[^2000..] : Text;

    // What the shell's line editor says to a terminal.
    [GeneratedRegex(@"\e\[[0-9;?]*[a-zA-Z]")]
    private static partial Regex EscapeSequence();
}
