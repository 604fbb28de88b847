using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Slots for process-context identifiers (SDM 3A, 4.10.1): user translations of so many PCIDs are kept side by side. A
/// PCID that has none takes the slot that was not entered for longest. Without CR4.PCIDE all is PCID 0's.
/// </summary>
internal sealed class AddressSpaces
{
    /// <summary>Linux goes round six PCIDs, and has one more for its own early page tables.</summary>
    public const int Count = 8;

    private const int Nobody = -1;

    private readonly int[] _pcids = [0, .. Enumerable.Repeat(Nobody, Count - 1)];
    private readonly long[] _enteredAt = new long[Count];
    private long _entries;

    /// <summary>The slot of the current PCID.</summary>
    public int Current { get; private set; }

    /// <summary>The PCID that CR3 and CR4 make current.</summary>
    public static int PcidOf(in CpuState state) => (state.Cr4 & Cr4.PCIDE) != 0 ? (int)(state.Cr3 & Cr3.PcidMask) : 0;

    /// <summary>The slot of a PCID, or -1.</summary>
    public int SlotOf(int pcid) => Array.IndexOf(_pcids, pcid);

    /// <summary>Makes a PCID current; true: its slot was another's, whose translations must go.</summary>
    public bool Enter(int pcid)
    {
        int slot = SlotOf(pcid);
        bool taken = slot < 0;
        if (taken)
        {
            slot = 0;
            for (int i = 1; i < Count; i++)
                if (_enteredAt[i] < _enteredAt[slot])
                    slot = i;
            _pcids[slot] = pcid;
        }
        _enteredAt[slot] = ++_entries;
        Current = slot;
        return taken;
    }
}
