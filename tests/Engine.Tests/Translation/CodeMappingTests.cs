using Godwit.Engine.Host;
using Xunit;

namespace Godwit.Engine.Tests.Translation;

public sealed unsafe class CodeMappingTests
{
    [Fact]
    public void CodeWrittenThroughOneAddressRunsAtTheOther()
    {
        using CodeMapping mapping = new(4096);
        // lea eax, [rdi + 2]; ret
        new ReadOnlySpan<byte>([0x8d, 0x47, 0x02, 0xc3]).CopyTo(new Span<byte>(mapping.Writable, 4));
        Assert.Equal(42, ((delegate* unmanaged<int, int>)mapping.Executable)(40));
    }

    [Fact]
    public void NeitherMappingMayBeBothWrittenAndExecuted()
    {
        using CodeMapping mapping = new(8192);
        Assert.Equal("rw-s", Rights(mapping.Writable));
        Assert.Equal("r-xs", Rights(mapping.Executable));
    }

    private static string Rights(byte* address)
    {
        string start = $"{(ulong)address:x}-";
        return File.ReadLines("/proc/self/maps").Single(line => line.StartsWith(start, StringComparison.Ordinal)).Split(' ')[1];
    }
}
