using System.Diagnostics;

namespace Godwit.Silo.Commands;

/// <summary>
/// Ends this process when the one that started it is gone, however that ended: a throw-away cluster leaves nothing behind.
/// The starter holds the other end of standard input and sets $GODWIT_ENDS_WITH_PARENT.
/// </summary>
internal static class ParentWatch
{
    public const string Variable = "GODWIT_ENDS_WITH_PARENT";

    public static void Start()
    {
        if (Environment.GetEnvironmentVariable(Variable) != "1")
        {
            return;
        }

        new Thread(WaitForEnd) { IsBackground = true, Name = "parent watch" }.Start();
    }

    private static void WaitForEnd()
    {
        using var input = Console.OpenStandardInput();
        var nothing = new byte[64];
        while (input.Read(nothing) > 0)
        {
            // Nobody has anything to say here; only the end counts.
        }

        // At once: there is nobody left to whom an orderly end would matter.
        Process.GetCurrentProcess().Kill();
    }
}
