namespace Godwit.Guest.Benchmarks.Machines;

/// <summary>What executes the benchmark program.</summary>
internal enum MachineKind
{
    /// <summary>The host's processor and kernel.</summary>
    Native,

    /// <summary>A Godwit machine, binary translator.</summary>
    Translator,

    /// <summary>A Godwit machine, interpreter only.</summary>
    Interpreter,

    /// <summary>A QEMU microvm under TCG.</summary>
    Qemu,
}
