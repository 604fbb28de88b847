using System.Buffers.Binary;
using System.IO.Compression;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;

namespace Godwit.Engine.Snapshot;

/// <summary>Restores a machine from a file that may be anything at all.</summary>
public static class SnapshotReader
{
    /// <summary>
    /// Builds the machine that the snapshot describes and fills it; it does not run. Reads the stream to its end.
    /// Throws <see cref="SnapshotException"/>, and leaves nothing behind, where the file is damaged, cut short, too
    /// long or foreign, or where <paramref name="build"/> refuses.
    /// </summary>
    /// <param name="build">Makes an empty machine, not running, from a spec that is well-formed but a stranger's.</param>
    public static async Task<IMigratableMachine> ReadAsync(Stream source, Func<MachineSpec, IMigratableMachine> build, CancellationToken cancellation)
    {
        Restore restore = new(source, build, cancellation);
        try
        {
            return await restore.RunAsync().ConfigureAwait(false);
        }
#pragma warning disable CA1031 // the restore's edge: whatever went wrong, the machine goes
        catch (Exception cause)
#pragma warning restore CA1031
        {
            if (restore.Machine is { } machine)
                await MachineDisposal.DisposeAsync(machine).ConfigureAwait(false);
            if (cause is SnapshotException || (cause is OperationCanceledException && cancellation.IsCancellationRequested))
                throw;
            throw new SnapshotException($"snapshot: {cause.Message.Split('\r', '\n')[0]}", cause);
        }
    }

    private sealed class Restore(Stream source, Func<MachineSpec, IMigratableMachine> build, CancellationToken cancellation)
    {
        private readonly SectionReader _sections = new(SnapshotFormat.Snapshot, source, cancellation);
        private readonly List<StateSection> _state = [];
        private readonly byte[] _chunk = new byte[SnapshotFormat.ChunkBytes];
        private ulong _nextPage;
        private long _stateBytes;
        private int _others;

        public IMigratableMachine? Machine { get; private set; }

        public async Task<IMigratableMachine> RunAsync()
        {
            await _sections.BeginAsync().ConfigureAwait(false);
            Section spec = await _sections.NextAsync().ConfigureAwait(false);
            if (spec.Tag != SnapshotFormat.Spec)
                throw new SnapshotException("snapshot: the machine's spec is missing");
            Machine = build(MachineSpecCodec.Decode(spec.Payload));
            foreach (PageRange extent in Machine.Memory.AllocatedExtents().ToArray())
                Machine.Memory.Discard(extent);

            while (await _sections.NextAsync().ConfigureAwait(false) is { Tag: not SnapshotFormat.End } section)
                Take(section);
            await _sections.EndAsync().ConfigureAwait(false);
            Machine.LoadState(_state);
            return Machine;
        }

        private void Take(Section section)
        {
            if (section.Tag == SnapshotFormat.Ram)
            {
                TakeRam(section.Payload.Span);
                return;
            }
            if (++_others > SnapshotFormat.MaxSections)
                throw new SnapshotException($"snapshot: more than {SnapshotFormat.MaxSections} sections");
            if (section.Tag.StartsWith(SnapshotFormat.StatePrefix, StringComparison.Ordinal))
                TakeState(section);
            else if (section.Critical)
                throw new SnapshotException($"snapshot: section '{section.Tag}' is unknown to this version of Godwit");
        }

        private void TakeState(Section section)
        {
            string tag = section.Tag[SnapshotFormat.StatePrefix.Length..];
            _stateBytes += section.Payload.Length;
            if (_stateBytes > SnapshotFormat.MaxState)
                throw new SnapshotException($"snapshot: more than {SnapshotFormat.MaxState >> 20} MiB of CPU and device state");
            if (_state.Any(other => other.Tag == tag))
                throw new SnapshotException($"snapshot: section '{section.Tag}' is there twice");
            _state.Add(new StateSection(tag, section.Critical, section.Payload));
        }

        private void TakeRam(ReadOnlySpan<byte> payload)
        {
            if (payload.Length < SnapshotFormat.ChunkHeaderBytes)
                throw new SnapshotException("snapshot: a section of memory is cut short");
            uint first = BinaryPrimitives.ReadUInt32LittleEndian(payload[1..]);
            uint pages = BinaryPrimitives.ReadUInt32LittleEndian(payload[5..]);
            // Ascending, so that no file costs more work than the machine has memory.
            if (pages is 0 or > SnapshotFormat.ChunkPages || first < _nextPage || first + (ulong)pages > (ulong)Machine!.Memory.PageCount)
                throw new SnapshotException($"snapshot: {pages} pages at 0x{first:x} do not fit the machine's memory");
            _nextPage = first + (ulong)pages;
            ReadOnlySpan<byte> contents = Decode((RamEncoding)payload[0], payload[SnapshotFormat.ChunkHeaderBytes..], (int)pages * PageNumber.Size);
            for (int i = 0; i < (int)pages; i++)
            {
                ReadOnlySpan<byte> page = contents.Slice(i * PageNumber.Size, PageNumber.Size);
                if (!PageHashTree.IsZero(page))
                    Machine.Memory.TryWrite(new PageNumber(first + (ulong)i).Address, page);
            }
        }

        private ReadOnlySpan<byte> Decode(RamEncoding encoding, ReadOnlySpan<byte> stored, int bytes) => encoding switch
        {
            RamEncoding.Raw when stored.Length == bytes => stored,
            RamEncoding.Brotli when BrotliDecoder.TryDecompress(stored, _chunk.AsSpan(0, bytes), out int written) && written == bytes => _chunk.AsSpan(0, bytes),
            RamEncoding.Raw or RamEncoding.Brotli => throw new SnapshotException("snapshot: a section of memory is damaged"),
            _ => throw new SnapshotException($"snapshot: memory encoding {(byte)encoding} is unknown to this version of Godwit"),
        };
    }
}
