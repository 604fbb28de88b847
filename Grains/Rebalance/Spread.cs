using Godwit.Grains.Placement;

namespace Godwit.Grains.Rebalance;

/// <summary>
/// How unevenly silos are used: the standard deviation of their use, each silo weighted by its size, of CPU (busy vCPUs a
/// core) and promised memory taken together. 0: all are used alike. Moving a VM changes no silo's size and no sum, so the
/// mean stays, and only moves that bring the uses nearer to it lower the spread.
/// </summary>
public static class Spread
{
    public static double Of(IReadOnlyList<SiloRoom> silos) =>
        Math.Sqrt(Variance(silos, s => s.CpuUse, s => s.Cores) + Variance(silos, s => s.MemoryUse, s => s.MemoryCapacity));

    private static double Variance(IReadOnlyList<SiloRoom> silos, Func<SiloRoom, double> use, Func<SiloRoom, double> size)
    {
        var whole = silos.Sum(size);
        if (whole <= 0)
        {
            return 0;
        }

        var mean = silos.Sum(s => use(s) * size(s)) / whole;
        return silos.Sum(s => size(s) * (use(s) - mean) * (use(s) - mean)) / whole;
    }
}
