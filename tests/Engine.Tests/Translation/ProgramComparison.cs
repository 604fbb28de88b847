using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Translation;

/// <summary>One program on the interpreter and on another back end: the states must be equal after every instruction.</summary>
internal static unsafe class ProgramComparison
{
    private const int Shown = 64;

    public static InterpreterBackend Interpreter(Vcpu vcpu) => new(vcpu, 4 << 20);

    /// <summary>A translator that translates almost everything.</summary>
    public static TranslatorBackend Eager(Vcpu vcpu) => Eager(vcpu, null);

    /// <summary>The same, whose templates others may have, too.</summary>
    public static TranslatorBackend Eager(Vcpu vcpu, TranslationStore? store) => new(vcpu, codeBytes: 4 << 20, nativeBytes: 4 << 20, hot: 2, store) { VerifiesTemplates = true };

    /// <summary>The same with room for so little that blocks and translations go all the time.</summary>
    public static TranslatorBackend Cramped(Vcpu vcpu) => Cramped(vcpu, null);

    /// <summary>The same, whose templates others may have, too.</summary>
    public static TranslatorBackend Cramped(Vcpu vcpu, TranslationStore? store) =>
        new(vcpu, codeBytes: 64 << 10, nativeBytes: TranslatorBackend.LeastNativeBytes, hot: 2, store) { VerifiesTemplates = true };

    /// <summary>What differs between two machines; null: nothing.</summary>
    public static string? Difference(TestMachine expected, TestMachine actual) => StateDifference(expected, actual) ?? MemoryDifference(expected.Memory, actual.Memory);

    private static string? StateDifference(TestMachine expected, TestMachine actual)
    {
        ref CpuState left = ref expected.State, right = ref actual.State;
        if (actual.Backend is TranslatorBackend { TemplateDifference: { } template })
            return template;
        if (left.RetiredInstructions != right.RetiredInstructions)
            return $"{right.RetiredInstructions} instructions, not {left.RetiredInstructions}";
        if (left.Rip != right.Rip || left.Rflags != right.Rflags)
            return $"RIP {right.Rip:x} RFLAGS {right.Rflags:x}, not {left.Rip:x} and {left.Rflags:x}";
        for (int i = 0; i < 16; i++)
            if (left.Gpr[i] != right.Gpr[i])
                return $"register {i} is {right.Gpr[i]:x}, not {left.Gpr[i]:x}";
        // Segments, control registers, x87 and vectors, all that is saved: the rest of the state.
        ReadOnlySpan<byte> one = MemoryMarshal.AsBytes(new ReadOnlySpan<CpuState>(in left)), two = MemoryMarshal.AsBytes(new ReadOnlySpan<CpuState>(in right));
        int rest = one.CommonPrefixLength(two);
        return rest == one.Length ? null : $"the state's byte {rest} is {two[rest]:x2}, not {one[rest]:x2}";
    }

    private static string? MemoryDifference(GuestMemory expected, GuestMemory actual)
    {
        byte[] memory = Contents(expected), other = Contents(actual);
        int same = memory.AsSpan().CommonPrefixLength(other);
        return same == memory.Length ? null : $"memory at 0x{same:x} is {other[same]:x2}, not {memory[same]:x2}";
    }

    /// <summary>Runs programs of successive seeds on the interpreter and on another back end, slice by slice, and compares after each.</summary>
    /// <param name="prepare">Makes a program's machine on a back end.</param>
    /// <param name="other">The back end that is compared with the interpreter.</param>
    /// <param name="seeds">The first seed, and how many.</param>
    /// <param name="slices">How many slices of each program.</param>
    /// <param name="length">A slice's instructions, by its number and a generator for them.</param>
    /// <param name="memoryEvery">Memory is compared after every so many slices only, which takes longest.</param>
    public static void AssertEqual(
        Func<int, Func<Vcpu, IVcpuBackend>, TestMachine> prepare, Func<Vcpu, IVcpuBackend> other, (int First, int Count) seeds, int slices, Func<int, Random, long> length, int memoryEvery = 1)
    {
        for (int seed = seeds.First; seed < seeds.First + seeds.Count; seed++)
        {
            using TestMachine left = prepare(seed, Interpreter), right = prepare(seed, other);
            Random random = new(seed);
            for (int slice = 0; slice < slices; slice++)
            {
                long instructions = length(slice, random);
                Execute(left, instructions);
                Execute(right, instructions);
                if ((slice % memoryEvery == 0 ? Difference(left, right) : StateDifference(left, right)) is { } difference)
                    Assert.Fail($"seed {seed}, slice {slice}: {difference}; {Locate(backend => prepare(seed, backend), other, (long)left.State.RetiredInstructions)}");
            }
        }
    }

    /// <summary>The first instruction after which two machines that start alike differ, in words.</summary>
    /// <param name="prepare">Makes the machine on a back end.</param>
    /// <param name="other">The back end that is compared with the interpreter.</param>
    /// <param name="instructions">Instructions after which they are known to differ.</param>
    public static string Locate(Func<Func<Vcpu, IVcpuBackend>, TestMachine> prepare, Func<Vcpu, IVcpuBackend> other, long instructions)
    {
        long equal = 0, different = instructions;
        string what = "not found again";
        while (different - equal > 1)
        {
            long middle = equal + (different - equal) / 2;
            using TestMachine left = prepare(Interpreter), right = prepare(other);
            Execute(left, middle);
            Execute(right, middle);
            if (Difference(left, right) is { } difference)
                (different, what) = (middle, difference);
            else
                equal = middle;
        }
        // Translated code runs whole blocks: what went wrong may be some instructions back.
        using TestMachine machine = prepare(Interpreter);
        long first = Math.Max(0, different - Shown);
        Execute(machine, first);
        StringBuilder text = new();
        for (long i = first; i < different; i++)
        {
            text.AppendLine().Append(CultureInfo.InvariantCulture, $"  {machine.State.Rip:x} {Next(machine)}");
            Execute(machine, 1);
        }
        return $"after instruction {different}: {what}; the last instructions:{text}";
    }

    private static string Next(TestMachine machine)
    {
        byte[] bytes = new byte[15];
        machine.Memory.TryRead(new GuestPhysicalAddress(machine.State.Rip), bytes);
        Iced.Intel.Decoder.Create(machine.State.Mode64 ? 64 : 32, bytes, machine.State.Rip).Decode(out Instruction instruction);
        return $"{instruction} ({Convert.ToHexString(bytes.AsSpan(0, instruction.Length))}), RFLAGS {machine.State.Rflags:x}";
    }

    /// <summary>Runs instructions, or until the machine halts, shuts down, or faults for ever without executing one.</summary>
    public static void Execute(TestMachine machine, long instructions)
    {
        const int Patience = 100;
        ulong end = machine.State.RetiredInstructions + (ulong)instructions;
        for (int idle = 0; machine.State.RetiredInstructions < end && !machine.State.Halted && idle < Patience; idle++)
        {
            ulong before = machine.State.RetiredInstructions;
            if (machine.Backend.Run((long)(end - before)) == VcpuExit.Shutdown)
                return;
            if (machine.State.RetiredInstructions != before)
                idle = 0;
        }
    }

    private static byte[] Contents(GuestMemory memory)
    {
        byte[] bytes = new byte[memory.PageCount * PageNumber.Size];
        memory.TryRead(new GuestPhysicalAddress(0), bytes);
        return bytes;
    }
}
