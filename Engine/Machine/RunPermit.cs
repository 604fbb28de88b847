using System.Diagnostics;

namespace Godwit.Engine.Machine;

/// <summary>
/// The right to enter guest code: an epoch and the monotonic time at which it ends (self-fencing: a host that was frozen
/// or cut off stops by itself). Granted from any thread, read by the vCPU thread.
/// </summary>
public sealed class RunPermit
{
    private readonly Lock _gate = new();
    private long _epoch;
    private long _expires;

    /// <summary>The epoch of the latest grant.</summary>
    public long Epoch => Volatile.Read(ref _epoch);

    /// <summary>Stopwatch timestamp at which the permit ends; long.MaxValue: never.</summary>
    public long Expires => Volatile.Read(ref _expires);

    public bool IsValid => Stopwatch.GetTimestamp() < Expires;

    /// <summary>Extends the permit. A grant of an earlier epoch, or one that ends sooner under the same epoch, changes nothing.</summary>
    public void Grant(long epoch, long expiresAtTimestamp)
    {
        lock (_gate)
        {
            if (epoch < _epoch || (epoch == _epoch && expiresAtTimestamp <= _expires))
                return;
            Volatile.Write(ref _epoch, epoch);
            Volatile.Write(ref _expires, expiresAtTimestamp);
        }
    }
}
