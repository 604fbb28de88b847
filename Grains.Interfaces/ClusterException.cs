namespace Godwit.Grains.Interfaces;

/// <summary>What kind of refusal a <see cref="ClusterException"/> is, so that callers need not read its text.</summary>
public enum ClusterError
{
    /// <summary>The input itself is wrong.</summary>
    Invalid = 0,

    /// <summary>No VM, silo, image or job of that name.</summary>
    NotFound = 1,

    /// <summary>The name is taken.</summary>
    AlreadyExists = 2,

    /// <summary>The VM's state does not allow it.</summary>
    WrongState = 3,

    /// <summary>No silo has room.</summary>
    NoRoom = 4,

    /// <summary>A silo or the store cannot be reached.</summary>
    Unavailable = 5,

    /// <summary>The machine or the migration failed by itself.</summary>
    Failed = 6,

    /// <summary>The caller asked the wrong silo: the VM is elsewhere. Look it up again.</summary>
    Moved = 7,

    /// <summary>The caller is not let in, or its role does not allow it.</summary>
    Denied = 8,
}

/// <summary>A refusal that a person can act on: one line that says what was wrong and why.</summary>
[GenerateSerializer, Alias("Godwit.ClusterException")]
public sealed class ClusterException : Exception
{
    public ClusterException(ClusterError error, string message)
        : base(message) => Error = error;

    public ClusterException(ClusterError error, string message, Exception inner)
        : base(message, inner) => Error = error;

    [Id(0)]
    public ClusterError Error { get; private set; }
}
