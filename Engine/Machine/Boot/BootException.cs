namespace Godwit.Engine.Machine.Boot;

/// <summary>A boot image that cannot be loaded; the message is one line for a person and names the image.</summary>
public sealed class BootException(string message) : Exception(OneLine(message))
{
    /// <param name="image">The image's name, the sentence's subject.</param>
    /// <param name="problem">The rest of the sentence.</param>
    public BootException(string image, string problem)
        : this($"{image} {problem}")
    {
    }

    /// <summary>A file name may hold anything; an error stays one line.</summary>
    private static string OneLine(string message) => string.Concat(message.Select(c => char.IsControl(c) ? '?' : c));
}
