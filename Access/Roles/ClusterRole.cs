namespace Godwit.Access.Roles;

/// <summary>What a caller may do; each may do what those before it may.</summary>
public enum ClusterRole
{
    /// <summary>Look: lists, states, consoles, progress.</summary>
    Viewer = 1,

    /// <summary>Also run: start, stop, migrate, drain, type on consoles, take and restore snapshots.</summary>
    Operator = 2,

    /// <summary>Also change what there is: create and delete.</summary>
    Admin = 3,

    /// <summary>Not a client's: what silos ask of one another.</summary>
    Silo = 4,
}
