using Iced.Intel;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>What runs single instructions of a guest on states.</summary>
internal unsafe interface IUnit : IDisposable
{
    /// <summary>What the last instruction that did not complete met.</summary>
    string Failure { get; }

    /// <summary>Prepares an instruction; false: it is not known.</summary>
    bool Load(Instruction instruction);

    /// <summary>Runs it on a state; false: it faulted.</summary>
    bool Run(UnitState* state);
}
