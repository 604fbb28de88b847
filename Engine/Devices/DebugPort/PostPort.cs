namespace Godwit.Engine.Devices.DebugPort;

/// <summary>
/// The power-on self-test port. Software writes to it to let an I/O cycle pass; reading gives the last value, which is
/// where firmware leaves its progress.
/// </summary>
public sealed class PostPort : ISavedState<PostPortState>
{
    public const ushort Port = 0x80;

    private byte _code;

    public PostPort() => Ports = new BytePorts(1, _ => _code, (_, value) => _code = value);

    public BytePorts Ports { get; }

    public PostPortState SaveState() => new() { Code = _code };

    public void LoadState(PostPortState state) => _code = state.Code;
}
