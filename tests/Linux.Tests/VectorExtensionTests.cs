using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Linux.Tests;

/// <summary>Level x86-64-v3 as Linux uses it, on both back ends: the kernel's vector code tests itself, and programs keep their registers.</summary>
public sealed class VectorExtensionTests(ITestOutputHelper output)
{
    [LinuxFact]
    public Task TheKernelsVectorCodePassesItsTestsInterpreted() => TestsPassAsync(BackendKind.Interpreter);

    [LinuxFact]
    public Task TheKernelsVectorCodePassesItsTestsTranslated() => TestsPassAsync(BackendKind.Translator);

    private async Task TestsPassAsync(BackendKind backend)
    {
        LinuxGuest stock = await BootedLinux.ImagesAsync();
        LinuxGuest guest = await LinuxGuest.EnsureAsync(
            new LinuxGuestOptions { ExtraFiles = [.. await CryptoModules.FilesAsync(stock), new InitramfsFile("bin/ymm", YmmProgram.Build(), Executable: true)] },
            progress: null, CancellationToken.None);
        BootImages images = new(await File.ReadAllBytesAsync(guest.KernelPath), await File.ReadAllBytesAsync(guest.InitrdPath));
        MachineSpec spec = MachineSpecs.Create(
            256 << 20, 1, ClockMode.InstructionCount, "vmlinuz", images.Kernel, "initramfs", "console=ttyS0 panic=-1", CpuLevel.V3);
        await using GuestSession session = await (await GuestSession.BootAsync(spec, images, backend)).StartAsync();
        await session.ReadToAsync(GuestSession.Prompt);

        string flags = await session.RunAsync("grep -m1 ^flags /proc/cpuinfo");
        foreach (string flag in new[] { "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm", "xsave", "xsaveopt", "xsavec", "aes", "pclmulqdq", "sha_ni", "adx" })
            Assert.Contains($" {flag} ", $" {flags.Trim()} ", StringComparison.Ordinal);

        Assert.Equal("", await session.RunAsync(CryptoModules.Command));
        string[] tests = (await session.RunAsync(CryptoModules.Report)).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        output.WriteLine($"{tests.Length} implementations: {string.Join(", ", tests)}");
        Assert.All(tests, line => Assert.EndsWith(" passed", line, StringComparison.Ordinal));
        foreach (string driver in new[] { "sha1-ni", "sha256-ni", "sha256-avx2", "sha512-avx2", "xts-aes-aesni", "generic-gcm-aesni", "ecb-serpent-avx2", "ecb-camellia-aesni-avx2", "nhpoly1305-avx2", "curve25519-x86" })
            Assert.Contains($"{driver} passed", tests);

        // Two programs and the shell take turns.
        Assert.Equal("0\n0\n", await session.RunAsync("(ymm a & ymm b; one=$?; wait $!; echo $?; echo $one)"));
    }
}
