using System.Text;
using Godwit.Silo.Checkpoints;
using Xunit;

namespace Godwit.Cluster.Tests.Failover;

public sealed class FolderCheckpointsTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly FolderCheckpoints _store;

    public FolderCheckpointsTests() => _store = new FolderCheckpoints(_folder);

    [Fact]
    public async Task WhatWasCompletedIsReadBackAndWhatWasNotIsGone()
    {
        var name = await WriteAsync("web", 1, 1, "whole");
        await using (var half = _store.Create("web", 1, 2, 0))
        {
            await half.Stream.WriteAsync(Encoding.ASCII.GetBytes("ha"));
        }

        Assert.Equal([name], Names("web"));
        using var reader = new StreamReader(_store.Open("web", name));
        Assert.Equal("whole", await reader.ReadToEndAsync());
    }

    [Fact]
    public async Task RemovingKeepsWhatIsNamedAndWhatALaterEpochWrote()
    {
        await WriteAsync("web", 1, 1, "old");
        var kept = await WriteAsync("web", 1, 2, "kept");
        var later = await WriteAsync("web", 3, 3, "of an owner since");
        var other = await WriteAsync("other", 1, 1, "another VM's");

        _store.Remove("web", 2, [kept]);
        Assert.Equal(new[] { kept, later }.Order(), Names("web").Order());

        // A silo that was frozen until now knows nothing of epoch 3.
        _store.Remove("web", 2, []);
        Assert.Equal([later], Names("web"));
        _store.Remove("web", long.MaxValue, []);
        Assert.False(Directory.Exists(Path.Combine(_folder, "web")));
        Assert.Equal([other], Names("other"));
        _store.Remove("web", 1, []);
    }

    [Fact]
    public void ADiskWithoutRoomIsToldBeforeAnythingIsWritten()
    {
        var full = new FolderCheckpoints(_folder, _ => 100 << 20);
        var error = Assert.Throws<IOException>(() => full.Create("web", 1, 1, 50 << 20));
        Assert.Contains("has 100 MiB free, too little for a checkpoint of 50 MiB and 64 MiB in reserve", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(_folder, "web")));
    }

    [Fact]
    public void SilosOfOneFolderAgreeOnItsNameAndOthersDoNot()
    {
        var elsewhere = Path.Combine(_folder, "elsewhere");
        Assert.Equal(_store.Id, new FolderCheckpoints(_folder).Id);
        Assert.NotEqual(_store.Id, new FolderCheckpoints(elsewhere).Id);
    }

    [Theory]
    [InlineData("../id")]
    [InlineData("id")]
    [InlineData("1-2-3")]
    public void OnlyCheckpointFilesAreOpened(string name) =>
        Assert.Throws<IOException>(() => _store.Open("web", name));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private IEnumerable<string> Names(string vm) => Directory.EnumerateFiles(Path.Combine(_folder, vm)).Select(p => Path.GetFileName(p)!);

    private async Task<string> WriteAsync(string vm, long epoch, long number, string text)
    {
        await using var file = _store.Create(vm, epoch, number, text.Length);
        await file.Stream.WriteAsync(Encoding.ASCII.GetBytes(text));
        await file.CompleteAsync(default);
        return file.Name;
    }
}
