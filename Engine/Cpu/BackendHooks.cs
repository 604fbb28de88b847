using Godwit.Engine.Memory;

namespace Godwit.Engine.Cpu;

/// <summary>
/// A back end's cache of address translations, told by the instructions that change what it may hold. The default
/// caches nothing. Changes of mode or privilege need no call: a handler that makes one leaves the dispatch loop.
/// </summary>
public interface ITranslationCache
{
    /// <summary>Drops every translation of every PCID, global ones included (CR0, CR4, EFER changes). The current PCID is what CR3 and CR4 say now.</summary>
    void FlushAll();

    /// <summary>Drops the translations of every PCID that are not global (INVPCID).</summary>
    void FlushNonGlobal();

    /// <summary>Drops the translations of one PCID that are not global (a write of CR3, a task switch, INVPCID). It is 0 without CR4.PCIDE.</summary>
    void FlushNonGlobal(int pcid);

    /// <summary>A PCID has become current, after whatever had to be dropped of it.</summary>
    void Enter(int pcid);

    /// <summary>Drops the current PCID's translation of one page, and global ones of it (INVLPG).</summary>
    void FlushPage(ulong linear);

    /// <summary>Drops a PCID's translation of one page (INVPCID).</summary>
    void FlushPage(ulong linear, int pcid);

    /// <summary>Drops every cached permission to write: the next store to any page is marked in the dirty log again.</summary>
    void RevokeWritePermissions();

    /// <summary>Drops the permission to write one page: another vCPU decodes code from it.</summary>
    void RevokeWritePermission(PageNumber page);
}

/// <summary>A back end's cache of decoded code. Whoever stores to guest memory on the vCPU's thread tells it. The default holds none.</summary>
public interface ICodeWatcher
{
    /// <summary>Whether code of the page has been decoded.</summary>
    bool IsCode(PageNumber page);

    /// <summary>Bytes of a code page were stored. They lie in one page.</summary>
    void Written(GuestPhysicalAddress address, int length);
}

/// <summary>The hooks of a vCPU whose back end caches nothing.</summary>
internal sealed class NoCaches : ITranslationCache, ICodeWatcher
{
    public static NoCaches Instance { get; } = new();

    public void FlushAll()
    {
    }

    public void FlushNonGlobal()
    {
    }

    public void FlushNonGlobal(int pcid)
    {
    }

    public void Enter(int pcid)
    {
    }

    public void FlushPage(ulong linear)
    {
    }

    public void FlushPage(ulong linear, int pcid)
    {
    }

    public void RevokeWritePermissions()
    {
    }

    public void RevokeWritePermission(PageNumber page)
    {
    }

    public bool IsCode(PageNumber page) => false;

    public void Written(GuestPhysicalAddress address, int length)
    {
    }
}
