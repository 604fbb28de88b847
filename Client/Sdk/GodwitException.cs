using Godwit.Grains.Interfaces;

namespace Godwit.Client;

/// <summary>A refusal or failure, as one line that says what was wrong and what to do.</summary>
public sealed class GodwitException : Exception
{
    public GodwitException(ClusterError error, string message)
        : base(message) => Error = error;

    public GodwitException(ClusterError error, string message, Exception inner)
        : base(message, inner) => Error = error;

    /// <summary>What kind it is.</summary>
    public ClusterError Error { get; }
}
