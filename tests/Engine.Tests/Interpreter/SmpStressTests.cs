using Godwit.Engine.Cpu;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Translation;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>
/// Four vCPUs that contend for everything at once: locked instructions, a spin lock, and under it changes of a page's
/// translation and of a function's code, each told to the others by an inter-processor interrupt and waited for; while the
/// dirty log takes all permissions to write away, again and again.
/// </summary>
public sealed class SmpStressTests
{
    private const int Vcpus = 4, Rounds = 200, RoundsToAChange = 4, Changes = Vcpus * Rounds / RoundsToAChange;
    private const byte ChangeVector = 0x40;
    private const int Spurious = 0xf0, EndOfInterrupt = 0xb0, Command = 0x300;

    /// <summary>Fixed delivery, asserted, to all but the sender.</summary>
    private const int ToAllOthers = 0b11 << 18 | 1 << 14 | ChangeVector;

    // Offsets from the data's start. What is under the lock lies on two pages.
    private const int Lock = 0, First = 0x40, Counter = 0x80, Generation = 0xc0, Acknowledged = 0x100, Received = 0x140, Done = 0x180, Wrong = 0x1c0, Started = 0x200, Second = 0x1000;
    private const ulong Data = TestMachine.Data, Frames = Data + 0x1_0000, Handler = TestMachine.Code + 0x3000;

    // The constant of its MOV is aligned, so that it is stored and fetched in one piece.
    private const ulong Function = TestMachine.Code + 0x2003;

    public enum Kind
    {
        Interpreter,
        Translator,
        TranslatorWithLittleRoom,

        /// <summary>They use each other's translations, with room for some dozens.</summary>
        TranslatorsThatShare,
    }

    public static TheoryData<Kind> Kinds => TranslatorBackend.IsSupported ? [Kind.Interpreter, Kind.Translator, Kind.TranslatorWithLittleRoom, Kind.TranslatorsThatShare] : [Kind.Interpreter];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void FourVcpusThatChangeMemoryCodeAndTranslationsAgree(Kind kind)
    {
        TranslationStore store = new(64 << 10);
        using SmpMachine machine = new(Vcpus, vcpu => kind switch
        {
            Kind.Interpreter => new InterpreterBackend(vcpu, 4 << 20),
            Kind.Translator => new TranslatorBackend(vcpu, 4 << 20, 4 << 20, hot: 4),
            Kind.TranslatorsThatShare => new TranslatorBackend(vcpu, 64 << 10, TranslatorBackend.LeastNativeBytes, hot: 1, store),
            _ => ProgramComparison.Cramped(vcpu),
        });
        machine.Setup.SetHandler(ChangeVector, Handler);
        machine.Setup.Write(SmpMachine.SmallTable, Frames | 3);
        machine.Setup.Load(WriteProgram);
        machine.Setup.Load(WriteHandler, Handler);
        machine.Setup.Load(
            a =>
            {
                a.mov(eax, 0);
                a.ret();
            },
            Function);
        PageBitmap written = new(machine.Setup.Memory.PageCount);

        bool halted = machine.RunToHalt(TimeSpan.FromSeconds(60), written);

        Assert.Equal(0ul, Value(Wrong));
        Assert.True(halted, $"generation {Value(Generation)}, {Value(Acknowledged)} acknowledged, {Value(Done)} done");
        Assert.Equal(((ulong)Vcpus * Rounds, (ulong)Vcpus * Rounds), (Value(First), Value(Second)));
        Assert.Equal((ulong)Vcpus * Rounds, Value(Counter));
        Assert.Equal(((ulong)Changes, (ulong)Changes * (Vcpus - 1)), (Value(Generation), Value(Received)));
        if (kind == Kind.TranslatorsThatShare)
        {
            TemplateCounts counts = TemplateCounts.Sum(machine.Backends.Select(backend => ((TranslatorBackend)backend).Templates));
            Assert.True(counts.Reused > 0, counts.ToString());
        }
        Assert.All((ulong[])[Data, Data + Second, Frames, Frames + PageNumber.Size, SmpMachine.SmallTable, Function], address =>
            Assert.True(written.Contains(new PageNumber(address >> PageNumber.Shift)), $"the page of {address:x} was not marked"));

        ulong Value(int offset) => machine.Setup.Read(Data + (ulong)offset);
    }

    /// <summary>RBX: data, RBP: APIC, R12: rounds, R13: the page whose translation changes, R14: the function whose code does.</summary>
    private static void WriteProgram(Assembler a)
    {
        Label starting = a.CreateLabel(), round = a.CreateLabel(), acquire = a.CreateLabel(), spin = a.CreateLabel(), acquired = a.CreateLabel();
        Label acknowledged = a.CreateLabel(), release = a.CreateLabel(), others = a.CreateLabel(), wrong = a.CreateLabel();
        a.mov(rbx, Data);
        a.mov(ebp, (uint)LocalApic.DefaultBase);
        a.mov(r12d, Rounds);
        a.mov(r13d, (uint)SmpMachine.SmallPages);
        a.mov(r14d, (uint)Function);
        a.mov(__dword_ptr[rbp + Spurious], 0x1ff);
        a.sti();
        // An interrupt that comes before a vCPU has switched its APIC on is lost.
        a.@lock.inc(__dword_ptr[rbx + Started]);
        a.Label(ref starting);
        a.pause();
        a.cmp(__dword_ptr[rbx + Started], Vcpus);
        a.jne(starting);
        a.Label(ref round);
        a.mov(eax, 1);
        a.@lock.xadd(__qword_ptr[rbx + Counter], rax);
        // Whatever was announced has been taken note of: neither code nor page may be older.
        a.mov(r8d, __dword_ptr[rbx + Generation]);
        a.call(r14);
        a.cmp(eax, r8d);
        a.jb(wrong);
        a.mov(r8d, __dword_ptr[rbx + Generation]);
        a.mov(eax, __dword_ptr[r13]);
        a.cmp(eax, r8d);
        a.jb(wrong);
        a.Label(ref acquire);
        a.@lock.bts(__dword_ptr[rbx + Lock], 0);
        a.jnc(acquired);
        a.Label(ref spin);
        a.pause();
        a.test(__dword_ptr[rbx + Lock], 1);
        a.jnz(spin);
        a.jmp(acquire);
        a.Label(ref acquired);
        a.inc(__qword_ptr[rbx + First]);
        a.inc(__qword_ptr[rbx + Second]);
        a.mov(rax, __qword_ptr[rbx + First]);
        a.cmp(rax, __qword_ptr[rbx + Second]);
        a.jne(wrong);
        a.test(r12d, RoundsToAChange - 1);
        a.jnz(release);
        WriteChange(a, acknowledged);
        a.Label(ref release);
        a.mov(__dword_ptr[rbx + Lock], 0);
        a.dec(r12d);
        a.jnz(round);
        // The others' interrupts are still to be taken.
        a.@lock.inc(__dword_ptr[rbx + Done]);
        a.Label(ref others);
        a.pause();
        a.cmp(__dword_ptr[rbx + Done], Vcpus);
        a.jne(others);
        a.cli();
        a.hlt();
        a.Label(ref wrong);
        a.mov(__dword_ptr[rbx + Wrong], 1);
        a.cli();
        a.hlt();
    }

    /// <summary>The next generation: in the function, and in the frame that the page leads to from now on.</summary>
    private static void WriteChange(Assembler a, Label acknowledged)
    {
        a.mov(r9d, __dword_ptr[rbx + Generation]);
        a.inc(r9d);
        a.mov(__dword_ptr[r14 + 1], r9d);
        a.mov(edi, (uint)SmpMachine.SmallTable);
        a.mov(rax, __qword_ptr[rdi]);
        a.mov(r10, rax);
        a.and(r10, -PageNumber.Size);
        a.xor(rax, PageNumber.Size);
        // Not accessed yet: those who walk to it will mark it.
        a.btr(rax, 5);
        a.mov(r11, rax);
        a.and(r11, -PageNumber.Size);
        a.mov(__dword_ptr[r11], r9d);
        a.mov(__qword_ptr[rdi], rax);
        a.invlpg(__[r13]);
        a.mov(__dword_ptr[rbx + Acknowledged], 0);
        a.mov(__dword_ptr[rbp + Command], ToAllOthers);
        a.Label(ref acknowledged);
        a.pause();
        a.cmp(__dword_ptr[rbx + Acknowledged], Vcpus - 1);
        a.jne(acknowledged);
        // Who reads through the old translation now reads less than any generation.
        a.mov(__dword_ptr[r10], 0);
        a.mov(__dword_ptr[rbx + Generation], r9d);
    }

    private static void WriteHandler(Assembler a)
    {
        a.push(rax);
        a.push(rbx);
        a.push(rcx);
        a.push(rdx);
        a.invlpg(__[r13]);
        a.cpuid();
        a.mov(rbx, Data);
        a.@lock.inc(__qword_ptr[rbx + Received]);
        a.mov(eax, (uint)LocalApic.DefaultBase);
        a.mov(__dword_ptr[rax + EndOfInterrupt], 0);
        a.@lock.inc(__dword_ptr[rbx + Acknowledged]);
        a.pop(rdx);
        a.pop(rcx);
        a.pop(rbx);
        a.pop(rax);
        a.iretq();
    }
}
