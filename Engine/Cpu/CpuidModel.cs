namespace Godwit.Engine.Cpu;
public static class CpuidModel
{
    /// <summary>1 GiB pages (CPUID 0x80000001 EDX bit 26). Every level has them: they cost the walk nothing.</summary>
    public const bool GiantPages = true;
}
