using System.Diagnostics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Devices;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>
/// Several vCPUs, each with a local APIC and a thread of its own, over one memory and one dirty log. All begin at
/// <see cref="TestMachine.Code"/> in 64-bit mode, with their number in R15; their APICs are where they always are.
/// </summary>
internal sealed unsafe class SmpMachine : IDirtyWriter, IDisposable
{
    // A spinning guest gives its turn to others so often: there may be fewer processors than vCPUs.
    private const long Turn = 3000;

    private const ulong PageDirectories = TestMachine.Tables + 0x1000, ApicDirectory = 0x4000, SmallDirectory = 0x5000;
    private const ulong StackBytes = 0x1000;

    private readonly SafePoints _points = new();
    private readonly Vcpu[] _vcpus;
    private readonly IVcpuBackend[] _backends;

    public SmpMachine(int count, Func<Vcpu, IVcpuBackend> backend)
    {
        Setup.Write(PageDirectories + 3 * 8, ApicDirectory | 7);
        Setup.Write(ApicDirectory + (LocalApic.DefaultBase >> 21 & 511) * 8, LocalApic.DefaultBase | 0x87);
        Setup.Write(PageDirectories + 1 * 8, SmallDirectory | 7);
        Setup.Write(SmallDirectory, SmallTable | 7);
        ManualClock clock = new();
        ApicBus apics = new();
        Bus[] buses = new Bus[count];
        _vcpus = new Vcpu[count];
        _backends = new IVcpuBackend[count];
        for (int i = 0; i < count; i++)
        {
            int number = i;
            buses[i] = new Bus(i == 0 ? null : buses[0].Gate);
            LocalApic apic = new(i, i == 0, clock, clock.Timers, apics, new NoPic(), () => _vcpus[number].Kick());
            apics.Attach(apic);
            buses[i].MapMmio(LocalApic.DefaultBase, LocalApic.PageLength, apic, "local APIC");
            _vcpus[i] = new Vcpu(Setup.Memory, buses[i], apic, Setup.Vcpu.Clock, Setup.Vcpu.Services) { Index = i };
            _vcpus[i].Seat = _points.Add(_vcpus[i]);
            _backends[i] = backend(_vcpus[i]);
        }
        Setup.Memory.Dirty.Attach(this);
    }

    /// <summary>The page table of the GiB's first 2 MiB, at 0x4000_0000.</summary>
    public const ulong SmallTable = 0x6000, SmallPages = 0x4000_0000;

    /// <summary>For memory and tables; its own vCPU never runs.</summary>
    public TestMachine Setup { get; } = new(64);

    public IReadOnlyList<IVcpuBackend> Backends => _backends;

    /// <summary>Runs all vCPUs until each has halted; false: one has not in that time. Meanwhile the dirty log is collected into the pages.</summary>
    public bool RunToHalt(TimeSpan patience, PageBitmap written)
    {
        bool stopped = false;
        int halted = 0;
        Thread[] threads = new Thread[_vcpus.Length];
        for (int i = 0; i < threads.Length; i++)
        {
            int number = i;
            _vcpus[i].State = Setup.State;
            _vcpus[i].State.Gpr[15] = (ulong)i;
            _vcpus[i].State.Gpr[Gpr.RSP] = TestMachine.StackTop - (ulong)i * StackBytes;
            threads[i] = new Thread(() =>
            {
                while (!Volatile.Read(ref stopped))
                {
                    if (_backends[number].Run(Turn) != VcpuExit.Interrupted)
                    {
                        Interlocked.Increment(ref halted);
                        return;
                    }
                    Thread.Yield();
                }
            });
        }
        using DirtySession session = Setup.Memory.Dirty.Open("stress");
        foreach (Thread thread in threads)
            thread.Start();
        long start = Stopwatch.GetTimestamp();
        while (Volatile.Read(ref halted) < threads.Length && Stopwatch.GetElapsedTime(start) < patience)
        {
            session.Collect(written);
            // Whoever is asked to look up before it has executed anything comes no further.
            ulong next = Retired() + Turn;
            while (Retired() < next && Volatile.Read(ref halted) < threads.Length && Stopwatch.GetElapsedTime(start) < patience)
                Thread.Yield();
        }
        Volatile.Write(ref stopped, true);
        foreach (Thread thread in threads)
            thread.Join();
        session.Collect(written);
        return halted == threads.Length;
    }

    public void RevokeWritePermissions() => _points.Everywhere(null, vcpu => vcpu.Translations.RevokeWritePermissions());

    private ulong Retired()
    {
        ulong sum = 0;
        foreach (Vcpu vcpu in _vcpus)
            sum += Volatile.Read(ref vcpu.State.RetiredInstructions);
        return sum;
    }

    public void Dispose()
    {
        Setup.Memory.Dirty.Detach(this);
        foreach (IVcpuBackend backend in _backends)
            backend.Dispose();
        foreach (Vcpu vcpu in _vcpus)
            vcpu.Dispose();
        Setup.Dispose();
    }

    private sealed class NoPic : IVectorSource
    {
        public byte AcknowledgeVector() => throw new InvalidOperationException("there is no 8259");
    }
}
