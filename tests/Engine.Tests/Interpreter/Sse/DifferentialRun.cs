using System.Runtime.InteropServices;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Instructions with random states, on the host's processor and by the interpreter's rows.</summary>
internal static unsafe class DifferentialRun
{
    private static readonly int s_count = int.Parse(Environment.GetEnvironmentVariable("GODWIT_DIFFERENTIAL_COUNT") ?? "60");

    private static readonly int s_seed = int.Parse(
        Environment.GetEnvironmentVariable("GODWIT_DIFFERENTIAL_SEED") ?? Random.Shared.Next().ToString());

    /// <summary>Runs each form with random operands on both, and fails with the first differences of each.</summary>
    public static void Compare(IEnumerable<Code> forms, ITestOutputHelper output)
    {
        using var interpreted = new InterpretedUnit();
        Compare(forms, interpreted, output);
    }

    /// <summary>The same for anything that runs guest instructions.</summary>
    public static void Compare(IEnumerable<Code> forms, IUnit interpreted, ITestOutputHelper output)
    {
        output.WriteLine($"seed {s_seed}");
        using var native = new NativeUnit();
        UnitState* expected = (UnitState*)NativeMemory.AlignedAlloc((nuint)sizeof(UnitState), 4096);
        UnitState* actual = (UnitState*)NativeMemory.AlignedAlloc((nuint)sizeof(UnitState), 4096);
        var failures = new List<string>();
        int compared = 0;
        try
        {
            foreach (Code code in forms.Where(code => code is not (Code.Ldmxcsr_m32 or Code.VEX_Vldmxcsr_m32 or Code.Pause or Code.Clflush_m8)))
            {
                int wrong = 0;
                var random = new Random(unchecked((s_seed * 31) + (int)code));
                for (int i = 0; i < s_count && wrong < 2; i++)
                {
                    Instruction instruction = UnitForms.Make(code, i % 2 == 1, random);
                    UnitValues.Fill(expected, random);
                    UnitForms.Tame(ref instruction, expected, random);
                    *actual = *expected;
                    native.Load(instruction);
                    if (!interpreted.Load(instruction))
                    {
                        failures.Add($"{code}: no row");
                        break;
                    }
                    native.Run(expected);
                    bool completed = interpreted.Run(actual);
                    compared++;
                    string? difference = completed ? UnitDifference.Between(instruction, expected, actual)
                        : interpreted.Failure;
                    if (difference == null)
                        continue;
                    wrong++;
                    failures.Add($"{code} ({instruction}): {difference}");
                }
            }
        }
        finally
        {
            NativeMemory.AlignedFree(expected);
            NativeMemory.AlignedFree(actual);
        }
        output.WriteLine($"{compared} executions compared");
        Assert.True(failures.Count == 0, $"seed {s_seed}\n" + string.Join("\n", failures));
        Assert.NotEqual(0, compared);
    }
}
