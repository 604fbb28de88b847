using System.CommandLine;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>The options of drills with many small guests.</summary>
internal sealed class FleetOptions
{
    private const int MostGuests = 500;

    private readonly Option<int> _guests;
    private readonly Option<string> _memory = new("--memory") { Description = "RAM of each guest", DefaultValueFactory = _ => "16M" };
    private readonly Option<int> _workingSet = new("--working-set") { Description = "MiB that each guest keeps rewriting", DefaultValueFactory = _ => 2 };
    private readonly Option<int> _rate = new("--rate") { Description = "Pages that each guest rewrites a second", DefaultValueFactory = _ => 100 };

    public FleetOptions(int guests) => _guests = new Option<int>("--guests") { Description = "How many guests", DefaultValueFactory = _ => guests };

    public void AddTo(Command command)
    {
        command.Options.Add(_guests);
        command.Options.Add(_memory);
        command.Options.Add(_workingSet);
        command.Options.Add(_rate);
    }

    public int Count(ParseResult parsed) => DrillOptions.Between("--guests", parsed.GetValue(_guests), 1, MostGuests);

    public DrillGuests Guests(ParseResult parsed) => new(new DrillLoad(
        MemorySize.TryParse(parsed.GetValue(_memory)!, out long bytes) ? bytes : throw new UsageException($"--memory {parsed.GetValue(_memory)}: write a size such as 16M"),
        CpuLevel.V1,
        DrillOptions.Between("--working-set", parsed.GetValue(_workingSet), 1, 1024),
        DrillOptions.Between("--rate", parsed.GetValue(_rate), 1, 1_000_000)));
}
