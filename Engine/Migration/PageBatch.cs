using System.Buffers.Binary;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>
/// How a page's contents are given. An entry is the page's number (u32), this byte, and what the encoding needs.
/// A reader refuses what it does not know; numbers 2 to 4 are kept for zstd, delta and reference by hash.
/// </summary>
internal enum PageEncoding : byte
{
    /// <summary>All zeros; nothing follows.</summary>
    Zero = 0,

    /// <summary>4096 bytes.</summary>
    Raw = 1,
}

/// <summary>Pages on their way out, gathered into one frame.</summary>
internal sealed class PageBatch
{
    public const int MaxPages = 64;
    public const int EntryBytes = sizeof(uint) + sizeof(PageEncoding);
    public const int RawEntryBytes = EntryBytes + PageNumber.Size;

    private readonly byte[] _frame = new byte[Wire.HeaderBytes + MaxPages * RawEntryBytes];
    private int _end = Wire.HeaderBytes;

    /// <summary>Entries gathered.</summary>
    public int Pages { get; private set; }

    public bool IsFull => Pages == MaxPages;

    /// <summary>The frame with its room for the header; valid until <see cref="Clear"/>.</summary>
    public Memory<byte> Frame => _frame.AsMemory(0, _end);

    /// <summary>Where the next page's bytes are to be read to before <see cref="AddRead"/>.</summary>
    public Span<byte> Slot => _frame.AsSpan(_end + EntryBytes, PageNumber.Size);

    /// <summary>Adds the page whose bytes stand in <see cref="Slot"/>. Returns their hash, see <see cref="PageHashTree.HashPage"/>.</summary>
    public UInt128 AddRead(PageNumber page)
    {
        UInt128 hash = PageHashTree.HashPage(Slot);
        if (hash == UInt128.Zero)
        {
            AddZero(page);
            return hash;
        }
        Begin(page, PageEncoding.Raw);
        _end += PageNumber.Size;
        return hash;
    }

    public void AddZero(PageNumber page) => Begin(page, PageEncoding.Zero);

    public void Clear()
    {
        _end = Wire.HeaderBytes;
        Pages = 0;
    }

    private void Begin(PageNumber page, PageEncoding encoding)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(_frame.AsSpan(_end), (uint)page.Value);
        _frame[_end + sizeof(uint)] = (byte)encoding;
        _end += EntryBytes;
        Pages++;
    }
}

/// <summary>Walks the entries of a received frame; everything is checked before it is handed out.</summary>
internal ref struct PageEntries(ReadOnlySpan<byte> payload, int pageCount)
{
    private ReadOnlySpan<byte> _rest = payload;

    public PageNumber Page { get; private set; }

    /// <summary>The page's 4096 bytes; empty for a page of zeros.</summary>
    public ReadOnlySpan<byte> Contents { get; private set; }

    public bool MoveNext()
    {
        if (_rest.IsEmpty)
            return false;
        if (_rest.Length < PageBatch.EntryBytes)
            throw new LinkException("protocol error: a page entry is cut short");
        uint number = BinaryPrimitives.ReadUInt32LittleEndian(_rest);
        if (number >= (uint)pageCount)
            throw new LinkException($"protocol error: page 0x{number:x} of a machine with 0x{pageCount:x} pages");
        PageEncoding encoding = (PageEncoding)_rest[sizeof(uint)];
        _rest = _rest[PageBatch.EntryBytes..];
        Page = new PageNumber(number);
        switch (encoding)
        {
            case PageEncoding.Zero:
                Contents = default;
                return true;
            case PageEncoding.Raw when _rest.Length >= PageNumber.Size:
                Contents = _rest[..PageNumber.Size];
                _rest = _rest[PageNumber.Size..];
                return true;
            case PageEncoding.Raw:
                throw new LinkException("protocol error: a page is cut short");
            default:
                throw new LinkException($"protocol error: unknown page encoding {(byte)encoding}");
        }
    }
}
