using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Makes host code of blocks that run often. It has an op in front of a block's others (internal, of length 0), which
/// counts until the block is worth it and enters the host code from then on. Host code goes on with any op of its block
/// whenever it does not know what to do: its state is the interpreter's.
/// </summary>
internal unsafe interface IBlockTranslator
{
    /// <summary>Where blocks are found by RIP; set before anything is decoded.</summary>
    JumpCache? Jumps { set; }

    /// <summary>Finds blocks that the jump cache does not know any more; set before anything is decoded.</summary>
    BlockFinder? Blocks { set; }

    /// <summary>Decodes blocks beside others; set before anything is decoded.</summary>
    BlockNeighbour? Neighbour { set; }

    /// <summary>To be called where host code has changed the privilege or EFLAGS.AC; set before anything is decoded.</summary>
    Action? Switched { set; }

    /// <summary>Counts how long translating takes; set before anything is decoded.</summary>
    WorkLog? Work { set; }

    /// <summary>Puts the counting op at the start of a block where the block may be translated, and moves past it.</summary>
    void Open(ref Op* op, ulong rip, byte mode);

    /// <summary>
    /// The handler of an op's instruction alone. Ops behind an instruction that is left to the interpreter may lead into
    /// host code too; those have a <see cref="Op.Link"/> though they are no branches.
    /// </summary>
    delegate*<VcpuContext*, Op*, Op*> Plain(Op* op);

    /// <summary>Where host code of a block is entered by branches that know its RIP: the translation, or what leads out with the RIP in R10.</summary>
    void* Entry(Block* block);

    /// <summary>A block is gone, and known by RIP no more: its translation is not to be entered again.</summary>
    void Dropped(Block* block);

    /// <summary>Translations of code pages have changed: what was found by RIP alone may be elsewhere.</summary>
    void JumpsFlushed();

    /// <summary>Every block is being dropped, and with them what was made of them.</summary>
    void Clear();
}

/// <summary>The block at a RIP, in the mode and with the rights of now, where it is there without a fault and needs no decoding; else null.</summary>
internal unsafe delegate Block* BlockFinder(ulong rip);

/// <summary>The block at a RIP in the page of another one, decoded where it is not there; null: there is no room, or its first instruction crosses the page's end.</summary>
internal unsafe delegate Block* BlockNeighbour(Block* block, ulong rip);
