namespace Godwit.Engine.Host;

/// <summary>Host scheduling of the calling thread.</summary>
public static class HostThread
{
    /// <summary>
    /// Lowers the calling thread's priority by nice value, so that the silo's own threads answer probes under load.
    /// Lowering needs no privilege; where it is refused all the same, the thread keeps its priority.
    /// </summary>
    public static void SetNice(int nice) => _ = Native.SetPriority(Native.PRIO_PROCESS, Native.Gettid(), nice);
}
