using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Snapshot;

namespace Godwit.Engine.Checkpoint;

/// <summary>Builds a machine from a chain of checkpoint files: a whole one and those that continue it.</summary>
public static class CheckpointReader
{
    /// <summary>
    /// Reads each stream to its end, in order. The machine does not run. Throws <see cref="SnapshotException"/>, and
    /// leaves nothing behind, where a file is damaged, cut short or not the one that continues the one before, where the
    /// whole does not have the digest expected, or where <paramref name="build"/> refuses.
    /// </summary>
    /// <param name="digest">As <see cref="CheckpointReport.Digest"/> of the last one said.</param>
    /// <param name="build">Makes an empty machine, not running, from a spec that is well-formed but a stranger's.</param>
    public static async Task<IMigratableMachine> ReadAsync(IReadOnlyList<Stream> chain, string digest, Func<MachineSpec, IMigratableMachine> build, CancellationToken cancellation)
    {
        Chain files = new(build);
        try
        {
            foreach (Stream file in chain)
                await files.AddAsync(file, cancellation).ConfigureAwait(false);
            return files.Finish(digest);
        }
#pragma warning disable CA1031 // the restore's edge: whatever went wrong, the machine goes
        catch (Exception cause)
#pragma warning restore CA1031
        {
            if (files.Machine is { } machine)
                await MachineDisposal.DisposeAsync(machine).ConfigureAwait(false);
            if (cause is SnapshotException || (cause is OperationCanceledException && cancellation.IsCancellationRequested))
                throw;
            throw new SnapshotException($"checkpoint: {cause.Message.Split('\r', '\n')[0]}", cause);
        }
    }

    private sealed class Chain(Func<MachineSpec, IMigratableMachine> build)
    {
        private const int HexDigits = 32;

        private List<StateSection> _state = [];
        private PageBitmap _held = null!;
        private PageHashTree _tree = null!;
        private long _number;
        private long _stateBytes;
        private int _others;
        private string? _digest;

        public IMigratableMachine? Machine { get; private set; }

        public async Task AddAsync(Stream file, CancellationToken cancellation)
        {
            SectionReader sections = new(SnapshotFormat.Checkpoint, file, cancellation);
            await sections.BeginAsync().ConfigureAwait(false);
            Begin(await sections.NextAsync().ConfigureAwait(false));
            Step(await sections.NextAsync().ConfigureAwait(false));
            (_state, _stateBytes, _others, _digest) = ([], 0, 0, null);
            while (await sections.NextAsync().ConfigureAwait(false) is { Tag: not SnapshotFormat.End } section)
                Take(section);
            await sections.EndAsync().ConfigureAwait(false);
        }

        public IMigratableMachine Finish(string expected)
        {
            if (Machine is null)
                throw new SnapshotException("checkpoint: there is none");
            string found = CheckpointDigest.Compute(_number, _tree, StateSections.Digest(_state));
            if (found != _digest || found != expected)
                throw new SnapshotException($"checkpoint {_number}: memory and state have the digest {found}, not {expected}");
            Machine.LoadState(_state);
            return Machine;
        }

        private void Begin(Section spec)
        {
            if (spec.Tag != SnapshotFormat.Spec)
                throw new SnapshotException("checkpoint: the machine's spec is missing");
            MachineSpec described = MachineSpecCodec.Decode(spec.Payload);
            if (Machine is { } machine)
            {
                if (machine.Spec != described)
                    throw new SnapshotException("checkpoint: a file of another machine is among them");
                return;
            }
            Machine = build(described);
            _held = new PageBitmap(Machine.Memory.PageCount);
            _tree = new PageHashTree(Machine.Memory.PageCount);
            foreach (PageRange extent in Machine.Memory.AllocatedExtents().ToArray())
                Machine.Memory.Discard(extent);
        }

        private void Step(Section step)
        {
            if (step.Tag != SnapshotFormat.Step || step.Payload.Length != 2 * sizeof(long))
                throw new SnapshotException("checkpoint: its number is missing");
            long number = BinaryPrimitives.ReadInt64LittleEndian(step.Payload.Span);
            long since = BinaryPrimitives.ReadInt64LittleEndian(step.Payload.Span[sizeof(long)..]);
            if (since != _number || number <= since)
                throw new SnapshotException($"checkpoint {number} continues {since}, which is not the one before it ({_number})");
            _number = number;
        }

        private void Take(Section section)
        {
            if (++_others > SnapshotFormat.MaxSections && section.Tag is not SnapshotFormat.Ram and not SnapshotFormat.Zero)
                throw new SnapshotException($"checkpoint: more than {SnapshotFormat.MaxSections} sections");
            switch (section.Tag)
            {
                case SnapshotFormat.Ram:
                    TakeRam(section.Payload.Span);
                    break;
                case SnapshotFormat.Zero:
                    TakeZeros(section.Payload.Span);
                    break;
                case SnapshotFormat.Digest when section.Payload.Length == HexDigits:
                    _digest = Encoding.ASCII.GetString(section.Payload.Span);
                    break;
                case var tag when tag.StartsWith(SnapshotFormat.StatePrefix, StringComparison.Ordinal):
                    TakeState(tag[SnapshotFormat.StatePrefix.Length..], section);
                    break;
                case var tag when section.Critical:
                    throw new SnapshotException($"checkpoint: section '{tag}' is unknown to this version of Godwit");
            }
        }

        private void TakeState(string tag, Section section)
        {
            _stateBytes += section.Payload.Length;
            if (_stateBytes > SnapshotFormat.MaxState)
                throw new SnapshotException($"checkpoint: more than {SnapshotFormat.MaxState >> 20} MiB of CPU and device state");
            if (_state.Any(other => other.Tag == tag))
                throw new SnapshotException($"checkpoint: section '{section.Tag}' is there twice");
            _state.Add(new StateSection(tag, section.Critical, section.Payload));
        }

        private void TakeRam(ReadOnlySpan<byte> payload)
        {
            if (payload.Length < SnapshotFormat.ChunkHeaderBytes || payload[0] != (byte)RamEncoding.Raw)
                throw new SnapshotException("checkpoint: a section of memory is damaged");
            uint first = BinaryPrimitives.ReadUInt32LittleEndian(payload[1..]);
            uint pages = BinaryPrimitives.ReadUInt32LittleEndian(payload[5..]);
            Require(first, pages, SnapshotFormat.ChunkPages);
            ReadOnlySpan<byte> contents = payload[SnapshotFormat.ChunkHeaderBytes..];
            if (contents.Length != (int)pages * PageNumber.Size)
                throw new SnapshotException("checkpoint: a section of memory is damaged");
            for (int i = 0; i < (int)pages; i++)
            {
                PageNumber page = new(first + (ulong)i);
                ReadOnlySpan<byte> bytes = contents.Slice(i * PageNumber.Size, PageNumber.Size);
                if (PageHashTree.IsZero(bytes))
                {
                    Clear(page);
                    continue;
                }
                Machine!.Memory.TryWrite(page.Address, bytes);
                _held.Add(page);
                _tree.Set(page, PageHashTree.HashPage(bytes));
            }
        }

        private void TakeZeros(ReadOnlySpan<byte> payload)
        {
            if (payload.Length % 8 != 0)
                throw new SnapshotException("checkpoint: a section of zero pages is damaged");
            for (; !payload.IsEmpty; payload = payload[8..])
            {
                uint first = BinaryPrimitives.ReadUInt32LittleEndian(payload);
                uint pages = BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]);
                Require(first, pages, Machine!.Memory.PageCount);
                for (PageNumber? page = _held.Next(new PageNumber(first)); page is { } held && held.Value < first + (ulong)pages; page = _held.Next(held))
                    Clear(held);
            }
        }

        private void Require(uint first, uint pages, int most)
        {
            if (pages == 0 || pages > (uint)most || first + (ulong)pages > (ulong)Machine!.Memory.PageCount)
                throw new SnapshotException($"checkpoint: {pages} pages at 0x{first:x} do not fit the machine's memory");
        }

        private void Clear(PageNumber page)
        {
            if (!_held.Contains(page))
                return;
            Machine!.Memory.Discard(new PageRange(page, 1));
            _held.Remove(page);
            _tree.Set(page, UInt128.Zero);
        }
    }
}
