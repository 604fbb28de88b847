using System.Text;
using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;

namespace Godwit.Engine.Benchmarks;

/// <summary>A Linux guest (docs/linux-guest.md) whose shell is typed at, one command after the other.</summary>
internal sealed class PromptedGuest : IAsyncDisposable
{
    private const string Prompt = "godwit:/root# ";

    private readonly StringBuilder _text = new();
    private long _offset;

    private PromptedGuest(string name, Func<Vcpu, IVcpuBackend> backend) => Machine = new MachineActor(name, null, backend);

    public MachineActor Machine { get; }

    /// <summary>Started, and on its way to the first prompt.</summary>
    public static async Task<PromptedGuest> StartAsync(string name, string kernel, string initramfs, ClockMode clock, Func<Vcpu, IVcpuBackend> backend, int cpus = 1)
    {
        BootImages images = new(await File.ReadAllBytesAsync(kernel), await File.ReadAllBytesAsync(initramfs));
        MachineSpec spec = MachineSpecs.Create(256 << 20, cpus, clock, "vmlinuz", images.Kernel, "initramfs", "console=ttyS0 cryptomgr.notests panic=-1");
        PromptedGuest guest = new(name, backend);
        await guest.Machine.CreateAsync(spec, images, default);
        guest.Machine.Grant(1, long.MaxValue);
        await guest.Machine.RunAsync(default);
        return guest;
    }

    /// <summary>Types a command and reads up to the next prompt.</summary>
    /// <param name="command">Empty: nothing is typed, the prompt is the boot's.</param>
    public async Task ExecuteAsync(string command)
    {
        if (command.Length != 0)
            await Machine.WriteConsoleAsync(Encoding.ASCII.GetBytes(command + "\n"), default);
        _text.Clear();
        while (!_text.ToString().Contains(Prompt, StringComparison.Ordinal))
        {
            ConsoleChunk chunk = await Machine.ReadConsoleAsync(_offset, 65536, default);
            _offset = chunk.Offset + chunk.Bytes.Length;
            _text.Append(Encoding.Latin1.GetString(chunk.Bytes));
            if (chunk.Ended)
                throw new InvalidOperationException($"the guest ended: {_text}");
        }
    }

    public ValueTask DisposeAsync() => Machine.DisposeAsync();
}
