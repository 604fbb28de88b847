using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Benchmarks;

/// <summary>
/// A piece of code that runs as often as asked for, natively and in a guest. It finds <see cref="DataBytes"/> bytes of
/// data at RBX, may destroy all registers but RBX, RBP and RSP, and must not depend on what they hold.
/// </summary>
/// <param name="Name">What the table shows.</param>
/// <param name="Write">Writes the code of one round.</param>
internal sealed record Kernel(string Name, Action<Assembler> Write)
{
    public const int DataBytes = 1 << 20;

    /// <summary>Offset of the number of rounds, behind the data.</summary>
    public const int Rounds = DataBytes;

    /// <summary>All rounds; <paramref name="end"/> writes what follows them.</summary>
    public void WriteAll(Assembler a, Action<Assembler> end)
    {
        Label top = a.CreateLabel();
        a.mov(rbp, __qword_ptr[rbx + Rounds]);
        a.Label(ref top);
        Write(a);
        a.dec(rbp);
        a.jnz(top);
        end(a);
    }

    /// <summary>What the data is before the first round: small numbers as doubles.</summary>
    public static byte[] Data()
    {
        double[] numbers = new double[DataBytes / sizeof(double)];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = 1 + i % 97 / 128.0;
        byte[] bytes = new byte[DataBytes];
        Buffer.BlockCopy(numbers, 0, bytes, 0, bytes.Length);
        return bytes;
    }
}
