using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>
/// One program at many linear addresses: translations are made of templates there, bit for bit what the translator would
/// make (which all of these compare), and end in the interpreter's state wherever the budget ends.
/// </summary>
public sealed unsafe class SharedTranslationTests(ITestOutputHelper output)
{
    private const ulong FreeTables = 0x60_0000, SecondSpace = 0x6f_0000, SecondFrame = 2 * Aliases.Bytes;

    /// <summary>A page on, and the end of the frame, behind which other code would be, or where addresses begin anew.</summary>
    private const ulong Far = TestMachine.Code + 0x1800, End = Aliases.Bytes - 0x40, Change = TestMachine.Code + 0x4000;

    private static TranslatorBackend Verifying(Vcpu vcpu) => new(vcpu, codeBytes: 4 << 20, nativeBytes: 4 << 20, hot: 2) { VerifiesTemplates = true };

    private static TranslatorBackend Cramped(Vcpu vcpu) =>
        new(vcpu, codeBytes: 64 << 10, nativeBytes: TranslatorBackend.LeastNativeBytes, hot: 2, new TranslationStore(32 << 10)) { VerifiesTemplates = true };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AProgramAtManyAddressesEndsAlike(bool cramped)
    {
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        using TestMachine interpreted = Make64(ProgramComparison.Interpreter), translated = Make64(cramped ? Cramped : Verifying);
        Random random = new(seed);
        for (int round = 0; round < 2; round++)
            foreach (ulong at in (ulong[])[0, .. Aliases.Bases])
                RunBoth(interpreted, translated, at + TestMachine.Code, random);

        TemplateCounts counts = ((TranslatorBackend)translated.Backend).Templates;
        output.WriteLine(counts.ToString());
        Assert.True(counts.Reused > 30, counts.ToString());
        // On both sides of 2 and 4 GiB, constants have other encodings; at the top, a branch would wrap.
        Assert.True(counts.Unfit > 0, counts.ToString());
    }

    [Fact]
    public void AddressSpacesWithOtherCodeAtOneAddressEndAlike()
    {
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        using TestMachine interpreted = Make(ProgramComparison.Interpreter), translated = Make(Verifying);
        Random random = new(seed);
        for (int i = 0; i < 40; i++)
        {
            // RAX: the address space, RCX: where to.
            ulong at = Aliases.Bases[i / 2 % 4] + TestMachine.Code;
            foreach (TestMachine machine in (TestMachine[])[interpreted, translated])
            {
                machine.State.Gpr[Gpr.RAX] = (i & 1) == 0 ? TestMachine.Tables : SecondSpace;
                machine.State.Gpr[Gpr.RCX] = at;
            }
            RunBoth(interpreted, translated, Change, random);
        }
        TemplateCounts counts = ((TranslatorBackend)translated.Backend).Templates;
        output.WriteLine(counts.ToString());
        Assert.True(counts.Reused > 30, counts.ToString());

        static TestMachine Make(Func<Vcpu, IVcpuBackend> backend)
        {
            TestMachine machine = Make64(backend);
            machine.Write(SecondSpace, machine.Read(TestMachine.Tables));
            ulong free = FreeTables + 0x4_0000;
            foreach (ulong at in Aliases.Bases.Take(4))
                Aliases.Map(machine, SecondSpace, ref free, at, SecondFrame);
            // The same but for one constant.
            byte[] code = new byte[0x10_0000];
            machine.Memory.TryRead(new GuestPhysicalAddress(TestMachine.Code), code);
            machine.Memory.TryWrite(new GuestPhysicalAddress(SecondFrame + TestMachine.Code), code);
            machine.Load(a => a.mov(r9d, 77), SecondFrame + TestMachine.Code);
            machine.Load(
                a =>
                {
                    a.mov(cr3, rax);
                    a.jmp(rcx);
                },
                Change);
            return machine;
        }
    }

    [Fact]
    public void A32BitProgramAtManyAddressesEndsAlike()
    {
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        using TestMachine interpreted = Make(ProgramComparison.Interpreter), translated = Make(Verifying);
        Random random = new(seed);
        for (int round = 0; round < 2; round++)
            foreach (uint at in (uint[])[0, 0x4000_0000, 0x7fc0_0000, 0x8000_0000, 0xc040_0000, 0xffc0_0000])
                RunBoth(interpreted, translated, at + TestMachine.Code, random);
        TemplateCounts counts = ((TranslatorBackend)translated.Backend).Templates;
        output.WriteLine(counts.ToString());
        Assert.True(counts.Reused > 15, counts.ToString());

        static TestMachine Make(Func<Vcpu, IVcpuBackend> backend)
        {
            TestMachine machine = new(32, backend: backend);
            machine.Load(a => WriteProgram(a, wide: false));
            machine.Load(WriteFar, Far);
            // 4 MiB pages, of the first 8 MiB and of the aliases.
            Span<byte> directory = stackalloc byte[0x1000];
            directory.Clear();
            foreach (uint at in (uint[])[0, 0x40_0000, 0x4000_0000, 0x7fc0_0000, 0x8000_0000, 0xc040_0000, 0xffc0_0000])
                BitConverter.TryWriteBytes(directory[(int)(at >> 22 << 2)..], (at == 0x40_0000 ? at : 0) | 0x87);
            machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Tables), directory);
            machine.State.Cr3 = TestMachine.Tables;
            machine.State.Cr4 |= Cr4.PSE;
            machine.State.Cr0 |= Cr0.PG;
            return machine;
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    public void CodeThatHasChangedSinceATemplateWasMadeOfItRunsAsItIs(int offset)
    {
        using TestMachine machine = new(64, backend: Verifying);
        ulong free = FreeTables;
        foreach (ulong at in Aliases.Bases.Take(2))
            Aliases.Map(machine, TestMachine.Tables, ref free, at);
        machine.Load(a =>
        {
            Label again = a.CreateLabel();
            a.mov(ecx, 100);
            a.Label(ref again);
            // B8 imm32; the first byte becomes that of MOV EDX, imm32.
            a.mov(eax, 5);
            a.add(rbx, rax);
            a.add(rbx, rdx);
            a.dec(ecx);
            a.jnz(again);
            a.hlt();
        });
        TranslatorBackend backend = (TranslatorBackend)machine.Backend;
        machine.State.Gpr[Gpr.RDX] = 0;
        Run(TestMachine.Code);
        Assert.Equal(500ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(0, backend.Templates.Changed);
        Assert.True(machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Code + 5 + (ulong)offset), [(byte)(offset == 0 ? 0xba : 9)]));

        Run(Aliases.Bases[0] + TestMachine.Code);

        // The new constant; or RAX as it was, and RDX.
        Assert.Equal(500ul + (offset == 0 ? 1000ul : 900), machine.State.Gpr[Gpr.RBX]);
        Assert.True(backend.Templates.Changed > 0);
        long reused = backend.Templates.Reused;
        Run(Aliases.Bases[5 % 2] + TestMachine.Code);
        Assert.True(backend.Templates.Reused > reused || backend.Templates.Unfit > 0);
        Assert.Null(backend.TemplateDifference);

        void Run(ulong rip)
        {
            machine.State.Rip = rip;
            machine.State.Halted = false;
            machine.RunToHalt();
        }
    }

    [Fact]
    public void WithoutAStoreNothingIsShared()
    {
        using TestMachine machine = Make64(vcpu => new TranslatorBackend(vcpu, hot: 2, store: new TranslationStore(0)));
        machine.RunToHalt();
        machine.State.Rip = Aliases.Bases[0] + TestMachine.Code;
        machine.State.Halted = false;
        machine.RunToHalt();
        TranslatorBackend backend = (TranslatorBackend)machine.Backend;
        Assert.Equal(0, backend.Templates.Reused);
        Assert.True(backend.Blocks.Translated > 0);
    }

    [Fact]
    public void AStoreKeepsTheNewestTemplatesThatFit()
    {
        const int Bytes = 64 << 10, Code = 1000, Count = 500;
        TranslationStore store = new(Bytes);
        store.Join();
        Template template = new();
        for (int i = 0; i < Count; i++)
        {
            template.Start(new TemplateHeader { Physical = (ulong)i * 40, Mode = CodeMode.Code64, Code = Code + i % 7 });
            template.Code.Fill((byte)i);
            store.Put(template);
            Assert.True(store.TryGet((ulong)i * 40, CodeMode.Code64, template));
        }
        int kept = 0;
        for (int i = 0; i < Count; i++)
        {
            if (!store.TryGet((ulong)i * 40, CodeMode.Code64, template))
                continue;
            kept++;
            Assert.True(i >= Count - Bytes / Code, $"template {i} is still there");
            Assert.Equal(((ulong)i * 40, Code + i % 7), (template.Header.Physical, template.Header.Code));
            Assert.False(template.Code.ContainsAnyExcept((byte)i));
            Assert.False(store.TryGet((ulong)i * 40, CodeMode.Code32, template));
        }
        // Some find no slot of their own.
        Assert.InRange(kept, Bytes / Code / 2, Bytes / Code);
        template.Start(new TemplateHeader { Physical = 8, Mode = CodeMode.Code64, Code = Bytes + 1 });
        store.Put(template);
        Assert.False(store.TryGet(8, CodeMode.Code64, template));
        store.Leave();
    }

    private static TestMachine Make64(Func<Vcpu, IVcpuBackend> backend)
    {
        TestMachine machine = new(64, backend: backend);
        ulong free = FreeTables;
        foreach (ulong at in Aliases.Bases)
            Aliases.Map(machine, TestMachine.Tables, ref free, at);
        machine.Load(a => WriteProgram(a, wide: true));
        machine.Load(WriteFar, Far);
        // At the frame's end: a branch that is never taken leads over it, at the top to the lowest addresses.
        machine.Load(
            a =>
            {
                Label again = a.CreateLabel();
                a.mov(ecx, 20);
                a.Label(ref again);
                a.test(rsp, rsp);
                a.jz(Aliases.Bytes + 0x1000);
                a.dec(ecx);
                a.jnz(again);
                a.ret();
            },
            End);
        return machine;
    }

    /// <summary>Runs both from an address to HLT, in slices, after each of which registers are the same.</summary>
    private static void RunBoth(TestMachine interpreted, TestMachine translated, ulong rip, Random random)
    {
        foreach (TestMachine machine in (TestMachine[])[interpreted, translated])
        {
            machine.State.Rip = rip;
            machine.State.Halted = false;
        }
        while (!interpreted.State.Halted)
        {
            long slice = random.Next(4) == 0 ? random.Next(1, 2000) : random.Next(1, 40);
            ulong before = interpreted.State.RetiredInstructions;
            ProgramComparison.Execute(interpreted, slice);
            Assert.True(interpreted.State.RetiredInstructions != before, $"from {rip:x}: stuck at {interpreted.State.Rip:x}, CR2 {interpreted.State.Cr2:x}");
            ProgramComparison.Execute(translated, slice);
            Assert.True(interpreted.State.Rip == translated.State.Rip, $"from {rip:x}: RIP {translated.State.Rip:x}, not {interpreted.State.Rip:x}");
            for (int i = 0; i < 16; i++)
                Assert.True(interpreted.State.Gpr[i] == translated.State.Gpr[i], $"from {rip:x} at {translated.State.Rip:x}: register {i}");
            Assert.True(interpreted.State.RetiredInstructions < 10_000_000, "no HLT");
        }
        Assert.Null(ProgramComparison.Difference(interpreted, translated));
    }

    private static void WriteFar(Assembler a)
    {
        a.add(esi, 3);
        a.ret();
    }

    /// <summary>
    /// Calls near and far, whose return addresses are added up; loops; tables of addresses; operands relative to RIP, some
    /// beside each other: RBX, R9 and memory end with sums of addresses.
    /// </summary>
    private static void WriteProgram(Assembler a, bool wide)
    {
        Label round = a.CreateLabel(), inner = a.CreateLabel(), function = a.CreateLabel(), other = a.CreateLabel(), data = a.CreateLabel(), second = a.CreateLabel(), third = a.CreateLabel(), fourth = a.CreateLabel(), skip = a.CreateLabel();
        if (wide)
            a.mov(r9d, 5);
        a.mov(edi, 30);
        a.jmp(round);
        a.Label(ref function);
        if (wide)
            a.add(rbx, __qword_ptr[rsp]);
        else
            a.add(ebx, __dword_ptr[esp]);
        a.test(edi, 3);
        a.jz(skip);
        a.inc(esi);
        a.Label(ref skip);
        a.ret();
        a.Label(ref other);
        a.xor(esi, edi);
        a.call(function);
        a.ret(wide ? (ushort)8 : (ushort)4);
        a.Label(ref round);
        a.call(function);
        if (wide)
            a.push(rdi);
        else
            a.push(edi);
        a.call(other);
        a.call(Far);
        if (wide)
        {
            a.lea(rbp, __[function]);
            a.add(rbx, rbp);
            a.call(rbp);
            a.add(__qword_ptr[data], rbx);
            a.adc(__dword_ptr[second], 1);
            a.mov(rdx, __qword_ptr[third]);
            a.add(rdx, r9);
            a.mov(__qword_ptr[third], rdx);
            a.call(End);
        }
        a.mov(ecx, 25);
        a.Label(ref inner);
        a.add(esi, ecx);
        if (wide)
        {
            a.xor(__qword_ptr[fourth], rsi);
            a.add(rsi, __qword_ptr[data]);
        }
        a.dec(ecx);
        a.jnz(inner);
        a.dec(edi);
        a.jnz(round);
        a.hlt();
        if (!wide)
            return;
        // Where stores meet no code: 64 bytes on.
        a.db(new byte[128]);
        foreach (Label label in (Label[])[data, second, third, fourth])
        {
            Label place = label;
            a.Label(ref place);
            a.dq(0ul);
        }
    }
}
