using Godwit.Engine.Machine;
using Xunit;

namespace Godwit.Engine.Tests.Translation;

public sealed class BothBackEndsTests
{
    [Fact]
    public async Task TheBuiltinGuestEndsInTheSameDigestOnBothBackEnds()
    {
        MachineSpec spec = MachineSpecs.Create(16 << 20, 1, ClockMode.InstructionCount, null, default, null, "ticks=5");
        Assert.Equal(await Digest(spec, BackendKind.Interpreter), await Digest(spec, BackendKind.Translator));
    }

    private static async Task<(string Digest, ulong Instructions)> Digest(MachineSpec spec, BackendKind backend)
    {
        await using MachineActor machine = new(backend: backend);
        await machine.CreateAsync(spec, BootImages.None, CancellationToken.None);
        machine.Grant(1, long.MaxValue);
        await machine.RunAsync(CancellationToken.None);
        long offset = 0;
        ConsoleChunk chunk;
        do
        {
            chunk = await machine.ReadConsoleAsync(offset, 65536, CancellationToken.None);
            offset = chunk.Offset + chunk.Bytes.Length;
        }
        while (!chunk.Ended);
        MachineStatus status = await machine.GetStatusAsync(CancellationToken.None);
        return (await machine.DigestAsync(CancellationToken.None), status.RetiredInstructions);
    }
}
