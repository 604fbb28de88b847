using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// The back end that translates what runs often in 64-bit mode to host code, and leaves all else to an interpreter on
/// the same state: the two agree at every instruction. docs/translator.md.
/// </summary>
public sealed class TranslatorBackend : IVcpuBackend
{
    /// <summary>Room for host code; when it is used up, the oldest translations go.</summary>
    public const long DefaultNativeBytes = 64 << 20;

    /// <summary>As little room as it can do with: two blocks of the longest, in whole pages.</summary>
    public const long LeastNativeBytes = (2 * BlockTranslator.MostBytes + 4095) & ~4095;

    /// <summary>Runs of a block before it is translated.</summary>
    public const int DefaultHot = 64;

    private readonly NativeCode _native;
    private readonly InterpreterBackend _interpreter;

    /// <param name="vcpu">The vCPU to run; it is given the interpreter's hooks.</param>
    /// <param name="codeBytes">Bytes of memory for decoded code.</param>
    /// <param name="nativeBytes">Bytes of memory for host code, a multiple of the page size, at least <see cref="LeastNativeBytes"/>.</param>
    /// <param name="hot">Runs of a block before it is translated.</param>
    /// <param name="store">What the machine's vCPUs translate for each other; null: one of its own, for code that is mapped at other addresses.</param>
    public TranslatorBackend(
        Vcpu vcpu, long codeBytes = InterpreterBackend.DefaultCodeBytes, long nativeBytes = DefaultNativeBytes, int hot = DefaultHot, TranslationStore? store = null)
    {
        if (!IsSupported)
            throw new PlatformNotSupportedException("the translator makes code for x86-64 Linux only");
        _native = new NativeCode(vcpu, (nuint)nativeBytes, (uint)hot, store ?? new TranslationStore());
        _interpreter = new InterpreterBackend(vcpu, _native, codeBytes);
    }

    /// <summary>Whether this host can run what the translator makes.</summary>
    public static bool IsSupported => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64;

    /// <summary>Blocks translated since the start, and blocks that it could do nothing with.</summary>
    public (long Translated, long Refused) Blocks => (_native.Translated, _native.Refused);

    /// <summary>What has become of templates, since the start.</summary>
    public TemplateCounts Templates => _native.TemplateCounts;

    /// <summary>Whether what is made of templates is translated anew and compared, and the first difference: for tests.</summary>
    internal bool VerifiesTemplates
    {
        get => _native.VerifiesTemplates;
        set => _native.VerifiesTemplates = value;
    }

    internal string? TemplateDifference => _native.Difference;

    /// <summary>Decoded blocks, and translations, that had to go for want of room.</summary>
    public (long Blocks, long Translations) Evicted => (_interpreter.EvictedBlocks, _native.Evicted);

    /// <summary>The longest that the guest had to stand still for one piece of this work, since the start.</summary>
    public TimeSpan Longest(CodeWork work) => _interpreter.Longest(work);

    /// <summary>How long the guest had to stand still for all of this work, since the start.</summary>
    public TimeSpan Total(CodeWork work) => _interpreter.Total(work);

    /// <summary>Whether such work is measured in the thread's processor time, which what else runs on the host does not lengthen: a system call each time.</summary>
    public bool CountsProcessorTime
    {
        get => _interpreter.CountsProcessorTime;
        set => _interpreter.CountsProcessorTime = value;
    }

    /// <summary>Takes the statistics of what is translated from now on; null, the default: nobody does.</summary>
    public TranslatorStatistics? Statistics
    {
        get => _native.Statistics;
        set => _native.Statistics = value;
    }

    public VcpuExit Run(long budget) => _interpreter.Run(budget);

    public VcpuExit RunSlice(long budget) => _interpreter.RunSlice(budget);

    public void Reset() => _interpreter.Reset();

    public void Dispose()
    {
        _interpreter.Dispose();
        _native.Dispose();
    }
}
