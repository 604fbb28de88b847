namespace Godwit.Cli.Guest;

/// <summary>The steps of a fetch, in order. Steps that a cache makes needless are not reported.</summary>
public enum GuestFetchStage
{
    WaitingForOther,
    PackageLists,
    Download,
    Unpack,
}

/// <param name="Stage">What is being done.</param>
/// <param name="Percent">0 to 100 of this stage.</param>
public readonly record struct GuestFetchProgress(GuestFetchStage Stage, double Percent);
