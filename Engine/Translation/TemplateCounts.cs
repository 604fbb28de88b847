namespace Godwit.Engine.Translation;

/// <summary>What has become of the templates of one vCPU's translator.</summary>
public record struct TemplateCounts
{
    /// <summary>Templates made, one for each translation.</summary>
    public long Made { get; set; }

    /// <summary>Translations made of templates.</summary>
    public long Reused { get; set; }

    /// <summary>Templates found that were of no use, for the guest's code has changed since.</summary>
    public long Changed { get; set; }

    /// <summary>Templates found that were of no use for other reasons: another encoding at this RIP, or no room for decoded blocks.</summary>
    public long Unfit { get; set; }

    /// <summary>Of several vCPUs together.</summary>
    public static TemplateCounts Sum(IEnumerable<TemplateCounts> vcpus)
    {
        TemplateCounts sum = default;
        foreach (TemplateCounts counts in vcpus)
        {
            sum.Made += counts.Made;
            sum.Reused += counts.Reused;
            sum.Changed += counts.Changed;
            sum.Unfit += counts.Unfit;
        }
        return sum;
    }
}
