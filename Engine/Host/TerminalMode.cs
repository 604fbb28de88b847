using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>Puts the terminal of standard input into raw mode until disposed; does nothing where it is not a terminal.</summary>
public sealed unsafe class TerminalMode : IDisposable
{
    // struct termios of glibc is 60 bytes and of musl no larger; its content is opaque here.
    private const int TermiosBytes = 256;
    private const int StandardInput = 0;

    private readonly byte[]? _saved;

    private TerminalMode(byte[]? saved) => _saved = saved;

    public static TerminalMode Raw()
    {
        byte[] saved = new byte[TermiosBytes];
        byte[] raw = new byte[TermiosBytes];
        fixed (byte* old = saved, changed = raw)
        {
            if (Native.Tcgetattr(StandardInput, old) != 0)
                return new TerminalMode(null);
            saved.CopyTo(raw, 0);
            Native.Cfmakeraw(changed);
            _ = Native.Tcsetattr(StandardInput, Native.TCSANOW, changed);
        }
        return new TerminalMode(saved);
    }

    /// <summary>Whether standard input is a terminal.</summary>
    public bool IsTerminal => _saved is not null;

    public void Dispose()
    {
        if (_saved is null)
            return;
        fixed (byte* old = _saved)
            _ = Native.Tcsetattr(StandardInput, Native.TCSANOW, old);
    }
}
