using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Where guest registers are while translated code runs. Most are in the host register of the same name; RSP is in R8
/// and RAX in R9, since RAX is needed for flags; R8 to R11 and R15, the rarest, stay in the context, which R15 points to.
/// </summary>
internal static class HostRegisters
{
    public const int Rax = 0, Stack = 8, Accumulator = 9, First = 10, Second = 11, Context = 15;

    /// <summary>The host register by the guest's encoding; -1: in the context.</summary>
    private static ReadOnlySpan<sbyte> Homes => [Accumulator, 1, 2, 3, Stack, 5, 6, 7, -1, -1, -1, -1, 12, 13, 14, -1];

    public static int Home(int guest) => Homes[guest];

    public static int Number(Register guest) => guest.GetFullRegister() - Register.RAX;

    /// <summary>The host's register of a number, in the size of a guest's.</summary>
    public static Register OfSize(int number, Register like) => like.GetSize() switch
    {
        8 => Register.RAX + number,
        4 => Register.EAX + number,
        2 => Register.AX + number,
        _ => number < 4 ? Register.AL + number : Register.SPL + (number - 4),
    };
}
