using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>A pointer to the code that executes an op.</summary>
public readonly unsafe struct Handler(delegate*<VcpuContext*, Op*, Op*> pointer)
{
    public delegate*<VcpuContext*, Op*, Op*> Pointer { get; } = pointer;

    /// <summary>No handler: the form does not exist (#UD).</summary>
    public bool IsNone => Pointer == null;
}

/// <summary>
/// Picks the handler for an instruction of the row's mnemonic and may refine the op, whose operands, immediate, memory
/// operand and length the decoder has already filled in. Returning default means #UD.
/// </summary>
public delegate Handler Selector(in Instruction instruction, ref Op op);

/// <summary>One row of the instruction table. Families (a file each) hold arrays of rows; the table is their union.</summary>
public sealed record Row(Mnemonic Mnemonic, Selector Select)
{
    /// <summary>
    /// Nothing is decoded past it and the dispatcher looks at everything anew afterwards: it may change mode, privilege,
    /// translation or interrupt flag, or it looks at the instruction count (time). Branches end blocks anyway.
    /// </summary>
    public bool EndsBlock { get; init; }
}
