using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Interpreter.Integer;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>
/// Random integer instructions on random state, on the host's processor and in the interpreter: registers, defined
/// flags, memory and faults must be equal. GODWIT_DIFFERENTIAL_CASES and GODWIT_DIFFERENTIAL_SEED choose how many and which.
/// </summary>
public sealed unsafe class IntegerDifferentialTests(ITestOutputHelper output)
{
    private const ulong Compared = Rflags.Arithmetic | Rflags.DF | Rflags.IF | Rflags.IOPL | Rflags.NT | Rflags.ID | Rflags.AC;

    internal static Row[] Rows =>
    [
        .. Arithmetic.Rows, .. Logic.Rows, .. Shift.Rows, .. MulDiv.Rows, .. BitTest.Rows, .. Move.Rows, .. FlagMoves.Rows,
        .. Control.Rows, .. Stack.Rows, .. Strings.Rows, .. Exchange.Rows,
        .. Godwit.Engine.Interpreter.Integer.Decimal.Rows, .. BitManipulation.Rows,
    ];

    [Fact]
    public void EveryIntegerFormDoesWhatTheHostDoes()
    {
        using InterpretedCase interpreted = new();
        Compare(interpreted);
    }

    [Fact]
    public void EveryTranslatedIntegerFormDoesWhatTheHostDoes()
    {
        // A small cache, so that it is emptied now and then.
        using InterpretedCase translated = new(vcpu => new TranslatorBackend(vcpu, codeBytes: 4 << 20, nativeBytes: 1 << 20, hot: 1));
        Compare(translated);
        (long blocks, _) = ((TranslatorBackend)translated.Machine.Backend).Blocks;
        Assert.True(blocks > 0, "nothing was translated");
        output.WriteLine($"{blocks} blocks translated");
    }

    private void Compare(InterpretedCase interpreted)
    {
        int cases = int.Parse(Environment.GetEnvironmentVariable("GODWIT_DIFFERENTIAL_CASES") ?? "1000000");
        int seed = int.Parse(Environment.GetEnvironmentVariable("GODWIT_DIFFERENTIAL_SEED") ?? Environment.TickCount.ToString());
        output.WriteLine($"seed {seed}, {cases} cases");
        using NativeProcess native = new();
        FeatureGate features = new(interpreted.Machine.Vcpu.Services);
        CaseGenerator generator = new(seed, Rows, features.Allows);
        output.WriteLine($"{generator.Forms} forms");
        Instruction[] instructions = new Instruction[NativeProcess.Capacity];
        List<string> failures = [];
        SortedDictionary<string, int> failed = [];
        for (int done = 0; done < cases; done += NativeProcess.Capacity)
        {
            for (int i = 0; i < NativeProcess.Capacity; i++)
                instructions[i] = generator.Next(native.Cases + i);
            native.Run(NativeProcess.Capacity);
            for (int i = 0; i < NativeProcess.Capacity; i++)
            {
                interpreted.Run(native.Cases + i);
                if (Difference(instructions[i], native.Cases + i, native.Results + i, interpreted) is not { } difference)
                    continue;
                string code = instructions[i].Code.ToString();
                if (!failed.TryGetValue(code, out int count))
                    failures.Add($"{Hex(native.Cases + i)} {instructions[i]} ({code}, {native.Cases[i].Bitness}-bit): {difference}");
                failed[code] = count + 1;
            }
        }
        Assert.True(failures.Count == 0, $"seed {seed}: {failed.Count} forms differ\n{string.Join('\n', failures.Take(40))}");
    }

    private static string Hex(NativeCase* unit) => Convert.ToHexString(new ReadOnlySpan<byte>(unit->Bytes, 15)).TrimEnd('C');

    private static string? Difference(in Instruction instruction, NativeCase* unit, NativeResult* native, InterpretedCase interpreted)
    {
        int vector = (int)native->Registers[NativeResult.Vector];
        if (vector != interpreted.Vector)
            return $"vector {interpreted.Vector}, host {vector}; native RIP {native->Registers[NativeResult.Rip]:x}";
        if (vector == 14)
        {
            if (native->Registers[NativeResult.Cr2] != interpreted.Machine.State.Cr2)
                return $"CR2 {interpreted.Machine.State.Cr2:x}, host {native->Registers[NativeResult.Cr2]:x}";
            if (native->Registers[NativeResult.ErrorCode] != interpreted.ErrorCode)
                return $"error code {interpreted.ErrorCode:x}, host {native->Registers[NativeResult.ErrorCode]:x}";
        }
        ulong rip = native->Registers[NativeResult.Rip] - (vector == 3 ? 1ul : 0);
        if (rip != interpreted.Rip)
            return $"RIP {interpreted.Rip:x}, host {rip:x}";
        // An instruction that faults leaves every flag as it was.
        ulong mask = Compared & ~(vector == 3 ? UndefinedFlags.Of(instruction, unit) : 0);
        ulong flags = native->Registers[NativeResult.Eflags];
        if (((flags ^ interpreted.Rflags) & mask) != 0)
            return $"RFLAGS {interpreted.Rflags & mask:x}, host {flags & mask:x}, before {unit->Rflags & mask:x}{Registers(unit)}";
        if (UndefinedFlags.NoResult(instruction, unit))
            return null;
        for (int i = 0; i < 16; i++)
        {
            ulong host = native->Registers[NativeResult.Index[i]];
            ulong ours = interpreted.Gpr(i);
            if (unit->Bitness == 32 && i >= 8)
                continue;
            if (unit->Bitness == 32)
                host = (uint)host;
            if (host != ours)
                return $"register {i} {ours:x}, host {host:x}, before {unit->Gpr[i]:x}{Registers(unit)}";
        }
        ReadOnlySpan<byte> memory = new(native->Memory, NativeCase.WindowBytes);
        if (!memory.SequenceEqual(interpreted.Window))
        {
            int at = memory.CommonPrefixLength(interpreted.Window);
            return $"memory at window + {at:x}: {interpreted.Window[at]:x2}, host {memory[at]:x2}";
        }
        return null;
    }

    private static string Registers(NativeCase* unit) =>
        $" (rax {unit->Gpr[0]:x} rcx {unit->Gpr[1]:x} rdx {unit->Gpr[2]:x} rbx {unit->Gpr[3]:x} rflags {unit->Rflags:x})";
}
