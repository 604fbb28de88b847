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

    /// <summary>Makes a back end for a vCPU; throws <see cref="MachineException"/> where this host cannot run it.</summary>
    internal static IVcpuBackend Create(BackendKind kind, Vcpu vcpu) => kind switch
    {
        BackendKind.Interpreter => new InterpreterBackend(vcpu),
        BackendKind.Translator when TranslatorBackend.IsSupported => new TranslatorBackend(vcpu),
        BackendKind.Translator => throw new MachineException("the translator runs on x86-64 Linux only; use the interpreter"),
        _ => throw new MachineException($"back end {(int)kind} does not exist"),
    };
}
