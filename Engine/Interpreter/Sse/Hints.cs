using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Prefetches and fences. Guest stores reach memory in program order, so that only MFENCE has work to do.</summary>
internal static unsafe class Hints
{
    public static readonly Row[] Rows =
    [
        Nothing(Mnemonic.Prefetchnta), Nothing(Mnemonic.Prefetcht0), Nothing(Mnemonic.Prefetcht1), Nothing(Mnemonic.Prefetcht2),
        Nothing(Mnemonic.Prefetch), Nothing(Mnemonic.Prefetchw), Nothing(Mnemonic.Lfence), Nothing(Mnemonic.Sfence),
        new(Mnemonic.Mfence, (in Instruction instruction, ref Op op) => new Handler(&FullFence)),
    ];

    private static Row Nothing(Mnemonic mnemonic) => new(mnemonic, (in Instruction instruction, ref Op op) => new Handler(&Next));

    private static Op* Next(VcpuContext* c, Op* op) => op + 1;

    private static Op* FullFence(VcpuContext* c, Op* op)
    {
        Interlocked.MemoryBarrier();
        return op + 1;
    }
}
