using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Paravirt;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

/// <summary>Whatever a guest puts in its registers, it gets an answer and reaches nothing outside its RAM.</summary>
public sealed class HostileGuestTests
{
    private const int Calls = 200_000;
    private const ulong Ram = 64 * 4096;

    [Fact]
    public void NoHypercallThrowsOrNamesPagesOutsideRam()
    {
        int seed = Random.Shared.Next();
        Random random = new(seed);
        using GuestMemory memory = new(Ram);
        FakeVcpu vcpu = new();
        ulong consoleBytes = 0;
        CountingSink sink = new(bytes => consoleBytes += (ulong)bytes);
        Hypercalls calls = new(new Lock(), memory, vector => Assert.True(vector >= 32), sink);
        calls.AttachVcpu(vcpu);
        calls.PagesFreed += ranges => Assert.All(ranges, range => Assert.True(range.Count > 0 && range.First.Value + (ulong)range.Count <= Ram / 4096));
        byte[] noise = new byte[Ram];
        random.NextBytes(noise);
        memory.TryWrite(new(0), noise);
        for (int i = 0; i < Calls; i++)
        {
            if (calls.IsParked(0))
                calls.CompleteReady(random.Next(2) == 0);
            if (random.Next(16) == 0)
                calls.Announce((MigrationEvent)random.Next(4));
            vcpu.Rax = random.Next(8) == 0 ? Any(random) : (ulong)random.Next(10);
            vcpu.Cpl = random.Next(4) == 0 ? 3 : 0;
            (vcpu.Rbx, vcpu.Rcx, vcpu.Rsi) = (Any(random), Any(random), Any(random));
            (ulong number, ulong length) = ((uint)vcpu.Rax, vcpu.Rcx);
            ulong before = consoleBytes;
            bool parked = calls.Call(vcpu) == HypercallOutcome.Parked;
            Assert.True(parked == calls.IsParked(0), $"seed {seed}, call {i}");
            ulong written = number == (ulong)HypercallNumber.ConsoleWrite && (long)vcpu.Rax >= 0 ? length : 0;
            Assert.True(consoleBytes - before == written, $"seed {seed}, call {i}");
        }
    }

    [Fact]
    public void NoMsrValueThrows()
    {
        int seed = Random.Shared.Next();
        Random random = new(seed);
        using GuestMemory memory = new(Ram);
        FakeClock clock = new(2_000_000_000);
        KvmMsrs msrs = new(memory, clock);
        uint[] numbers = [KvmMsrs.OldWallClock, KvmMsrs.OldSystemTime, KvmMsrs.WallClock, KvmMsrs.SystemTime, KvmMsrs.PvEoiEnable, 0x4b56_4d02];
        for (int i = 0; i < Calls; i++)
        {
            clock.Tsc += (ulong)random.Next(1000);
            uint number = numbers[random.Next(numbers.Length)];
            ulong value = Any(random);
            if (msrs.WriteMsr(number, value))
                Assert.True(msrs.ReadMsr(number, out ulong read) && read == value, $"seed {seed}, write {i}");
            msrs.Resumed(random.Next(2) == 0);
            msrs.PvEoi.TryArm();
            msrs.PvEoi.TryConsume();
        }
    }

    /// <summary>Values near the edges more often than not.</summary>
    private static ulong Any(Random random) => random.Next(6) switch
    {
        0 => (ulong)random.NextInt64(long.MinValue, long.MaxValue),
        1 => unchecked(Ram + (ulong)random.Next(-40, 40)),
        2 => unchecked((ulong)random.Next(-40, 40)),
        3 => (ulong)random.Next(64) << 12,
        4 => (ulong)random.Next(100_000),
        _ => (ulong)random.NextInt64(0, (long)Ram),
    };

    private sealed class CountingSink(Action<int> count) : IHypercallSink
    {
        public void ConsoleBytes(ReadOnlySpan<byte> bytes) => count(bytes.Length);

        public void Logged(ulong code, ulong value)
        {
        }
    }
}
