namespace Godwit.Engine.Devices.Serial;

/// <summary>Takes what the guest sends over its serial line.</summary>
public interface IConsoleSink
{
    void Write(byte value);
}
