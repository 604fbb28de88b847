using System.Diagnostics;
using Godwit.Engine.Devices;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using MessagePack;

namespace Godwit.Engine.Tests.Migration;

/// <summary>Machines that must never run at the same time.</summary>
internal sealed class RunMonitor
{
    private int _running;

    public int Running => Volatile.Read(ref _running);

    public bool Overlapped { get; private set; }

    public void Started() => Overlapped |= Interlocked.Increment(ref _running) > 1;

    public void Stopped() => Interlocked.Decrement(ref _running);
}

/// <summary>
/// A machine whose vCPU acts whenever its write permissions are revoked, the worst moment there is: it stores under
/// permissions that it still holds, gives them up, takes new ones and stores under those.
/// </summary>
internal sealed class FakeMachine : IMigratableMachine, IDirtyWriter, IDisposable
{
    private readonly RunMonitor _monitor;
    private readonly Random _random;
    private readonly Dictionary<ulong, nint> _permissions = [];
    private readonly FakeGuest _guest;
    private long _consoleEnd;
    private byte[] _console = [];
    private ulong _clock;
    private long _resumedAt;
    private long _stores;

    public FakeMachine(MachineSpec spec, RunMonitor monitor, int seed = 0)
    {
        Spec = spec;
        _monitor = monitor;
        _random = new Random(seed);
        Memory = new GuestMemory(spec.MemoryBytes);
        Memory.Dirty.Attach(this);
        _guest = new FakeGuest(this);
    }

    public static MachineSpec SmallSpec { get; } = new()
    {
        MemoryBytes = 4 << 20,
        VcpuCount = 1,
        CpuLevel = CpuLevel.V1,
        Clock = ClockMode.Host,
        TscHz = 1_000_000_000,
        Boot = new BootSource { Protocol = BootProtocol.Builtin, Kernel = null, Initrd = null, CommandLine = "" },
    };

    public MachineSpec Spec { get; }

    public GuestMemory Memory { get; }

    public FakeGuest Guest => _guest;

    IGuestHandshake IMigratableMachine.Guest => _guest;

    /// <summary>Pages that the vCPU writes between two collections, under old and under new permissions each.</summary>
    public int StoresPerStep { get; set; } = 20;

    /// <summary>Pages that it writes to; the others keep what they have.</summary>
    public int WorkingSet { get; set; } = 200;

    public bool IsRunning { get; private set; }

    public bool Disposed { get; private set; }

    public bool RefusesState { get; set; }

    public TimeSpan LastAdvance { get; private set; }

    public long ConsoleEnd => _consoleEnd;

    public long Stores => _stores;

    public ulong GuestNanoseconds => IsRunning ? _clock + (ulong)Stopwatch.GetElapsedTime(_resumedAt).TotalNanoseconds : _clock;

    /// <summary>Random bytes in some pages, zeros in some, holes elsewhere; then it runs.</summary>
    public void Fill(int pages)
    {
        byte[] bytes = new byte[PageNumber.Size];
        for (int page = 0; page < pages; page++)
        {
            if (page % 5 == 4)
                Array.Clear(bytes);
            else
                _random.NextBytes(bytes);
            if (page % 7 != 6)
                Memory.TryWrite(new PageNumber((ulong)page).Address, bytes);
        }
        Print("booted; ");
        Resume(TimeSpan.Zero);
    }

    public void Print(string text)
    {
        _console = [.. _console, .. System.Text.Encoding.ASCII.GetBytes(text)];
        _consoleEnd += text.Length;
    }

    public void RevokeWritePermissions()
    {
        if (!IsRunning)
        {
            _permissions.Clear();
            return;
        }
        for (int i = 0; i < StoresPerStep; i++)
            StoreSomewhere();
        _permissions.Clear();
        for (int i = 0; i < StoresPerStep; i++)
            StoreSomewhere();
    }

    public void StoreTo(PageNumber page) => Store(page);

    public void LetTimePass(TimeSpan time) => _clock += (ulong)time.TotalNanoseconds;

    public Task PauseAsync()
    {
        if (Disposed)
            throw new MachineException("the machine has ended");
        if (IsRunning)
        {
            for (int i = 0; i < StoresPerStep; i++)
                StoreSomewhere();
            _clock = GuestNanoseconds;
            IsRunning = false;
            _permissions.Clear();
            _monitor.Stopped();
        }
        return Task.CompletedTask;
    }

    public void Resume(TimeSpan elapsed)
    {
        if (IsRunning)
            throw new InvalidOperationException("resumed twice");
        LastAdvance = elapsed;
        _clock = (ulong)((long)_clock + (long)elapsed.TotalNanoseconds);
        _resumedAt = Stopwatch.GetTimestamp();
        IsRunning = true;
        _monitor.Started();
    }

    public IReadOnlyList<StateSection> SaveState() =>
    [
        new("vcpu0", true, MessagePackSerializer.Serialize(new object[] { _clock, _stores, _guest.Pending })),
        new("console", true, MessagePackSerializer.Serialize(new object[] { _consoleEnd, _console })),
    ];

    public void LoadState(IReadOnlyList<StateSection> sections)
    {
        if (RefusesState || sections.Count != 2)
            throw new InvalidStateException("vcpu0: no such state");
        object[] vcpu = MessagePackSerializer.Deserialize<object[]>(sections[0].Payload);
        _clock = Convert.ToUInt64(vcpu[0]);
        _stores = Convert.ToInt64(vcpu[1]);
        _guest.Pending = (bool)vcpu[2];
        object[] console = MessagePackSerializer.Deserialize<object[]>(sections[1].Payload);
        _consoleEnd = Convert.ToInt64(console[0]);
        _console = (byte[])console[1];
    }

    public byte[] RamBytes()
    {
        byte[] bytes = new byte[Memory.Size];
        foreach (PageRange extent in Memory.AllocatedExtents())
            Memory.TryRead(extent.First.Address, bytes.AsSpan((int)extent.First.Address.Value, extent.Count * PageNumber.Size));
        return bytes;
    }

    public void Dispose()
    {
        if (Disposed)
            return;
        Disposed = true;
        if (IsRunning)
            _monitor.Stopped();
        IsRunning = false;
        Memory.Dispose();
    }

    private void StoreSomewhere() => Store(new PageNumber((ulong)_random.Next(WorkingSet)));

    private unsafe void Store(PageNumber page)
    {
        if (!_permissions.TryGetValue(page.Value, out nint pointer))
            _permissions[page.Value] = pointer = (nint)Memory.Resolve(page, Access.Write);
        // Within the page that was resolved, which stays mapped as long as the machine is not disposed.
        ((ulong*)pointer)[_random.Next(PageNumber.Size / sizeof(ulong))] = (ulong)_random.NextInt64();
        _stores++;
    }
}

/// <summary>A guest that answers migration's events at once, on the thread that announces them.</summary>
internal sealed class FakeGuest(FakeMachine machine) : IGuestHandshake
{
    private TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public event Action<IReadOnlyList<PageRange>>? PagesFreed;

    public bool Cooperative { get; set; }

    /// <summary>A Ready call waits for its answer.</summary>
    public bool Pending { get; set; }

    /// <summary>The answer of the last Ready.</summary>
    public bool? Moved { get; private set; }

    public List<MigrationEvent> Heard { get; } = [];

    public Action<MigrationEvent>? Behaviour { get; set; }

    public void Announce(MigrationEvent what)
    {
        Heard.Add(what);
        Behaviour?.Invoke(what);
    }

    public void Free(params PageRange[] ranges) => PagesFreed?.Invoke(ranges);

    /// <summary>Stops writing and calls Ready.</summary>
    public void CallReady()
    {
        machine.StoresPerStep = 0;
        Pending = true;
        _ready.TrySetResult();
    }

    public Task WaitReadyAsync(CancellationToken cancellation) => _ready.Task.WaitAsync(cancellation);

    public void CompleteReady(bool moved)
    {
        if (Pending)
            Moved = moved;
        Pending = false;
        _ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
