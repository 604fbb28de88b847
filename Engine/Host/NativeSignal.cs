using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>Handlers of synchronous signals that are native code: they run where no managed code may.</summary>
internal static unsafe class NativeSignal
{
    public const int SIGILL = 4, SIGTRAP = 5, SIGBUS = 7, SIGFPE = 8, SIGSEGV = 11;

    private const int SA_SIGINFO = 4, SA_ONSTACK = 0x0800_0000;

    /// <summary>Has a signal of this process handled by code at an address, on the thread's alternate stack, replacing the runtime's own handler.</summary>
    public static void Handle(int signal, nint handler)
    {
        SigAction action = new() { Handler = handler, Flags = SA_SIGINFO | SA_ONSTACK };
        if (Native.SigAction(signal, &action, null) != 0)
            throw new InvalidOperationException($"sigaction({signal}): {Marshal.GetLastPInvokeErrorMessage()}");
    }

    /// <summary>struct sigaction of the C library on x86-64 (bits/sigaction.h).</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct SigAction
    {
        public nint Handler;
        public fixed ulong Mask[16];
        public int Flags;
        public nint Restorer;
    }
}
