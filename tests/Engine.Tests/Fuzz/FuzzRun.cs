using System.Globalization;
using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Tests.Translation;
using Godwit.Engine.Translation;

namespace Godwit.Engine.Tests.Fuzz;

/// <summary>
/// Runs random programs on the interpreter, on the translator, and on both in turns: the three must end in the same state,
/// and nothing but the guest's memory and its own context may have changed.
/// </summary>
internal sealed unsafe class FuzzRun : IDisposable
{
    /// <summary>The argument of the test program that fuzzes by hand.</summary>
    public const string Argument = "fuzz";

    private const long MostInstructions = 400_000;
    private const int CanaryBytes = 256 << 10, Canaries = 4;
    private const ulong Canary = 0xa5c3_5a3c_0ff0_9669;

    private readonly nint[] _canaries = new nint[Canaries];
    private TemplateCounts _templates;

    public FuzzRun()
    {
        for (int i = 0; i < Canaries; i++)
        {
            _canaries[i] = (nint)NativeMemory.AlignedAlloc(CanaryBytes, 4096);
            new Span<ulong>((void*)_canaries[i], CanaryBytes / sizeof(ulong)).Fill(Canary);
        }
    }

    /// <summary>Programs run, and instructions executed by the translator.</summary>
    public (int Programs, long Instructions) Done { get; private set; }

    /// <summary>What has become of the translator's templates.</summary>
    public TemplateCounts Templates => _templates;

    /// <summary>`fuzz [--minutes N] [--seed N]`: prints each seed's failure and returns 1 with the first one.</summary>
    public static int Run(string[] args)
    {
        double minutes = 1;
        int seed = Environment.TickCount;
        for (int i = 0; i + 1 < args.Length; i += 2)
        {
            if (args[i] == "--minutes")
                minutes = double.Parse(args[i + 1], CultureInfo.InvariantCulture);
            else if (args[i] == "--seed")
                seed = int.Parse(args[i + 1], CultureInfo.InvariantCulture);
            else
            {
                Console.Error.WriteLine("Usage: fuzz [--minutes N] [--seed N]");
                return 2;
            }
        }
        Console.WriteLine($"seeds from {seed}, {minutes} minutes");
        using FuzzRun run = new();
        long end = Environment.TickCount64 + (long)(minutes * 60_000);
        for (; Environment.TickCount64 < end; seed++)
        {
            // Before it runs: whatever ends the process ends it in this one.
            Console.Write($"\rseed {seed}: {run.Done.Programs} programs, {run.Done.Instructions / 1_000_000} M instructions ");
            if (run.Check(seed) is not { } failure)
                continue;
            Console.WriteLine();
            Console.WriteLine(failure);
            return 1;
        }
        Console.WriteLine();
        Console.WriteLine($"{run.Done.Programs} programs, {run.Done.Instructions / 1_000_000} M instructions, {run.Templates.Reused} translations of templates: no difference");
        return 0;
    }

    /// <summary>Runs the program of a seed; what went wrong, in words, or null.</summary>
    public string? Check(int seed)
    {
        int bitness = seed % 3 == 0 ? 32 : 64;
        FuzzProgram program;
        using (TestMachine any = new(bitness, Engine.Machine.CpuLevel.V3))
            program = new FuzzProgram(seed, bitness, new FeatureGate(any.Vcpu.Services).Allows);
        byte[] code = program.Assemble();
        // In every fourth program, blocks and translations go all the time for want of room.
        bool cramped = (seed & 3) == 1;
        // One machine's templates, whose code may have been changed since, are the other's.
        TranslationStore store = new(256 << 10);
        Func<Vcpu, IVcpuBackend> translator = vcpu => cramped ? ProgramComparison.Cramped(vcpu, store) : ProgramComparison.Eager(vcpu, store);
        TestMachine Prepare(Func<Vcpu, IVcpuBackend> backend) => FuzzMachine.Make(bitness, backend, program.Window, code, program.Addresses);
        using TestMachine interpreted = Prepare(ProgramComparison.Interpreter), translated = Prepare(translator), switching = Prepare(translator);
        Outside before = Outside.Of(translated);
        ProgramComparison.Execute(interpreted, MostInstructions);
        ProgramComparison.Execute(translated, MostInstructions);
        Switch(switching, translator, seed);
        Done = (Done.Programs + 1, Done.Instructions + (long)translated.State.RetiredInstructions);
        if (ProgramComparison.Difference(interpreted, translated) is not null)
            return $"seed {seed} ({bitness}-bit): {ProgramComparison.Locate(Prepare, translator, (long)interpreted.State.RetiredInstructions)}";
        if (ProgramComparison.Difference(interpreted, switching) is { } difference)
            return $"seed {seed} ({bitness}-bit), back ends switched: {difference}";
        _templates = TemplateCounts.Sum([_templates, ((TranslatorBackend)translated.Backend).Templates]);
        // Where little has room, a block may be gone before it is hot.
        if (!cramped && ((TranslatorBackend)translated.Backend).Blocks.Translated == 0)
            return $"seed {seed} ({bitness}-bit): nothing was translated";
        if (before != Outside.Of(translated) || !CanariesStand())
            return $"seed {seed} ({bitness}-bit): memory that is not the guest's has changed";
        return null;
    }

    public void Dispose()
    {
        foreach (nint canary in _canaries)
            NativeMemory.AlignedFree((void*)canary);
    }

    private static void Switch(TestMachine machine, Func<Vcpu, IVcpuBackend> translator, int seed)
    {
        Random random = new(~seed);
        bool translates = true;
        while (!machine.State.Halted && machine.State.RetiredInstructions < MostInstructions)
        {
            long left = MostInstructions - (long)machine.State.RetiredInstructions;
            ulong before = machine.State.RetiredInstructions;
            ProgramComparison.Execute(machine, Math.Min(left, random.Next(1, 20_000)));
            if (machine.State.RetiredInstructions == before)
                return;
            translates = !translates;
            machine.Switch(translates ? translator : ProgramComparison.Interpreter);
        }
    }

    private bool CanariesStand()
    {
        foreach (nint canary in _canaries)
            if (new ReadOnlySpan<ulong>((void*)canary, CanaryBytes / sizeof(ulong)).ContainsAnyExcept(Canary))
                return false;
        return true;
    }

    /// <summary>What of a context no instruction of a guest may change.</summary>
    private readonly record struct Outside(nint Owner, nint Entry, ulong Zero, int PendingExit)
    {
        public static Outside Of(TestMachine machine)
        {
            VcpuContext* c = machine.Context;
            return new Outside(c->Owner, (nint)c->NativeEntry, c->Zero, c->PendingExit);
        }
    }
}
