using System.Globalization;
using System.Text;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>
/// Which share of a run's instructions retired in host code, and what led out of it: for each instruction that did, how
/// often, and how many instructions the interpreter executed until host code was entered again. Costs some percent while
/// it is attached (see <see cref="TranslatorBackend.Statistics"/>); one thread.
/// </summary>
public sealed unsafe class TranslatorStatistics
{
    private readonly Dictionary<nint, string> _names = [];
    private readonly Dictionary<string, (long Times, long Interpreted)> _cuts = [];
    private string _cut = "before the first entry";
    private ulong _left;
    private ulong _entered;

    /// <summary>Instructions that retired in host code.</summary>
    public long Native { get; private set; }

    /// <summary>What led out of host code, or kept from entering it: how often, and instructions interpreted after it.</summary>
    public IReadOnlyDictionary<string, (long Times, long Interpreted)> Cuts => _cuts;

    /// <summary>The share of host code in <paramref name="retired"/> instructions since the start, and the cuts that cost most, a line each.</summary>
    public string Report(ulong retired, int most)
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"{Native * 100.0 / Math.Max(retired, 1):F3} % of {retired:N0} instructions retired in host code");
        text.AppendLine(CultureInfo.InvariantCulture, $"{"times",14} {"interpreted",14} {"share",8}  after");
        foreach ((string cut, (long times, long interpreted)) in _cuts.OrderByDescending(pair => pair.Value.Interpreted).Take(most))
            text.AppendLine(CultureInfo.InvariantCulture, $"{times,14:N0} {interpreted,14:N0} {interpreted * 100.0 / Math.Max(retired, 1),7:F3}%  {cut}");
        return text.ToString();
    }

    /// <summary>Counts anew from here; not while the vCPU runs.</summary>
    public void Restart()
    {
        _cuts.Clear();
        Native = 0;
    }

    /// <summary>A block was looked at: its instructions may lead out of host code, or not be translated at all.</summary>
    internal void Name(BlockTranslator blocks, Block* block)
    {
        ReadOnlySpan<GuestInstruction> instructions = blocks.Instructions(block);
        for (int i = 0; i < instructions.Length; i++)
        {
            ref readonly GuestInstruction guest = ref instructions[i];
            string why = guest.Form == Form.Interpreted ? "left out" : "translated, but did not go smoothly";
            _names[(nint)blocks.Start(i)] = $"{Name(guest.Instruction)} ({why})";
        }
    }

    /// <summary>A block is gone; its ops become others'.</summary>
    internal void Forget(Block* block)
    {
        for (int i = 0; i < block->Ops; i++)
            _names.Remove((nint)((Op*)(block + 1) + i));
    }

    internal void Clear() => _names.Clear();

    internal void Enter(VcpuContext* c, Op* op)
    {
        _entered = Position(c, op);
        (long times, long interpreted) = _cuts.GetValueOrDefault(_cut);
        _cuts[_cut] = (times + 1, interpreted + (long)(_entered - _left));
    }

    internal void Leave(VcpuContext* c, Op* next)
    {
        _left = next != null ? Position(c, next) : c->State.RetiredInstructions;
        Native += (long)(_left - _entered);
        if (next == null)
        {
            _cut = Unlinked(c);
            return;
        }
        Op* at = next;
        if ((at->Flags & (byte)(OpFlags.Internal | OpFlags.Branch)) == (byte)OpFlags.Internal)
            at++;
        _cut = (at->Flags & (byte)OpFlags.Internal) != 0 ? "the end of a block" : _names.GetValueOrDefault((nint)at, "a branch to a block that is not hot");
    }

    /// <summary>Why a branch to RIP leads out.</summary>
    private string Unlinked(VcpuContext* c)
    {
        if (c->ExitRequest != 0 || c->Budget < 0)
            return "the end of a slice";
        Block* block = JumpCache.Find(c, c->State.Rip);
        if (block == null)
            return "a branch to a block that is not known by RIP";
        string to = block->Native != 0 ? "a translated block" : $"a block that begins with {_names.GetValueOrDefault((nint)Block.First(block), "what is not hot")}";
        return $"a branch {(c->NativeLink != 0 ? "that is not linked " : "")}to {to}{(block->SecondPage != Block.OnePage ? " that crosses pages" : "")}";
    }

    private static string Name(in Instruction instruction)
    {
        string prefix = instruction.HasRepPrefix || instruction.HasRepnePrefix ? "rep " : instruction.HasLockPrefix ? "lock " : "";
        return prefix + instruction.Code;
    }

    /// <summary>Instructions that retired before an op: a block is charged for as a whole when it is entered.</summary>
    private static ulong Position(VcpuContext* c, Op* op)
    {
        bool end = (op->Flags & (byte)(OpFlags.Internal | OpFlags.Branch)) == (byte)(OpFlags.Internal | OpFlags.Branch);
        return c->State.RetiredInstructions - (end ? 0ul : op->Remaining + 1u);
    }
}
