using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Interpreter.Vex;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>PCLMULQDQ: products of polynomials over GF(2), of the halves that bits 0 and 4 of the control choose.</summary>
internal static class CarrylessMultiply
{
    public static readonly Row[] Rows =
    [
        PackedRows.Controlled<Product>(Mnemonic.Pclmulqdq),
        VexRows.Controlled<Product>(Mnemonic.Vpclmulqdq),
    ];

    /// <summary>The product by shifts, on any host.</summary>
    public static Vector128<ulong> Portable(ulong left, ulong right)
    {
        UInt128 product = 0;
        for (int i = 0; i < 64; i++)
        {
            if ((right >> i & 1) != 0)
                product ^= (UInt128)left << i;
        }
        return Vector128.Create((ulong)product, (ulong)(product >> 64));
    }

    internal readonly struct Product : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            ulong first = left.AsUInt64().GetElement((int)(control & 1)), second = right.AsUInt64().GetElement((int)(control >> 4 & 1));
            Vector128<ulong> product = Pclmulqdq.IsSupported
                ? Pclmulqdq.CarrylessMultiply(Vector128.CreateScalar(first), Vector128.CreateScalar(second), 0)
                : Portable(first, second);
            return product.AsByte();
        }
    }
}
