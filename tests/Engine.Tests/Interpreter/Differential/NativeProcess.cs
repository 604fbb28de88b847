using System.Diagnostics;
using System.IO.MemoryMappedFiles;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>The parent's side of <see cref="NativeChild"/>: cases and results lie in a file that both map.</summary>
internal sealed unsafe class NativeProcess : IDisposable
{
    public const int Capacity = 4096;

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"godwit-native-{Guid.NewGuid():n}");
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly Process _process;

    public NativeProcess()
    {
        long bytes = (long)Capacity * (sizeof(NativeCase) + sizeof(NativeResult));
        _file = MemoryMappedFile.CreateFromFile(_path, FileMode.CreateNew, null, bytes);
        _view = _file.CreateViewAccessor();
        byte* shared = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref shared);
        Cases = (NativeCase*)shared;
        Results = (NativeResult*)(Cases + Capacity);
        ProcessStartInfo start = new(DotnetPath())
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            ArgumentList = { "exec", typeof(NativeProcess).Assembly.Location, NativeChild.Argument, _path, Capacity.ToString() },
        };
        _process = Process.Start(start) ?? throw new InvalidOperationException("the native child did not start");
    }

    public NativeCase* Cases { get; }

    public NativeResult* Results { get; }

    /// <summary>Runs the first cases; their results are there on return.</summary>
    public void Run(int count)
    {
        _process.StandardInput.WriteLine(count);
        _process.StandardInput.Flush();
        if (_process.StandardOutput.ReadLine() != "done")
        {
            _process.WaitForExit();
            throw new InvalidOperationException($"the native child died with exit code {_process.ExitCode}");
        }
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
        File.Delete(_path);
    }

    /// <summary>The host of the runtime that runs this test.</summary>
    private static string DotnetPath()
    {
        string framework = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
        return Path.GetFullPath(Path.Combine(framework, "..", "..", "..", "dotnet"));
    }
}
