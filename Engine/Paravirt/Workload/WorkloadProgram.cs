using Godwit.Engine.Paravirt.GuestCode;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.Workload;

/// <summary>
/// The self-checking workload as a static Linux program of raw system calls (docs/builtin-guest.md, "The Linux
/// workload"). Arguments, all decimal: megabytes, pages to rewrite a second, and optionally pages to verify a second,
/// the tick after which to end, the tick at which to corrupt a word.
/// </summary>
public sealed class WorkloadProgram
{
    /// <summary>The name that its lines begin with.</summary>
    public const string Name = "godwit-workload";

    /// <summary>The program's file; always the same bytes.</summary>
    public static byte[] Build() => new LinuxProgram().Build();

    private sealed class LinuxProgram : SelfCheckingProgram
    {
        private const ulong DataBytes = 0x2000;

        // Linux arch/x86/entry/syscalls/syscall_64.tbl
        private const int SYS_write = 1, SYS_mmap = 9, SYS_nanosleep = 35, SYS_clock_gettime = 228, SYS_exit_group = 231;
        private const int CLOCK_MONOTONIC = 1, PROT_READ_WRITE = 3, MAP_PRIVATE_ANONYMOUS = 0x22;
        private const int EINTR = 4, EAGAIN = 11;
        private const int MaxMegabytes = 1 << 20, MaxRate = 1_000_000_000;
        private const int PagesPerMegabyte = 256;

        private readonly ulong _time;
        private Label _usage, _argument;

        public LinuxProgram()
            : this(new VariableArea(StaticElf.DataAddress, DataBytes))
        {
        }

        private LinuxProgram(VariableArea data)
            : base(Name, data)
        {
            _time = data.Reserve(16, 16);
            (_usage, _argument) = (C.CreateLabel(), C.CreateLabel());
        }

        public byte[] Build()
        {
            EmitArguments();
            EmitMapMemory();
            EmitProgram();
            EmitUsage();
            EmitRoutines();
            using MemoryStream code = new();
            Assemble(StaticElf.LoadAddress + StaticElf.HeaderBytes, code);
            return StaticElf.Write(code.ToArray(), DataBytes);
        }

        protected override void EmitPlatformRoutines()
        {
            EmitArgumentRoutine();
            EmitReadClock();
            EmitWriteLine();
        }

        protected override void EmitIdle()
        {
            C.mov(__qword_ptr[_time], 0);
            C.mov(__qword_ptr[_time + 8], 1_000_000);
            C.mov(edi, (uint)_time);
            C.xor(esi, esi);
            C.mov(eax, SYS_nanosleep);
            C.syscall();
        }

        protected override void EmitExit()
        {
            C.mov(edi, eax);
            C.mov(eax, SYS_exit_group);
            C.syscall();
        }

        /// <summary>At entry RSP points at argc, argv[0], argv[1], ... (System V ABI, AMD64, 3.4.1).</summary>
        private void EmitArguments()
        {
            Label parsed = C.CreateLabel();
            C.mov(r15, rsp);
            C.cmp(__qword_ptr[r15], 3);
            C.jb(_usage);
            C.cmp(__qword_ptr[r15], 6);
            C.ja(_usage);
            C.mov(VerifyRate, 4000);
            C.mov(ReportInterval, 100_000_000);

            EmitArgument(1, MaxMegabytes);
            C.test(rax, rax);
            C.je(_usage);
            C.imul(rax, rax, PagesPerMegabyte);
            C.mov(Pages, rax);
            EmitArgument(2, MaxRate);
            C.mov(DirtyRate, rax);
            (int Index, Variable To, int Max)[] optional = [(3, VerifyRate, MaxRate), (4, LastTick, int.MaxValue), (5, CorruptTick, int.MaxValue)];
            foreach ((int index, Variable to, int max) in optional)
            {
                C.cmp(__qword_ptr[r15], index + 1);
                C.jb(parsed);
                EmitArgument(index, max);
                C.mov(to, rax);
            }
            C.Label(ref parsed);
            C.nop();
        }

        private void EmitArgument(int index, int max)
        {
            C.mov(rsi, __[r15 + (index + 1) * 8]);
            C.call(_argument);
            C.cmp(rax, max);
            C.ja(_usage);
        }

        /// <summary>RSI a string; RAX its value, or -1 where it is not a decimal number of at most 10 digits.</summary>
        private void EmitArgumentRoutine()
        {
            Label digit = C.CreateLabel(), end = C.CreateLabel(), bad = C.CreateLabel();
            C.Label(ref _argument);
            C.xor(eax, eax);
            C.xor(ecx, ecx);
            C.Label(ref digit);
            C.movzx(edx, __byte_ptr[rsi + rcx]);
            C.test(edx, edx);
            C.je(end);
            C.sub(edx, '0');
            C.cmp(edx, 9);
            C.ja(bad);
            C.imul(rax, rax, 10);
            C.add(rax, rdx);
            C.inc(ecx);
            C.cmp(ecx, 10);
            C.jbe(digit);
            C.Label(ref bad);
            C.mov(rax, -1);
            C.ret();
            C.Label(ref end);
            C.test(ecx, ecx);
            C.je(bad);
            C.ret();
        }

        private void EmitMapMemory()
        {
            Label mapped = C.CreateLabel();
            C.mov(rsi, Pages);
            C.shl(rsi, 12);
            C.mov(r14, rsi);
            C.mov(rax, Pages);
            C.shl(rax, 3);
            C.add(rsi, rax);
            C.xor(edi, edi);
            C.mov(edx, PROT_READ_WRITE);
            C.mov(r10d, MAP_PRIVATE_ANONYMOUS);
            C.mov(r8, -1);
            C.xor(r9d, r9d);
            C.mov(eax, SYS_mmap);
            C.syscall();
            C.cmp(rax, -4095);
            C.jb(mapped);
            EmitBeginLine(": the working set does not fit in memory");
            EmitEndLine();
            C.mov(eax, 1);
            EmitExit();
            C.Label(ref mapped);
            C.mov(Memory, rax);
            C.add(rax, r14);
            C.mov(Generations, rax);
        }

        private void EmitUsage()
        {
            C.Label(ref _usage);
            EmitBeginLine(" MEGABYTES PAGES-PER-SECOND [VERIFY-PER-SECOND [TICKS [CORRUPT-AT-TICK]]]");
            EmitEndLine();
            C.mov(eax, 2);
            EmitExit();
        }

        private void EmitReadClock()
        {
            Label routine = ReadClock;
            C.Label(ref routine);
            C.mov(edi, CLOCK_MONOTONIC);
            C.mov(esi, (uint)_time);
            C.mov(eax, SYS_clock_gettime);
            C.syscall();
            C.imul(rax, __qword_ptr[_time], 1_000_000_000);
            C.add(rax, __qword_ptr[_time + 8]);
            C.ret();
            ReadClock = routine;
        }

        private void EmitWriteLine()
        {
            Label routine = WriteLine, again = C.CreateLabel(), failed = C.CreateLabel(), done = C.CreateLabel();
            C.Label(ref routine);
            C.mov(rbx, rsi);
            C.mov(r12, rdx);
            C.Label(ref again);
            C.mov(edi, 1);
            C.mov(rsi, rbx);
            C.mov(rdx, r12);
            C.mov(eax, SYS_write);
            C.syscall();
            C.test(rax, rax);
            C.js(failed);
            C.add(rbx, rax);
            C.sub(r12, rax);
            C.jne(again);
            C.jmp(done);
            C.Label(ref failed);
            C.cmp(rax, -EINTR);
            C.je(again);
            C.cmp(rax, -EAGAIN);
            C.je(again);
            C.mov(eax, 3); // nobody can hear it any more
            EmitExit();
            C.Label(ref done);
            C.ret();
            WriteLine = routine;
        }
    }
}
