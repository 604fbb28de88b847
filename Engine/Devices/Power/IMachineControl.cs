namespace Godwit.Engine.Devices.Power;

/// <summary>How the guest ends its machine through a device. Called on a vCPU thread under the machine lock, in the middle of an instruction.</summary>
public interface IMachineControl
{
    /// <summary>Soft off (ACPI S5).</summary>
    void PowerOff();

    /// <summary>Reset through the reset port or the keyboard controller.</summary>
    void Reset();

    /// <summary>The debug-exit port, with the exit code.</summary>
    void Exit(int code);
}
