using Godwit.Engine.Tests.Boot;
using Iced.Intel;
using static Godwit.Engine.Tests.Boot.SyntheticKernel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Drills.Tests.Runs;

/// <summary>A multiboot ELF, emitted here, that knows a serial port and the debug-exit port.</summary>
internal static class BareProgram
{
    private const ushort Com1 = 0x3f8;
    private const ushort LineStatus = Com1 + 5;
    private const int TransmitterEmpty = 0x20;
    private const byte DebugExit = 0xf4;

    // The multiboot header, in front of the code.
    private const int HeaderBytes = 32;

    /// <summary>Writes a text to COM1, waiting for the transmitter before each byte, and ends with a value.</summary>
    public static byte[] WriteAndExit(string text, int value)
    {
        Assembler code = new(32);
        foreach (char letter in text)
        {
            Label wait = code.CreateLabel();
            code.mov(dx, LineStatus);
            code.Label(ref wait);
            code.@in(al, dx);
            code.test(al, TransmitterEmpty);
            code.je(wait);
            code.mov(dx, Com1);
            code.mov(al, (byte)letter);
            code.@out(dx, al);
        }
        code.mov(eax, value);
        code.@out(DebugExit, eax);
        return Link(code);
    }

    /// <summary>Loads an empty interrupt table and faults: a triple fault.</summary>
    public static byte[] TripleFault()
    {
        Assembler code = new(32);
        code.push(0);
        code.push(0);
        code.lidt(__[esp]);
        code.ud2();
        return Link(code);
    }

    private static byte[] Link(Assembler code)
    {
        // A stack first: multiboot hands over none.
        Assembler all = new(32);
        all.mov(esp, (int)(ElfAddress + ElfMemoryBytes));
        foreach (Instruction instruction in code.Instructions)
            all.AddInstruction(instruction);
        using MemoryStream bytes = new();
        all.Assemble(new StreamCodeWriter(bytes), ElfAddress + HeaderBytes);
        uint length = HeaderBytes + (uint)bytes.Length;
        byte[] file = new byte[ElfCode + length];
        MultibootElf().AsSpan(0, ElfCode + HeaderBytes).CopyTo(file);
        bytes.ToArray().CopyTo(file, ElfCode + HeaderBytes);
        Segment(file, 0, ElfCode, ElfAddress, length, length + ElfMemoryBytes);
        return file;
    }
}
