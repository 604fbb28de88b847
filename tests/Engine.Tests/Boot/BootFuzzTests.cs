using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Xunit;
using Xunit.Abstractions;
using static Godwit.Engine.Tests.Boot.SyntheticKernel;

namespace Godwit.Engine.Tests.Boot;

/// <summary>Whatever is done to an image, a loader either loads it or says in one line why not.</summary>
public sealed class BootFuzzTests(ITestOutputHelper output)
{
    private const int Cases = 20_000;

    [Theory]
    [InlineData("bzImage")]
    [InlineData("elf")]
    [InlineData("flat")]
    public void DamagedImagesEndInBootExceptionOrLoad(string kind)
    {
        int seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        using GuestMemory memory = new(32 << 20);
        byte[] whole = kind switch { "bzImage" => BzImage(), "elf" => MultibootElf(), _ => MultibootFlat() };
        int loaded = 0;
        for (int i = 0; i < Cases; i++)
        {
            BootRequest request = Request(Damage(whole, random), new byte[random.Next(5000)], "x");
            try
            {
                BootEntry entry = kind == "bzImage" ? LinuxBootLoader.Load(memory, request) : MultibootLoader.Load(memory, request);
                Assert.True(memory.Contains(new GuestPhysicalAddress(entry.Rip), 1), $"case {i}: entry outside memory");
                loaded++;
            }
            catch (BootException error)
            {
                Assert.DoesNotContain('\n', error.Message);
            }
        }

        Assert.InRange(loaded, 1, Cases - 1);
    }

    private static byte[] Damage(byte[] whole, Random random)
    {
        byte[] image = random.Next(4) == 0 ? whole[..random.Next(whole.Length + 1)] : [.. whole];
        // Headers lie early; most flips go there.
        int span = Math.Min(image.Length, 0x290);
        for (int flips = random.Next(6); flips > 0 && span > 0; flips--)
        {
            int at = random.Next(span);
            image[at] = random.Next(3) switch { 0 => (byte)(image[at] ^ (1 << random.Next(8))), 1 => 0xff, _ => (byte)random.Next(256) };
        }

        return image;
    }
}
