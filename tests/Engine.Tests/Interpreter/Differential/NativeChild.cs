using System.IO.MemoryMappedFiles;
using Godwit.Engine.Host;
using Godwit.Engine.Tests.Fuzz;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>
/// The child process of the differential test: runs single instructions on the host's processor. An instruction ends in
/// an INT3 or in its own fault; a signal handler of native code takes the registers from the signal's context and brings
/// the thread back. The parent sends a number of cases on standard input and gets a line when they are done.
/// </summary>
internal static unsafe class NativeChild
{
    public const string Argument = "native-child";

    public static int Main(string[] args)
    {
        if (args is [FuzzRun.Argument, .. string[] rest])
            return FuzzRun.Run(rest);
        if (args is not [Argument, string path, string capacity])
        {
            Console.Error.WriteLine("These are tests: run them with dotnet test.");
            return 2;
        }
        Serve(path, int.Parse(capacity));
        return 0;
    }

    private static void Serve(string path, int capacity)
    {
        using MemoryMappedFile file = MemoryMappedFile.CreateFromFile(path, FileMode.Open);
        using MemoryMappedViewAccessor view = file.CreateViewAccessor();
        byte* shared = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref shared);
        NativeCase* cases = (NativeCase*)shared;
        NativeResult* results = (NativeResult*)(cases + capacity);

        using ExecutableMemory code = new(0x1000, (nuint)NativeCase.CodePage);
        using ExecutableMemory data = new(NativeCase.MappedBytes, (nuint)NativeCase.Mapped);
        using Stub stub = new();
        while (Console.ReadLine() is { } line)
        {
            int count = int.Parse(line);
            for (int i = 0; i < count; i++)
            {
                new Span<byte>(code.Base + 0x7f0, 0x30).Fill(0xcc);
                new Span<byte>(cases[i].Bytes, 16).CopyTo(new Span<byte>((byte*)NativeCase.Code, 16));
                new Span<byte>(cases[i].Memory, NativeCase.WindowBytes).CopyTo(new Span<byte>((byte*)NativeCase.Window, NativeCase.WindowBytes));
                stub.Run(cases + i, results + i);
                new Span<byte>((byte*)NativeCase.Window, NativeCase.WindowBytes).CopyTo(new Span<byte>(results[i].Memory, NativeCase.WindowBytes));
            }
            Console.WriteLine("done");
        }
    }

    /// <summary>Native code that enters a case and, as a signal handler, leaves it.</summary>
    private sealed class Stub : IDisposable
    {
        /// <summary>Offsets of the general registers in ucontext_t.</summary>
        private const int Registers = 40;

        private const int HostStack = 0xf00, Result = 0xf08, Target64 = 0xf10, Target32 = 0xf18;

        private readonly ExecutableMemory _memory;

        public Stub()
        {
            // Below 4 GiB, for what compatibility mode needs to reach.
            _memory = new ExecutableMemory(0x1000, 0x40_0000 * 3);
            byte* start = _memory.Base;
            new Span<byte>((byte*)NativeCase.CodePage, 0x1000).Fill(0xcc);
            *(ulong*)(start + Target64) = NativeCase.Code;
            *(uint*)(start + Target32) = (uint)NativeCase.Code;
            *(ushort*)(start + Target32 + 4) = 0x23; // __USER32_CS of Linux
            Assemble(start, Enter);
            Assemble(start + 0x400, Leave);
            Assemble(start + 0x800, Exit);
            foreach (int signal in new[] { NativeSignal.SIGILL, NativeSignal.SIGTRAP, NativeSignal.SIGBUS, NativeSignal.SIGFPE, NativeSignal.SIGSEGV })
                NativeSignal.Handle(signal, (nint)(start + 0x400));
        }

        public void Run(NativeCase* unit, NativeResult* result)
        {
            *(NativeResult**)(_memory.Base + Result) = result;
            ((delegate* unmanaged<NativeCase*, void>)_memory.Base)(unit);
        }

        public void Dispose() => _memory.Dispose();

        private void Enter(Assembler a)
        {
            ulong at = (ulong)_memory.Base;
            AssemblerRegister64[] registers = [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];
            Label narrow = a.CreateLabel();
            a.push(rbx);
            a.push(rbp);
            a.push(r12);
            a.push(r13);
            a.push(r14);
            a.push(r15);
            a.mov(__qword_ptr[at + HostStack], rsp);
            a.mov(eax, 0x2b); // __USER_DS
            a.mov(ds, eax);
            a.mov(es, eax);
            a.cmp(__dword_ptr[rdi + 136], 32);
            a.je(narrow);
            Load(a, registers);
            a.jmp(__qword_ptr[at + Target64]);
            a.Label(ref narrow);
            Load(a, registers);
            a.jmp(__fword_ptr[at + Target32]);
        }

        private static void Load(Assembler a, AssemblerRegister64[] registers)
        {
            a.push(__qword_ptr[rdi + 128]);
            a.popfq();
            for (int i = 0; i < 16; i++)
                if (i != 7)
                    a.mov(registers[i], __qword_ptr[rdi + i * 8]);
            a.mov(rdi, __qword_ptr[rdi + 7 * 8]);
        }

        /// <summary>The signal handler: RDX is the context.</summary>
        private void Leave(Assembler a)
        {
            ulong at = (ulong)_memory.Base;
            a.lea(rsi, __[rdx + Registers]);
            a.mov(rdi, __qword_ptr[at + Result]);
            a.mov(ecx, 23);
            a.rep.movsq();
            a.mov(rax, __qword_ptr[at + HostStack]);
            a.mov(__qword_ptr[rdx + Registers + 15 * 8], rax);
            a.mov(rax, at + 0x800);
            a.mov(__qword_ptr[rdx + Registers + NativeResult.Rip * 8], rax);
            a.mov(__qword_ptr[rdx + Registers + NativeResult.Eflags * 8], 0x202);
            a.mov(__word_ptr[rdx + Registers + 18 * 8], 0x33); // __USER_CS
            a.ret();
        }

        private static void Exit(Assembler a)
        {
            a.pop(r15);
            a.pop(r14);
            a.pop(r13);
            a.pop(r12);
            a.pop(rbp);
            a.pop(rbx);
            a.ret();
        }

        private static void Assemble(byte* at, Action<Assembler> write)
        {
            Assembler assembler = new(64);
            write(assembler);
            using MemoryStream stream = new();
            assembler.Assemble(new StreamCodeWriter(stream), (ulong)at);
            stream.ToArray().CopyTo(new Span<byte>(at, 0x400));
        }
    }
}
