using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>FADD, FSUB, FSUBR, FMUL, FDIV, FDIVR with their popping and integer forms.</summary>
internal static unsafe class X87Arithmetic
{
    public static readonly Row[] Rows =
    [
        .. Forms<Add>(Mnemonic.Fadd, Mnemonic.Faddp, Mnemonic.Fiadd),
        .. Forms<Subtract>(Mnemonic.Fsub, Mnemonic.Fsubp, Mnemonic.Fisub),
        .. Forms<Reversed<Subtract>>(Mnemonic.Fsubr, Mnemonic.Fsubrp, Mnemonic.Fisubr),
        .. Forms<Multiply>(Mnemonic.Fmul, Mnemonic.Fmulp, Mnemonic.Fimul),
        .. Forms<Divide>(Mnemonic.Fdiv, Mnemonic.Fdivp, Mnemonic.Fidiv),
        .. Forms<Reversed<Divide>>(Mnemonic.Fdivr, Mnemonic.Fdivrp, Mnemonic.Fidivr),
    ];

    private interface IOperation
    {
        static abstract Number Apply(in Number target, in Number source, FloatFormat format, ref FloatControl control);
    }

    private static Row[] Forms<TOperation>(Mnemonic plain, Mnemonic popping, Mnemonic integer)
        where TOperation : struct, IOperation
    {
        Selector select = (in Instruction instruction, ref Op op) =>
        {
            if (instruction.Op0Kind == OpKind.Memory)
                return new Handler(instruction.MemorySize switch
                {
                    MemorySize.Float32 => &Memory<TOperation, SingleSource, uint>,
                    MemorySize.Float64 => &Memory<TOperation, DoubleSource, ulong>,
                    MemorySize.Int32 => &Memory<TOperation, DwordSource, int>,
                    _ => &Memory<TOperation, WordSource, short>,
                });
            X87Operands.Bind(instruction, ref op, pops: instruction.Mnemonic == popping ? 1u : 0);
            return new Handler(&Registers<TOperation>);
        };
        return [new(plain, select), new(popping, select), new(integer, select)];
    }

    private static Op* Memory<TOperation, TSource, T>(VcpuContext* c, Op* op)
        where TOperation : struct, IOperation
        where TSource : struct, IX87Source<T>
        where T : unmanaged
    {
        if (!X87Unit.Ready(c, op) || !GuestAccess.Load(c, X87Unit.Address(c, op), out T bits))
            return VectorState.Leave(c, op);
        if (X87Unit.IsEmpty(c, 0))
        {
            if (X87Unit.Underflow(c))
                X87Unit.Set(c, 0, Number.Indefinite);
            return op + 1;
        }
        FloatControl control = X87Unit.Control(c);
        Number result = TOperation.Apply(X87Unit.Get(c, 0), TSource.Unpack(bits), X87Unit.Precision(c), ref control);
        if (X87Unit.Report(c, control))
            X87Unit.Set(c, 0, result);
        return op + 1;
    }

    private static Op* Registers<TOperation>(VcpuContext* c, Op* op)
        where TOperation : struct, IOperation
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        int target = op->Dst, source = op->Src;
        Number result = Number.Indefinite;
        bool deliver;
        if (X87Unit.IsEmpty(c, target) || X87Unit.IsEmpty(c, source))
            deliver = X87Unit.Underflow(c);
        else
        {
            FloatControl control = X87Unit.Control(c);
            result = TOperation.Apply(X87Unit.Get(c, target), X87Unit.Get(c, source), X87Unit.Precision(c), ref control);
            deliver = X87Unit.Report(c, control);
        }
        if (deliver)
        {
            X87Unit.Set(c, target, result);
            if (op->Extra != 0)
                X87Unit.Pop(c);
        }
        return op + 1;
    }

    private readonly struct Add : IOperation
    {
        public static Number Apply(in Number target, in Number source, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Add(target, source, format, ref control);
    }

    private readonly struct Subtract : IOperation
    {
        public static Number Apply(in Number target, in Number source, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Subtract(target, source, format, ref control);
    }

    private readonly struct Multiply : IOperation
    {
        public static Number Apply(in Number target, in Number source, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Multiply(target, source, format, ref control);
    }

    private readonly struct Divide : IOperation
    {
        public static Number Apply(in Number target, in Number source, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Divide(target, source, format, ref control);
    }

    private readonly struct Reversed<TOperation> : IOperation
        where TOperation : struct, IOperation
    {
        public static Number Apply(in Number target, in Number source, FloatFormat format, ref FloatControl control) =>
            TOperation.Apply(source, target, format, ref control);
    }
}
