using Godwit.Engine.Machine;

namespace Godwit.Silo.Machines;

/// <summary>Warms the engine up while the silo starts: the first machine that moves here is not kept waiting by the JIT.</summary>
internal sealed partial class EngineWarmUpService(ILogger<EngineWarmUpService> logger) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await EngineWarmUp.RunAsync(stoppingToken);
        }
        catch (MachineException e)
        {
            // Without it the silo is only slower at first.
            LogFailed(e.Message);
        }
        catch (OperationCanceledException)
        {
            // The silo stops already.
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "The engine was not warmed up: {Error}")]
    private partial void LogFailed(string error);
}
