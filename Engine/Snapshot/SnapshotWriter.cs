using System.Buffers.Binary;
using System.IO.Compression;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;

namespace Godwit.Engine.Snapshot;

/// <summary>Writes a whole machine: its spec, CPU and device state, and every page that is neither zero nor free.</summary>
public static class SnapshotWriter
{
    /// <summary>
    /// Writes the machine, which must be paused and stay so until this returns. Holes are not read. The stream is only
    /// written to, ascending, and stays open.
    /// </summary>
    public static async Task WriteAsync(IMigratableMachine paused, Stream destination, CancellationToken cancellation, RamEncoding encoding = RamEncoding.Raw)
    {
        using IDisposable hold = paused.Memory.Hold();
        SectionWriter sections = new(SnapshotFormat.Snapshot, destination, cancellation);
        await sections.BeginAsync().ConfigureAwait(false);
        await sections.WriteAsync(SnapshotFormat.Spec, true, MachineSpecCodec.Encode(paused.Spec)).ConfigureAwait(false);
        IReadOnlyList<StateSection> state = paused.SaveState();
        if (state.Sum(section => (long)section.Payload.Length) > SnapshotFormat.MaxState)
            throw new SnapshotException($"snapshot: more than {SnapshotFormat.MaxState >> 20} MiB of CPU and device state");
        foreach (StateSection section in state)
            await sections.WriteAsync(SnapshotFormat.StatePrefix + section.Tag, section.Critical, section.Payload).ConfigureAwait(false);
        await WriteRamAsync(paused.Memory, sections, encoding).ConfigureAwait(false);
        await sections.EndAsync().ConfigureAwait(false);
        await destination.FlushAsync(cancellation).ConfigureAwait(false);
    }

    private static async Task WriteRamAsync(GuestMemory memory, SectionWriter sections, RamEncoding encoding)
    {
        byte[] chunk = new byte[SnapshotFormat.ChunkHeaderBytes + SnapshotFormat.ChunkBytes];
        byte[] packed = new byte[chunk.Length];
        PageNumber first = default;
        int pages = 0;
        foreach (PageRange extent in memory.AllocatedExtents())
        {
            for (PageNumber page = extent.First; page != extent.End; page = new PageNumber(page.Value + 1))
            {
                Memory<byte> slot = chunk.AsMemory(SnapshotFormat.ChunkHeaderBytes + pages * PageNumber.Size, PageNumber.Size);
                if (!memory.Dirty.IsFree(page) && memory.TryRead(page.Address, slot.Span) && !PageHashTree.IsZero(slot.Span))
                {
                    first = pages++ == 0 ? page : first;
                    if (pages < SnapshotFormat.ChunkPages)
                        continue;
                }
                // A page that is left out ends the run, as a full chunk does.
                await FlushAsync().ConfigureAwait(false);
            }
            await FlushAsync().ConfigureAwait(false);
        }

        async Task FlushAsync()
        {
            if (pages == 0)
                return;
            ReadOnlyMemory<byte> section = Encode(chunk, packed, first, pages, encoding);
            pages = 0;
            await sections.WriteAsync(SnapshotFormat.Ram, true, section).ConfigureAwait(false);
        }
    }

    private static ReadOnlyMemory<byte> Encode(byte[] chunk, byte[] packed, PageNumber first, int pages, RamEncoding encoding)
    {
        const int header = SnapshotFormat.ChunkHeaderBytes;
        int raw = pages * PageNumber.Size;
        int length = 0;
        bool smaller = encoding == RamEncoding.Brotli
            && BrotliEncoder.TryCompress(chunk.AsSpan(header, raw), packed.AsSpan(header, raw - 1), out length, quality: 1, window: 18);
        byte[] section = smaller ? packed : chunk;
        section[0] = (byte)(smaller ? RamEncoding.Brotli : RamEncoding.Raw);
        BinaryPrimitives.WriteUInt32LittleEndian(section.AsSpan(1), (uint)first.Value);
        BinaryPrimitives.WriteInt32LittleEndian(section.AsSpan(5), pages);
        return section.AsMemory(0, header + (smaller ? length : raw));
    }
}
