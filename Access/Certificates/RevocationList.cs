namespace Godwit.Access.Certificates;

/// <summary>
/// Serials of certificates and tokens that count no more: the file <c>revoked</c> in the cluster folder, one serial (hex)
/// at the start of each line. Copied to every silo by whoever keeps the authority; a change is seen within a second.
/// </summary>
public sealed class RevocationList
{
    public const string FileName = "revoked";

    private static readonly TimeSpan _look = TimeSpan.FromSeconds(1);

    private readonly string _path;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private HashSet<string> _serials = [];
    private DateTime _written;
    private long? _looked;

    public RevocationList(string folder, TimeProvider time)
    {
        _path = Path.Combine(folder, FileName);
        _time = time;
    }

    public bool Contains(string serial)
    {
        lock (_lock)
        {
            if (_looked is null || _time.GetElapsedTime(_looked.Value) >= _look)
            {
                Read();
                _looked = _time.GetTimestamp();
            }

            return _serials.Contains(serial);
        }
    }

    public static void Add(string folder, string serial, string comment) =>
        File.AppendAllText(Path.Combine(folder, FileName), $"{serial} {comment}\n");

    private void Read()
    {
        var written = File.GetLastWriteTimeUtc(_path);
        if (written == _written)
        {
            return;
        }

        try
        {
            _serials = File.ReadLines(_path)
                .Select(l => l.Split(' ', 2)[0].Trim())
                .Where(s => s.Length > 0)
                .ToHashSet(StringComparer.OrdinalIgnoreCase);
            _written = written;
        }
        catch (FileNotFoundException)
        {
            // What was revoked stays so while the file is being replaced.
        }
    }
}
