using System.Globalization;
using System.Text;

namespace Godwit.Cli.Guest;

/// <summary>
/// Writes a cpio archive in the "newc" format that Linux unpacks as an initramfs (Linux,
/// Documentation/driver-api/early-userspace/buffer-format.rst). Times, owners and inode numbers are fixed, so the same
/// files give the same bytes.
/// </summary>
internal sealed class CpioWriter(Stream output)
{
    // File types of st_mode.
    private const int S_IFDIR = 0x4000;
    private const int S_IFCHR = 0x2000;
    private const int S_IFREG = 0x8000;
    private const int S_IFLNK = 0xa000;

    private int _inode;
    private long _written;

    public void Directory(string path) => Entry(path, S_IFDIR | 0x1ed, 2, [], 0, 0);

    public void File(string path, ReadOnlySpan<byte> content, bool executable) =>
        Entry(path, S_IFREG | (executable ? 0x1ed : 0x1a4), 1, content, 0, 0);

    public void Symlink(string path, string target) => Entry(path, S_IFLNK | 0x1ff, 1, Encoding.UTF8.GetBytes(target), 0, 0);

    public void CharacterDevice(string path, int major, int minor) => Entry(path, S_IFCHR | 0x180, 1, [], major, minor);

    /// <summary>Ends the archive, padded to a whole number of 512-byte blocks.</summary>
    public void Finish()
    {
        _inode = -1;
        Entry("TRAILER!!!", 0, 1, [], 0, 0);
        Pad(512);
    }

    private void Entry(string path, int mode, int links, ReadOnlySpan<byte> content, int deviceMajor, int deviceMinor)
    {
        byte[] name = [.. Encoding.UTF8.GetBytes(path), 0];
        int[] fields = [++_inode, mode, 0, 0, links, 0, content.Length, 0, 0, deviceMajor, deviceMinor, name.Length, 0];
        StringBuilder header = new("070701", 110);
        foreach (int field in fields)
            header.Append(CultureInfo.InvariantCulture, $"{field:X8}");
        Write(Encoding.ASCII.GetBytes(header.ToString()));
        Write(name);
        Pad(4);
        Write(content);
        Pad(4);
    }

    private void Pad(int boundary) => Write(new byte[(boundary - _written % boundary) % boundary]);

    private void Write(ReadOnlySpan<byte> bytes)
    {
        output.Write(bytes);
        _written += bytes.Length;
    }
}
