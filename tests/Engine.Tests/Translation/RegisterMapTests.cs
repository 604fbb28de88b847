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

/// <summary>Loops and runs whose much used registers lie in host registers of others: wherever they are left, every register has its own value.</summary>
public sealed unsafe class RegisterMapTests(ITestOutputHelper output)
{
    private static readonly PagedWindow _window = new(pages: 8);

    private static readonly AssemblerRegister64[] _upper = [r8, r9, r10, r11, r15], _lower = [rax, rbx, rdx, rbp, r12, r14];

    [Fact]
    public void RegistersThatARunUsesMuchTakeThePlacesOfThoseItDoesNotUse()
    {
        using HostEmitter code = new(4096);
        RegisterMap map = new(code);
        map.Choose(Of(a =>
        {
            a.add(r8, r9);
            a.xor(r9, r8);
            a.mov(rax, __[r8 + rsi]);
            a.shl(r15, cl);
            a.dec(edi);
        }), isLoop: true);
        int[] homes = [.. Enumerable.Range(0, 16).Select(map.Home)];
        Assert.All([8, 9, 15], guest => Assert.True(homes[guest] >= 0, $"register {guest} is in the context"));
        Assert.Equal(HostRegisters.Home(1), homes[1]);
        Assert.Equal(homes.Count(home => home >= 0), homes.Where(home => home >= 0).Distinct().Count());
        Assert.DoesNotContain(homes, home => home is HostRegisters.Rax or HostRegisters.First or HostRegisters.Second or HostRegisters.Context);
    }

    [Fact]
    public void RegistersThatInstructionsImplyStayWhereTheyAre()
    {
        using HostEmitter code = new(4096);
        RegisterMap map = new(code);
        map.Choose(Of(a =>
        {
            for (int i = 0; i < 9; i++)
                foreach (AssemblerRegister64 register in _upper)
                    a.add(register, register);
            a.mul(r8);
            a.push(r9);
            a.shl(r10, cl);
            a.lodsb();
            a.mov(bh, 1);
            a.cmpxchg8b(__[r11]);
            a.rep.movsb();
            a.leave();
        }), isLoop: true);
        Assert.All([0, 1, 2, 3, 4, 5, 6, 7], guest => Assert.Equal(HostRegisters.Home(guest), map.Home(guest)));
        Assert.Equal(3, _upper.Count(register => map.Home(register.Value - Register.RAX) >= 0));
    }

    /// <summary>A register may be named and implied by one instruction.</summary>
    [Fact]
    public void RegistersThatInstructionsNameAndImplyStayWhereTheyAre()
    {
        Assert.Equal(HostRegisters.Home(2), Mapped(a => a.mul(rdx)).Home(2));
        Assert.Equal(HostRegisters.Home(0), Mapped(a => a.imul(rax)).Home(0));
        Assert.Equal(HostRegisters.Home(2), Mapped(a => a.mulx(r8, r9, rdx)).Home(2));
        Assert.Equal(HostRegisters.Home(1), Mapped(a => a.shl(rcx, cl)).Home(1));
        Assert.Equal(HostRegisters.Home(1), Mapped(a => a.pcmpistri(xmm1, __xmmword_ptr[rcx], 1)).Home(1));
        Assert.Equal(HostRegisters.Home(2), Mapped(a => a.pcmpestri(xmm1, __xmmword_ptr[rdx], 1)).Home(2));
        Assert.Equal(HostRegisters.Home(0), Mapped(a => a.cmpxchg(__[rax], rbx)).Home(0));
        Assert.Equal(HostRegisters.Home(4), Mapped(a => a.push(rsp)).Home(4));
        Assert.Equal(HostRegisters.Home(4), Mapped(a => a.call(rsp)).Home(4));
        Assert.Equal(HostRegisters.Home(2), Mapped(a => a.div(rdx)).Home(2));
    }

    /// <summary>The map of a loop that uses all registers but for one instruction many times.</summary>
    private static RegisterMap Mapped(Action<Assembler> write)
    {
        using HostEmitter code = new(4096);
        RegisterMap map = new(code);
        map.Choose(Of(a =>
        {
            write(a);
            for (int i = 0; i < 9; i++)
                foreach (AssemblerRegister64 register in _upper.Concat([rbx, rbp, rsi, rdi, r12, r13, r14]))
                    a.add(register, register);
        }), isLoop: true);
        return map;
    }

    /// <summary>Slices of every length: exits by the budget, and by faults in pages that are missing or read-only, at every instruction.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void EverySliceEndsWithEachRegisterInItsPlace(bool cramped)
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        ProgramComparison.AssertEqual(
            Prepared, cramped ? ProgramComparison.Cramped : ProgramComparison.Eager, (first, 6), slices: 600, (slice, _) => slice < 3 ? 3000 : 1 + slice % 131, memoryEvery: 100);
    }

    /// <summary>Loops one after the other, for ever; a handler gives up the loop that faults.</summary>
    private static TestMachine Prepared(int seed, Func<Vcpu, IVcpuBackend> backend)
    {
        Random random = new(seed);
        TestMachine machine = new(64, memory: 4 << 20, backend: backend);
        _window.Map(machine, random, entry => random.Next(8) switch { 0 => 0, 1 => entry & ~2ul, _ => entry });
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            for (int i = 0; i < 16; i++)
                if (i != 4)
                    a.mov(new AssemblerRegister64(Register.RAX + i), random.NextInt64());
            a.Label(ref top);
            for (int i = 0; i < 5; i++)
                Loop(a, random);
            a.jmp(top);
        });
        machine.Load(a =>
        {
            a.mov(rsp, (long)TestMachine.StackTop);
            a.add(rsi, 1);
            a.jmp(r13);
        }, PagedWindow.Handler);
        return machine;
    }

    private static void Loop(Assembler a, Random random)
    {
        Label again = a.CreateLabel(), next = a.CreateLabel(), over = a.CreateLabel();
        AssemblerRegister64 pointer = random.Next(2) == 0 ? rsi : _upper[random.Next(5)];
        AssemblerRegister64[] used = [_lower[random.Next(6)], .. _upper.Where(register => register != pointer)];
        AssemblerRegister64 Any() => used[random.Next(used.Length)];
        a.lea(r13, __[next]);
        a.mov(pointer, (long)PagedWindow.Start + random.Next(_window.Bytes));
        a.mov(ecx, random.Next(2, 400));
        a.Label(ref again);
        bool skips = random.Next(2) == 0;
        for (int i = random.Next(2, 9); i > 0; i--)
        {
            AssemblerRegister64 one = Any(), two = Any();
            switch (random.Next(17))
            {
                case 0: a.add(one, two); break;
                case 1: a.sub(one, two); break;
                case 2: a.lea(one, __[two + two * 2 + 7]); break;
                case 3: a.imul(one, two); break;
                case 4: a.rol(one, (byte)random.Next(1, 64)); break;
                case 5: a.xchg(one, two); break;
                case 6: a.mov(__dword_ptr[pointer], new AssemblerRegister32(Register.EAX + (one.Value - Register.RAX))); break;
                case 7: a.add(one, __qword_ptr[pointer + 8]); break;
                case 8: a.adc(one, two); break;
                case 9: a.bsf(one, two); break;
                case 10: a.shr(one, cl); break;
                case 11: a.push(one); a.pop(two); break;
                case 12: a.cmp(one, two); a.cmovl(two, one); break;
                case 13: a.xor(__qword_ptr[pointer - 16], one); break;
                case 14: a.mul(random.Next(2) == 0 ? rdx : one); break;
                case 15: a.push(rsp); a.pop(two); break;
                // What does not fit leaves, and may fault.
                case 16: a.cqo(); a.idiv(one); break;
            }
            if (i != 2 || !skips)
                continue;
            a.test(one, 3);
            a.jz(over);
            a.not(two);
            a.Label(ref over);
            a.inc(Any());
            skips = false;
        }
        a.add(pointer, random.Next(-40, 80));
        a.dec(ecx);
        a.jnz(again);
        a.Label(ref next);
        a.nop();
    }

    private static GuestInstruction[] Of(Action<Assembler> write)
    {
        Assembler assembler = new(64);
        write(assembler);
        return [.. assembler.Instructions.Select(instruction => GuestInstruction.Of(instruction))];
    }
}
