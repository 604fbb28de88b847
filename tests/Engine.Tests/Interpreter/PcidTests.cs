using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>
/// Process-context identifiers (SDM 3A, 4.10). A page that is read through a translation kept from before leaves the
/// accessed flag of its entry as it is; one that is looked up sets it.
/// </summary>
public sealed unsafe class PcidTests(ITestOutputHelper output)
{
    private const ulong Page = 0x4000_0000, GlobalPage = Page + 0x1000, Frames = 0x40_0000, Present = 0x7, Accessed = 0x20, Global = 0x100;
    private const int Instruction = 0x100;

    [Fact]
    public void EachPcidHasItsOwnTranslations()
    {
        using TestMachine machine = Start(2);
        Assert.Equal(0ul, Read(machine, 0, keep: false, user: true, Page));
        Assert.Equal(2ul, Read(machine, 1, keep: false, user: true, Page));
        Assert.Equal(0ul, Read(machine, 0, keep: true, user: true, Page));
        Assert.Equal(2ul, Read(machine, 1, keep: true, user: false, Page));
        Assert.Equal(0ul, Read(machine, 0, keep: true, user: false, Page));
        Assert.Equal(2ul, Fetch(machine, 1, keep: true, user: true, Page));
        Assert.Equal(0ul, Fetch(machine, 0, keep: true, user: true, Page));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AUsersTranslationsLastUntilTheirPcidIsWrittenWithoutKeeping(bool fetch)
    {
        using TestMachine machine = Start(2);
        ulong Use(int space, bool keep) => fetch ? Fetch(machine, space, keep, user: true, Page) : Read(machine, space, keep, user: true, Page);
        Use(0, keep: false);
        Forget(machine, 0, Page);
        Use(1, keep: false);
        Use(0, keep: true);
        Assert.False(WasLookedUp(machine, 0, Page));
        Use(0, keep: false);
        Assert.True(WasLookedUp(machine, 0, Page));
    }

    [Fact]
    public void InvlpgDropsThePageOfTheCurrentPcidAndGlobalOnesOfAll()
    {
        using TestMachine machine = Start(2);
        foreach (ulong page in (ulong[])[Page, GlobalPage])
            for (int space = 0; space < 2; space++)
            {
                Read(machine, space, keep: true, user: true, page);
                Forget(machine, space, page);
            }
        // Space 1 is current.
        machine.Vcpu.Translations.FlushPage(Page);
        machine.Vcpu.Translations.FlushPage(GlobalPage);
        for (int space = 0; space < 2; space++)
        {
            Read(machine, space, keep: true, user: true, Page);
            Read(machine, space, keep: true, user: true, GlobalPage);
            Assert.Equal(space == 1, WasLookedUp(machine, space, Page));
            Assert.True(WasLookedUp(machine, space, GlobalPage));
        }
    }

    [Theory]
    [InlineData(0ul, true, false, false)]
    [InlineData(1ul, true, false, false)]
    [InlineData(2ul, true, true, true)]
    [InlineData(3ul, true, true, false)]
    public void InvpcidDropsWhatItsTypeNames(ulong type, bool named, bool other, bool global)
    {
        using TestMachine machine = Start(3);
        for (int space = 0; space < 2; space++)
        {
            Read(machine, space, keep: true, user: true, Page);
            Forget(machine, space, Page);
        }
        Read(machine, 1, keep: true, user: true, GlobalPage);
        Forget(machine, 1, GlobalPage);
        Read(machine, 2, keep: true, user: true, Page);
        Assert.True(Invalidate(machine, type, type < 2 ? Pcid(1) : 0, Page));
        Read(machine, 0, keep: true, user: true, Page);
        Read(machine, 1, keep: true, user: true, Page);
        Read(machine, 1, keep: true, user: true, GlobalPage);
        Assert.Equal((named, other, global), (WasLookedUp(machine, 1, Page), WasLookedUp(machine, 0, Page), WasLookedUp(machine, 1, GlobalPage)));
    }

    [Theory]
    [InlineData(4ul, 1ul, Page)]
    [InlineData(0ul, 0x1001ul, Page)]
    [InlineData(0ul, 1ul, 1ul << 50)]
    public void InvpcidRefusesWhatTheManualDoes(ulong type, ulong pcid, ulong linear)
    {
        using TestMachine machine = Start(1);
        Assert.False(Invalidate(machine, type, pcid, linear));
    }

    [Theory]
    [InlineData(0ul, 1ul, false)]
    [InlineData(1ul, 1ul, false)]
    [InlineData(0ul, 0ul, true)]
    [InlineData(2ul, 1ul, true)]
    public void WithoutPcidsInvpcidKnowsPcidZeroOnly(ulong type, ulong pcid, bool allowed)
    {
        using TestMachine machine = Start(1);
        Assert.True(ControlRegisters.Write(machine.Context, 4, machine.State.Cr4 & ~Cr4.PCIDE));
        Assert.Equal(allowed, Invalidate(machine, type, pcid, Page));
    }

    /// <summary>
    /// Spaces, more than are kept side by side, whose entries change at random: what is read, fetched or written must
    /// have been right at some time since the translation had to be dropped last.
    /// </summary>
    [Theory]
    [InlineData(20261122)]
    [InlineData(20261123)]
    public void NoTranslationOutlivesItsInvalidation(int seed)
    {
        output.WriteLine($"seed {seed}");
        const int Spaces = 12, Pages = 4;
        Random random = new(seed);
        using TestMachine machine = Start(Spaces);
        HashSet<ulong>[,] allowed = new HashSet<ulong>[Spaces, Pages];
        ulong[,] now = new ulong[Spaces, Pages];
        for (int space = 0; space < Spaces; space++)
            for (int page = 0; page < Pages; page++)
                Map(space, page);
        Reset(_ => true);
        int current = 0;
        Enter(machine, 0, keep: false);
        for (int step = 0; step < 30_000; step++)
        {
            int space = random.Next(Spaces), page = random.Next(Pages);
            switch (random.Next(12))
            {
                case 0:
                    Map(space, page);
                    break;
                case 1:
                    Assert.True(Invalidate(machine, 0, Pcid(space), Linear(page)));
                    allowed[space, page] = [now[space, page]];
                    break;
                case 2 when step % 8 == 0:
                    Assert.True(Invalidate(machine, 1, Pcid(space), 0));
                    Reset(s => s == space);
                    break;
                case 3 when step % 16 == 0:
                    Assert.True(Invalidate(machine, 2 + (ulong)random.Next(2), 0, 0));
                    Reset(_ => true);
                    break;
                case 4:
                    machine.Vcpu.Translations.FlushPage(Linear(page));
                    allowed[current, page] = [now[current, page]];
                    break;
                case 5 or 6:
                    bool keep = random.Next(4) != 0;
                    Enter(machine, space, keep);
                    current = space;
                    if (!keep)
                        Reset(s => s == space);
                    break;
                default:
                    bool user = random.Next(3) != 0;
                    ulong found = random.Next(2) == 0 ? Use(machine, user, TestMachine.Code, Linear(page)) : Use(machine, user, Linear(page) + Instruction, 0);
                    Assert.True(allowed[current, page].Contains(found), $"step {step}: frame {found} in space {current}, page {page}, user {user}");
                    break;
            }
        }

        void Map(int space, int page)
        {
            now[space, page] = (ulong)random.Next(2 * Spaces);
            machine.Write(Entry(space, Linear(page)), Frames + (now[space, page] << 12) | Present);
            (allowed[space, page] ??= []).Add(now[space, page]);
        }

        void Reset(Func<int, bool> chosen)
        {
            for (int space = 0; space < Spaces; space++)
                for (int page = 0; page < Pages; page++)
                    if (chosen(space))
                        allowed[space, page] = [now[space, page]];
        }

        static ulong Linear(int page) => Page + 0x2000 + ((ulong)page << 12);
    }

    /// <summary>A machine in PCID 0's identity mapping, and spaces that map <see cref="Page"/> and a global page to frames of their own.</summary>
    private static TestMachine Start(int spaces)
    {
        TestMachine machine = new(64);
        for (int space = 0; space < spaces; space++)
        {
            ulong root = Root(space);
            machine.Write(root, root + 0x1000 | Present);
            machine.Write(root + 0x1000, TestMachine.Tables + 0x2000 | Present, root + 0x2000 | Present);
            machine.Write(root + 0x2000, root + 0x3000 | Present);
            machine.Write(Entry(space, Page), Frames + (ulong)space * 0x2000 | Present, Frames + (ulong)space * 0x2000 + 0x1000 | Present | Global);
        }
        // Each frame knows its number: as data, and as an instruction.
        for (ulong frame = 0; frame < 2 * (ulong)Math.Max(spaces, 12); frame++)
        {
            machine.Write(Frames + (frame << 12), frame);
            machine.Load(a => a.mov(eax, (uint)frame), Frames + (frame << 12) + Instruction);
        }
        machine.Load(a => a.mov(rax, __qword_ptr[rbx]));
        Assert.True(ControlRegisters.Write(machine.Context, 4, machine.State.Cr4 | Cr4.PCIDE | Cr4.PGE));
        return machine;
    }

    private static ulong Root(int space) => 0x2_0000 + (ulong)space * 0x4000;

    private static ulong Entry(int space, ulong linear) => Root(space) + 0x3000 + (linear - Page >> 12) * 8;

    private static ulong Pcid(int space) => (ulong)space * 37 + 1;

    private static void Enter(TestMachine machine, int space, bool keep) =>
        Assert.True(ControlRegisters.Write(machine.Context, 3, Root(space) | Pcid(space) | (keep ? Cr3.Keep : 0)));

    private static ulong Read(TestMachine machine, int space, bool keep, bool user, ulong page)
    {
        Enter(machine, space, keep);
        return Use(machine, user, TestMachine.Code, page);
    }

    private static ulong Fetch(TestMachine machine, int space, bool keep, bool user, ulong page)
    {
        Enter(machine, space, keep);
        return Use(machine, user, page + Instruction, 0);
    }

    /// <summary>Runs one instruction that leaves a frame's number in RAX.</summary>
    private static ulong Use(TestMachine machine, bool user, ulong instruction, ulong address)
    {
        ref CpuState state = ref machine.State;
        ushort level = (ushort)(user ? 3 << 5 : 0);
        state.Ss.Attributes = (ushort)((state.Ss.Attributes & ~(3 << 5)) | level);
        state.Cs.Attributes = (ushort)((state.Cs.Attributes & ~(3 << 5)) | level);
        state.Rip = instruction;
        state.Gpr[Gpr.RBX] = address;
        ulong before = state.RetiredInstructions;
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(1));
        Assert.Equal((before + 1, instruction >> 12), (state.RetiredInstructions, state.Rip >> 12));
        return state.Gpr[Gpr.RAX];
    }

    /// <summary>Executes INVPCID at privilege level 0; false: general protection.</summary>
    private static bool Invalidate(TestMachine machine, ulong type, ulong pcid, ulong linear)
    {
        ref CpuState state = ref machine.State;
        const ulong At = TestMachine.Code + 0x1000, Handler = TestMachine.Code + 0x1800;
        if (machine.Read(At) == 0)
        {
            machine.Load(a => a.invpcid(rcx, __xmmword_ptr[rdx]), At);
            machine.Load(a => a.nop(), Handler);
            machine.SetHandler((int)Vector.GP, Handler);
        }
        machine.Write(TestMachine.Data, pcid, linear);
        state.Ss.Attributes &= unchecked((ushort)~(3 << 5));
        state.Cs.Attributes &= unchecked((ushort)~(3 << 5));
        state.Rip = At;
        state.Gpr[Gpr.RSP] = TestMachine.StackTop;
        state.Gpr[Gpr.RCX] = type;
        state.Gpr[Gpr.RDX] = TestMachine.Data;
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(1));
        return state.Rip >> 11 == At >> 11;
    }

    private static void Forget(TestMachine machine, int space, ulong page)
    {
        ulong entry = Entry(space, page);
        machine.Write(entry, machine.Read(entry) & ~Accessed);
    }

    private static bool WasLookedUp(TestMachine machine, int space, ulong page) => (machine.Read(Entry(space, page)) & Accessed) != 0;
}
