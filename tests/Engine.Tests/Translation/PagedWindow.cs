using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>
/// Pages among a machine's data that random programs work on: they lie in any order, and some are missing, read-only, or of
/// no memory. Faults go to one handler.
/// </summary>
/// <param name="pages">How many, a power of two.</param>
internal sealed class PagedWindow(int pages)
{
    /// <summary>Where the handler of faults is loaded.</summary>
    public const ulong Handler = TestMachine.Code + 0x1000;

    /// <summary>The window's first byte, in the middle of the 2 MiB that have small pages.</summary>
    public const ulong Start = TestMachine.Data + FirstPage * PageNumber.Size;

    private const ulong PageTable = 0x7000;
    private const int FirstPage = 16;

    public int Bytes => pages * (int)PageNumber.Size;

    /// <summary>Maps the window in a machine and fills it.</summary>
    /// <param name="machine">Has 4 MiB.</param>
    /// <param name="random">Chooses contents and pages.</param>
    /// <param name="entry">Makes a page's entry of that of one present and writable.</param>
    public void Map(TestMachine machine, Random random, Func<ulong, ulong> entry)
    {
        machine.State.Cr0 |= Cr0.WP;
        byte[] contents = new byte[FirstPage * (int)PageNumber.Size + Bytes];
        random.NextBytes(contents);
        Assert.True(machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Data), contents));
        for (int i = 0; i < 512; i++)
        {
            int page = i - FirstPage;
            bool inWindow = page >= 0 && page < pages;
            int at = inWindow ? FirstPage + (page * 3 & (pages - 1)) : i;
            ulong whole = (TestMachine.Data + (ulong)at * PageNumber.Size) | 3;
            machine.Write(PageTable + (ulong)i * 8, inWindow ? entry(whole) : whole);
        }
        machine.Write(TestMachine.Tables + 0x2000 + (TestMachine.Data >> 21) * 8, PageTable | 7);
        foreach (byte vector in (byte[])[0, 12, 13, 14])
            machine.SetHandler(vector, Handler);
    }

    /// <summary>
    /// A handler that leaves error code, RIP and address in memory and goes on at R13 with the stack that RBP holds.
    /// </summary>
    public static void LoadHandler(TestMachine machine) => machine.Load(a =>
    {
        a.pop(__qword_ptr[TestMachine.Data]);
        a.pop(__qword_ptr[TestMachine.Data + 8]);
        a.mov(rdi, cr2);
        a.mov(__qword_ptr[TestMachine.Data + 16], rdi);
        a.mov(rsp, rbp);
        a.jmp(r13);
    }, Handler);
}
