namespace Godwit.Engine.Paravirt;

/// <summary>The registers of the vCPU that makes a hypercall. Used on that vCPU's thread or while it does not run.</summary>
public interface IHypercallContext
{
    /// <summary>The call's number on the way in (low 32 bits), its result on the way out.</summary>
    ulong Rax { get; set; }

    ulong Rbx { get; }

    ulong Rcx { get; }

    ulong Rsi { get; }

    /// <summary>Current privilege level, 0 to 3.</summary>
    int Cpl { get; }
}

/// <summary>What the vCPU does after a hypercall.</summary>
public enum HypercallOutcome
{
    /// <summary>RAX holds the result; the guest goes on.</summary>
    Completed,

    /// <summary>The instruction is done but its result is not there yet: the vCPU enters no guest code while <see cref="Hypercalls.IsParked"/>.</summary>
    Parked,
}
