using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Translation;

namespace Godwit.Engine.Machine;

/// <summary>What executes guest code. It is no part of a machine's state: the same guest runs the same on each.</summary>
public enum BackendKind
{
    /// <summary>Decoded instructions, one function each; on any host.</summary>
    Interpreter = 0,

    /// <summary>Host code for what runs often; on x86-64 Linux.</summary>
    Translator = 1,
}

/// <summary>The back ends of this host.</summary>
public static class Backends
{
    /// <summary>What a machine gets where nobody chooses: the translator where it can run, else the interpreter.</summary>
    public static BackendKind Default => TranslatorBackend.IsSupported ? BackendKind.Translator : BackendKind.Interpreter;

    /// <summary>
    /// Makes the back ends of one machine's vCPUs, which share what they translate; what is returned throws
    /// <see cref="MachineException"/> where this host cannot run them.
    /// </summary>
    internal static Func<Vcpu, IVcpuBackend> OfMachine(BackendKind kind)
    {
        TranslationStore store = new();
        return vcpu => Create(kind, vcpu, store);
    }

    private static IVcpuBackend Create(BackendKind kind, Vcpu vcpu, TranslationStore store) => kind switch
    {
        BackendKind.Interpreter => new InterpreterBackend(vcpu),
        BackendKind.Translator when TranslatorBackend.IsSupported => new TranslatorBackend(vcpu, store: store),
        BackendKind.Translator => throw new MachineException("the translator runs on x86-64 Linux only; use the interpreter"),
        _ => throw new MachineException($"back end {(int)kind} does not exist"),
    };
}
