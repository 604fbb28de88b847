namespace Godwit.Grains.Interfaces.Vms;

/// <summary>The rule for VM names: 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit (as in RFC 1123 labels).</summary>
public static class VmName
{
    public const int MaxLength = 63;

    public static bool IsValid(string? name) =>
        name is { Length: > 0 and <= MaxLength } && name[0] != '-'
        && name.All(c => c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-');

    /// <summary>Throws <see cref="ClusterException"/> where the name breaks the rule.</summary>
    public static void Require(string? name)
    {
        if (!IsValid(name))
        {
            throw new ClusterException(ClusterError.Invalid, $"\"{Printable(name)}\" is not a VM name: use 1 to {MaxLength} of a-z, 0-9 and '-', not beginning with '-'.");
        }
    }

    private static string Printable(string? name) =>
        new((name ?? "").Where(c => !char.IsControl(c)).Take(MaxLength + 1).ToArray());
}
