using System.CommandLine;
using Godwit.Cli.Run;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>The options of drills with many small guests.</summary>
internal sealed class FleetOptions
{
    private const int MostGuests = 500;
    private const long LinuxMemoryBytes = 256 << 20;

    private readonly Option<int> _guests;
    private readonly Option<string> _memory = new("--memory") { Description = "RAM of each guest", DefaultValueFactory = _ => "16M" };
    private readonly Option<int> _workingSet = new("--working-set") { Description = "MiB that each guest keeps rewriting", DefaultValueFactory = _ => 2 };
    private readonly Option<int> _rate = new("--rate") { Description = "Pages that each guest rewrites a second", DefaultValueFactory = _ => 100 };

    private readonly Option<string> _guest = new("--guest") { Description = "builtin: built-in guests only; linux: a Debian guest (256M) in the first one's place", DefaultValueFactory = _ => "builtin" };
    private readonly Option<string> _cpu = CpuOption.Create();

    public FleetOptions(int guests) => _guests = new Option<int>("--guests") { Description = "How many guests", DefaultValueFactory = _ => guests };

    public void AddTo(Command command)
    {
        command.Options.Add(_guests);
        command.Options.Add(_memory);
        command.Options.Add(_workingSet);
        command.Options.Add(_rate);
        command.Options.Add(_guest);
        command.Options.Add(_cpu);
    }

    /// <summary>Throws <see cref="UsageException"/>. Images are fetched before anything runs: where they cannot be had, nothing has been started.</summary>
    public async Task<FleetPlan> ReadAsync(ParseResult parsed)
    {
        DrillLoad load = new(
            MemorySize.TryParse(parsed.GetValue(_memory)!, out long bytes) ? bytes : throw new UsageException($"--memory {parsed.GetValue(_memory)}: write a size such as 16M"),
            CpuOption.Parse(parsed.GetValue(_cpu)!),
            DrillOptions.Between("--working-set", parsed.GetValue(_workingSet), 1, 1024),
            DrillOptions.Between("--rate", parsed.GetValue(_rate), 1, 1_000_000));
        int count = DrillOptions.Between("--guests", parsed.GetValue(_guests), 1, MostGuests);
        bool linux = DrillOptions.OneOf("--guest", parsed.GetValue(_guest)!, ["builtin", "linux"]) == "linux";
        return new FleetPlan(
            count,
            new DrillGuests(load),
            linux ? await DrillGuests.FetchAsync().ConfigureAwait(false) : null,
            new DrillGuests(load with { MemoryBytes = LinuxMemoryBytes }));
    }
}
