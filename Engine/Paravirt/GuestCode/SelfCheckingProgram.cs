using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.GuestCode;

/// <summary>
/// The program that both test guests run: a working set of self-checking pages, rewritten and verified at set rates by
/// one loop that watches its own clock, with a line of figures several times a second. What it runs on (bare machine or
/// Linux) fills in the clock, the output and the wait. Integer instructions only.
/// </summary>
internal abstract class SelfCheckingProgram
{
    private const ulong Second = 1_000_000_000;
    private const int GenerationBytes = 8;

    private readonly string _name;
    private readonly ulong _line;
    private Label _fill, _check, _dirtyOne, _verifyOne, _verifyPage, _report, _firstWrong;
    private readonly Variable _last, _nextReport, _tick, _written, _verified, _wrong, _clockBack, _gap, _largestGap;
    private readonly Variable _dirtyCredit, _verifyCredit, _dirtyCursor, _verifyCursor, _wrongShown;
    private readonly Variable _badPage, _badIndex, _badValue, _badExpected;

    protected SelfCheckingProgram(string name, VariableArea data)
    {
        _name = name;
        C = new Assembler(64);
        Lines = new LineBuilder(C);
        ReadClock = C.CreateLabel();
        WriteLine = C.CreateLabel();
        (_fill, _check, _dirtyOne) = (C.CreateLabel(), C.CreateLabel(), C.CreateLabel());
        (_verifyOne, _verifyPage) = (C.CreateLabel(), C.CreateLabel());
        (_report, _firstWrong) = (C.CreateLabel(), C.CreateLabel());
        _line = data.Reserve(LineBuilder.Capacity, 16);
        (Pages, DirtyRate, VerifyRate, ReportInterval) = (data.Quadword(), data.Quadword(), data.Quadword(), data.Quadword());
        (CorruptTick, LastTick, Memory, Generations) = (data.Quadword(), data.Quadword(), data.Quadword(), data.Quadword());
        (_last, _nextReport, _tick, _written) = (data.Quadword(), data.Quadword(), data.Quadword(), data.Quadword());
        (_verified, _wrong, _clockBack, _gap) = (data.Quadword(), data.Quadword(), data.Quadword(), data.Quadword());
        (_largestGap, _dirtyCredit, _verifyCredit) = (data.Quadword(), data.Quadword(), data.Quadword());
        (_dirtyCursor, _verifyCursor, _wrongShown) = (data.Quadword(), data.Quadword(), data.Quadword());
        (_badPage, _badIndex, _badValue, _badExpected) = (data.Quadword(), data.Quadword(), data.Quadword(), data.Quadword());
    }

    /// <summary>Pages of the working set.</summary>
    public Variable Pages { get; }

    /// <summary>Pages a second to rewrite, at most 10^9.</summary>
    public Variable DirtyRate { get; }

    /// <summary>Pages a second to verify, at most 10^9.</summary>
    public Variable VerifyRate { get; }

    /// <summary>Nanoseconds between lines.</summary>
    public Variable ReportInterval { get; }

    /// <summary>The tick at which the program changes a word behind its own back, so that its check is seen to fail; 0 for none.</summary>
    public Variable CorruptTick { get; }

    /// <summary>The tick after which the program ends; 0 for none.</summary>
    public Variable LastTick { get; }

    /// <summary>Address of the working set.</summary>
    public Variable Memory { get; }

    /// <summary>Address of each page's generation, a quadword a page: a page that was lost does not agree with it.</summary>
    public Variable Generations { get; }

    /// <summary>Lines reported so far.</summary>
    protected Variable Tick => _tick;

    protected Assembler C { get; }

    protected LineBuilder Lines { get; }

    /// <summary>A routine that returns monotonic nanoseconds in RAX; may change all but RSP and R13 to R15.</summary>
    protected Label ReadClock { get; set; }

    /// <summary>A routine that writes out RDX bytes from RSI; may change all but RSP and R13 to R15.</summary>
    protected Label WriteLine { get; set; }

    /// <summary>Emits the routines <see cref="ReadClock"/> and <see cref="WriteLine"/>.</summary>
    protected abstract void EmitPlatformRoutines();

    /// <summary>Emits a wait of about a millisecond, or until something happens.</summary>
    protected abstract void EmitIdle();

    /// <summary>Emits the program's end; EAX is 0 where every check held, else 1.</summary>
    protected abstract void EmitExit();

    /// <summary>Emits what is done in every turn of the loop before the clock is read.</summary>
    protected virtual void EmitPoll()
    {
    }

    /// <summary>Emits what is done after every line.</summary>
    protected virtual void EmitAfterReport()
    {
    }

    /// <summary>Emits further fields of the line, see <see cref="Lines"/>.</summary>
    protected virtual void EmitMoreFields()
    {
    }

    /// <summary>Emits code that starts a line with the program's name; finish with <see cref="EmitEndLine"/>.</summary>
    protected void EmitBeginLine(string text)
    {
        C.mov(edi, (uint)_line);
        Lines.Text(_name + text);
    }

    /// <summary>Emits code that ends the line and writes it out.</summary>
    protected void EmitEndLine()
    {
        C.mov(__byte_ptr[rdi], '\n');
        C.mov(esi, (uint)_line);
        C.lea(rdx, __[rdi + 1]);
        C.sub(rdx, rsi);
        C.call(WriteLine);
    }

    /// <summary>Emits the program proper: variables are set, memory is there; it does not come back.</summary>
    protected void EmitProgram()
    {
        EmitFirstFill();
        // At equal rates the verifier must not follow the dirtier and see only what has just been written.
        C.mov(rax, Pages);
        C.shr(rax, 1);
        C.mov(_verifyCursor, rax);
        EmitBeginLine(" start");
        Lines.Field("working_set", Pages);
        Lines.Field("rate", DirtyRate);
        Lines.Field("verify", VerifyRate);
        EmitEndLine();
        C.call(ReadClock);
        C.mov(_last, rax);
        C.add(rax, ReportInterval);
        C.mov(_nextReport, rax);
        EmitLoop();
    }

    /// <summary>Emits the routines; once, where no code runs into them.</summary>
    protected void EmitRoutines()
    {
        C.Label(ref _fill);
        PageSequence.EmitFill(C);
        C.Label(ref _check);
        PageSequence.EmitCheck(C);
        EmitDirtyOne();
        EmitVerifyOne();
        EmitVerifyPage();
        EmitReport();
        EmitFirstWrong();
        EmitPlatformRoutines();
        Lines.EmitShared();
    }

    /// <summary>The program's bytes for an address, and where its labels came to lie.</summary>
    protected AssemblerResult Assemble(ulong address, Stream output) =>
        C.Assemble(new StreamCodeWriter(output), address, BlockEncoderOptions.ReturnNewInstructionOffsets);

    private void EmitFirstFill()
    {
        Label page = C.CreateLabel();
        C.xor(r13d, r13d);
        C.Label(ref page);
        C.mov(rcx, Generations);
        C.mov(edx, 1);
        C.mov(__[rcx + r13 * GenerationBytes], rdx);
        C.mov(rdi, r13);
        C.shl(rdi, 12);
        C.add(rdi, Memory);
        C.mov(rsi, r13);
        C.call(_fill);
        C.inc(r13);
        C.cmp(r13, Pages);
        C.jb(page);
    }

    private void EmitLoop()
    {
        Label loop = C.CreateLabel(), noReport = C.CreateLabel();
        C.Label(ref loop);
        EmitPoll();
        C.call(ReadClock);
        EmitWatchClock();
        EmitEarn(_dirtyCredit, DirtyRate);
        EmitEarn(_verifyCredit, VerifyRate);
        C.mov(rax, _last);
        C.cmp(rax, _nextReport);
        C.jb(noReport);
        C.call(_report);
        C.Label(ref noReport);
        C.xor(r14d, r14d);
        EmitSpend(_dirtyCredit, _dirtyOne);
        EmitSpend(_verifyCredit, _verifyOne);
        C.test(r14d, r14d);
        C.jne(loop);
        EmitIdle();
        C.jmp(loop);
    }

    /// <summary>RAX is the clock now; leaves in R13 what has passed since the last reading, at most a second.</summary>
    private void EmitWatchClock()
    {
        Label forward = C.CreateLabel(), small = C.CreateLabel(), notLargest = C.CreateLabel(), pass = C.CreateLabel();
        C.mov(r13, rax);
        C.sub(r13, _last);
        C.cmp(rax, _last);
        C.mov(_last, rax);
        C.jae(forward);
        C.inc(_clockBack);
        C.xor(r13d, r13d);
        C.Label(ref forward);
        C.cmp(r13, _gap);
        C.jbe(small);
        C.mov(_gap, r13);
        C.Label(ref small);
        C.cmp(r13, _largestGap);
        C.jbe(notLargest);
        C.mov(_largestGap, r13);
        C.Label(ref notLargest);
        C.mov(eax, (uint)Second);
        C.cmp(r13, rax);
        C.jbe(pass);
        C.mov(r13, rax);
        C.Label(ref pass);
        C.nop();
    }

    /// <summary>
    /// Adds what the passed time (R13) earns at a rate. Credit counts in pages times 10^9 and is capped at a tenth of a
    /// second's worth: a guest that was stopped catches up a little, not without end.
    /// </summary>
    private void EmitEarn(Variable credit, Variable rate)
    {
        Label below = C.CreateLabel();
        C.mov(rax, rate);
        C.imul(rax, r13);
        C.add(rax, credit);
        C.imul(rcx, rate, (int)(Second / 10));
        C.add(rcx, (int)Second);
        C.cmp(rax, rcx);
        C.jbe(below);
        C.mov(rax, rcx);
        C.Label(ref below);
        C.mov(credit, rax);
    }

    /// <summary>Does one page of work where there is credit for it; counts in R14.</summary>
    private void EmitSpend(Variable credit, Label work)
    {
        Label none = C.CreateLabel();
        C.mov(rax, credit);
        C.sub(rax, (int)Second);
        C.jb(none);
        C.mov(credit, rax);
        C.inc(r14d);
        C.call(work);
        C.Label(ref none);
        C.nop();
    }

    private void EmitDirtyOne()
    {
        Label asLeft = C.CreateLabel();
        C.Label(ref _dirtyOne);
        EmitPageAt(_dirtyCursor);
        // Rewriting would heal a page that went back to an earlier version before anyone has seen it.
        C.mov(rdx, __[rcx]);
        C.cmp(__[rdi], rdx);
        C.je(asLeft);
        C.call(_verifyPage);
        EmitPageAt(_dirtyCursor);
        C.Label(ref asLeft);
        C.inc(__qword_ptr[rcx]);
        C.mov(rdx, __[rcx]);
        C.call(_fill);
        C.inc(_written);
        EmitAdvance(_dirtyCursor);
        C.ret();
    }

    private void EmitVerifyOne()
    {
        C.Label(ref _verifyOne);
        EmitPageAt(_verifyCursor);
        C.mov(rdx, __[rcx]);
        C.call(_verifyPage);
        C.inc(_verified);
        EmitAdvance(_verifyCursor);
        C.ret();
    }

    /// <summary>RDI a page's address, RSI its number, RDX its generation: counts and tells what is wrong.</summary>
    private void EmitVerifyPage()
    {
        Label good = C.CreateLabel();
        C.Label(ref _verifyPage);
        C.call(_check);
        C.test(r9, r9);
        C.je(good);
        C.add(_wrong, r9);
        C.cmp(_wrongShown, 0);
        C.jne(good);
        C.call(_firstWrong);
        C.Label(ref good);
        C.ret();
    }

    /// <summary>RSI the page at a cursor, RDI its address, RCX the address of its generation.</summary>
    private void EmitPageAt(Variable cursor)
    {
        C.mov(rsi, cursor);
        C.mov(rdi, rsi);
        C.shl(rdi, 12);
        C.add(rdi, Memory);
        C.mov(rcx, Generations);
        C.lea(rcx, __[rcx + rsi * GenerationBytes]);
    }

    private void EmitAdvance(Variable cursor)
    {
        Label within = C.CreateLabel();
        C.mov(rax, cursor);
        C.inc(rax);
        C.cmp(rax, Pages);
        C.jb(within);
        C.xor(eax, eax);
        C.Label(ref within);
        C.mov(cursor, rax);
    }

    private void EmitReport()
    {
        Label onTime = C.CreateLabel();
        C.Label(ref _report);
        C.inc(_tick);
        EmitBeginLine("");
        Lines.Field("tick", _tick);
        Lines.Field("mono_ns", _last);
        Lines.Field("pages", _written);
        Lines.Field("verified", _verified);
        Lines.Field("wrong", _wrong);
        Lines.Field("max_gap_ns", _largestGap);
        Lines.Field("clock_back", _clockBack);
        Lines.Field("gap_ns", _gap);
        EmitMoreFields();
        EmitEndLine();
        C.mov(_gap, 0);
        C.mov(rax, _nextReport);
        C.add(rax, ReportInterval);
        C.cmp(rax, _last);
        C.ja(onTime);
        C.mov(rax, _last);
        C.add(rax, ReportInterval);
        C.Label(ref onTime);
        C.mov(_nextReport, rax);
        EmitAfterReport();
        EmitCorrupt();
        EmitEndAtLastTick();
        C.ret();
    }

    private void EmitCorrupt()
    {
        Label not = C.CreateLabel(), apart = C.CreateLabel();
        C.mov(rax, _tick);
        C.cmp(rax, CorruptTick);
        C.jne(not);
        // The page verified next, unless the dirtier is about to put it right: then the one after it.
        C.mov(rax, _verifyCursor);
        C.cmp(rax, _dirtyCursor);
        C.jne(apart);
        EmitAdvance(_verifyCursor);
        C.Label(ref apart);
        EmitPageAt(_verifyCursor);
        C.xor(__qword_ptr[rdi + 77 * 8], 1);
        C.Label(ref not);
        C.nop();
    }

    private void EmitEndAtLastTick()
    {
        Label goOn = C.CreateLabel();
        C.mov(rax, _tick);
        C.cmp(rax, LastTick);
        C.jne(goOn);
        C.mov(rcx, _wrong);
        C.or(rcx, _clockBack);
        C.xor(eax, eax);
        C.test(rcx, rcx);
        C.setne(al);
        EmitExit();
        C.Label(ref goOn);
        C.nop();
    }

    private void EmitFirstWrong()
    {
        C.Label(ref _firstWrong);
        C.mov(_wrongShown, 1);
        C.mov(_badPage, rsi);
        C.mov(_badIndex, r10);
        C.mov(_badValue, r11);
        C.mov(_badExpected, rbx);
        EmitBeginLine(" mismatch");
        Lines.Field("page", _badPage);
        Lines.Field("word", _badIndex);
        Lines.Field("have", _badValue);
        Lines.Field("want", _badExpected);
        EmitEndLine();
        C.ret();
    }
}
