namespace Godwit.Guest.Benchmarks;

/// <summary>A measurement that cannot be made; the message is one line that says why and what to do.</summary>
internal sealed class BenchmarkException(string message) : Exception(message);
