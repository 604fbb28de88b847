using Godwit.Engine.Host;
using Godwit.Engine.Paravirt.GuestCode;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Paravirt;

/// <summary>The emitted routines, run on the host's processor, against the model in C#.</summary>
public sealed unsafe class PageSequenceTests : IDisposable
{
    private const int CodeBytes = 4096;

    private readonly byte* _code;

    public PageSequenceTests()
    {
        _code = (byte*)Native.Mmap(null, CodeBytes, Native.PROT_READ | Native.PROT_WRITE | Native.PROT_EXEC, Native.MAP_PRIVATE | Native.MAP_ANONYMOUS, -1, 0);
        Assert.True(_code != (byte*)-1);
    }

    public void Dispose() => _ = Native.Munmap(_code, CodeBytes);

    [Theory]
    [InlineData(0ul, 1ul)]
    [InlineData(1ul, 0ul)]
    [InlineData(16383ul, 77777ul)]
    [InlineData(ulong.MaxValue, ulong.MaxValue)]
    public void FilledPageHoldsTheSequenceAndPassesTheCheck(ulong page, ulong generation)
    {
        ulong[] words = new ulong[PageSequence.Words];
        Fill(words, page, generation);
        for (int i = 0; i < words.Length; i++)
            Assert.Equal(PageSequence.Word(page, generation, i), words[i]);
        Assert.Equal(default, Check(words, page, generation));
    }

    [Fact]
    public void EveryWrongWordIsCountedAndTheFirstIsNamed()
    {
        int seed = Random.Shared.Next();
        Random random = new(seed);
        ulong[] words = new ulong[PageSequence.Words];
        for (int round = 0; round < 500; round++)
        {
            Fill(words, 5, (ulong)round);
            int[] wrong = [.. Enumerable.Range(0, random.Next(1, 20)).Select(_ => random.Next(PageSequence.Words)).Distinct().Order()];
            foreach (int index in wrong)
                words[index] ^= 1ul << random.Next(64);
            Finding found = Check(words, 5, (ulong)round);
            Finding expected = new((ulong)wrong.Length, (ulong)wrong[0], words[wrong[0]], PageSequence.Word(5, (ulong)round, wrong[0]));
            Assert.True(expected == found, $"seed {seed}, round {round}: {found}, not {expected}");
        }
    }

    [Fact]
    public void EarlierGenerationZerosAndAnotherPageAreWrongInEveryWord()
    {
        ulong[] words = new ulong[PageSequence.Words];
        Fill(words, 5, 6);
        Assert.Equal(512ul, Check(words, 5, 7).Count);
        Assert.Equal(511ul, Check(words, 4, 6).Count); // word 0 is the generation, which agrees
        Assert.Equal(512ul, Check(new ulong[PageSequence.Words], 5, 6).Count);
    }

    private void Fill(ulong[] words, ulong page, ulong generation)
    {
        Load(PageSequence.EmitFill, _ => { });
        fixed (ulong* address = words)
            ((delegate* unmanaged<ulong*, ulong, ulong, void>)_code)(address, page, generation);
    }

    private Finding Check(ulong[] words, ulong page, ulong generation)
    {
        Load(PageSequence.EmitCheck, c =>
        {
            c.mov(rcx, __[rsp]);
            c.mov(__[rcx], r9);
            c.mov(__[rcx + 8], r10);
            c.mov(__[rcx + 16], r11);
            c.mov(__[rcx + 24], rbx);
        });
        Finding found = default;
        fixed (ulong* address = words)
            ((delegate* unmanaged<ulong*, ulong, ulong, Finding*, void>)_code)(address, page, generation, &found);
        return found.Count == 0 ? default : found;
    }

    /// <summary>A C function (System V ABI) around a routine: RDI, RSI, RDX as the routine wants them, RCX on top of the stack afterwards.</summary>
    private void Load(Action<Assembler> routine, Action<Assembler> after)
    {
        Assembler c = new(64);
        Label start = c.CreateLabel();
        c.push(rbx);
        c.push(r12);
        c.push(rcx);
        c.call(start);
        after(c);
        c.pop(rcx);
        c.pop(r12);
        c.pop(rbx);
        c.ret();
        c.Label(ref start);
        routine(c);
        using MemoryStream code = new();
        c.Assemble(new StreamCodeWriter(code), (ulong)_code);
        code.ToArray().CopyTo(new Span<byte>(_code, CodeBytes));
    }

    private record struct Finding(ulong Count, ulong Index, ulong Have, ulong Want);
}
