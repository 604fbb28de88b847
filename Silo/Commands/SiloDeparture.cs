using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Silo.Drains;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Commands;

/// <summary>What a silo does between the signal to stop and its end: its guests go to other silos, as far as they can.</summary>
internal static class SiloDeparture
{
    // A farewell is a few writes to the store; where it does not answer, waiting for it helps nobody.
    private static readonly TimeSpan _farewell = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _farewellWithoutStore = TimeSpan.FromSeconds(3);

    /// <summary>Says on standard error what becomes of the guests. Returns when they are gone, or it is time to stop those that are left.</summary>
    /// <param name="limit">How long it may take; zero: not at all.</param>
    /// <param name="atOnce">Completes when it is not to be waited for.</param>
    public static async Task DrainAsync(IServiceProvider services, TimeSpan limit, Task atOnce)
    {
        var drains = services.GetRequiredService<SiloDrains>();
        var silo = services.GetRequiredService<SiloIdentity>().Name;
        if (limit == TimeSpan.Zero || drains.Guests == 0)
        {
            return;
        }

        if (drains.Alone)
        {
            Say($"silo {silo} is the only one alive: its {Vms(drains.Guests)} cannot go elsewhere and {(drains.Guests == 1 ? "is" : "are")} stopped.");
            return;
        }

        Say($"silo {silo} drains before it stops: {Vms(drains.Guests)}, at most {limit.TotalSeconds:0.#} s (a second signal stops at once).");
        using var stop = new CancellationTokenSource();
        var leaving = drains.LeaveAsync(Report, stop.Token);
        Task? first = null;
        try
        {
            first = await Task.WhenAny(leaving, atOnce).WaitAsync(limit);
        }
        catch (TimeoutException)
        {
            // The limit came first.
        }

        await stop.CancelAsync();
        if (first == leaving)
        {
            await leaving;
            if (drains.Guests > 0)
            {
                Say($"silo {silo} stops, and what could not move with it: {Vms(drains.Guests)}.");
            }

            return;
        }

        try
        {
            await leaving;
        }
        catch (OperationCanceledException)
        {
            Say($"silo {silo} stops {(first == atOnce ? "at once" : $"after {limit.TotalSeconds:0.#} s of draining")}: {Vms(drains.Guests)} left.");
        }
    }

    /// <summary>Waits until the silo has stopped its guests and told the cluster that it is gone.</summary>
    /// <param name="shutdown">The host's end.</param>
    /// <returns>Whether it came to that. If not, standard error says why, and the process is to end as it is: the others see a silo that died.</returns>
    public static async Task<bool> FarewellAsync(IServiceProvider services, Task shutdown)
    {
        var silo = services.GetRequiredService<SiloIdentity>().Name;
        var probe = services.GetRequiredService<IStoreProbe>();
        var storeAnswers = (await probe.AskAsync()).Problem is null;
        var limit = storeAnswers ? _farewell : _farewellWithoutStore;
        try
        {
            await shutdown.WaitAsync(limit);
            return true;
        }
        catch (TimeoutException)
        {
            var reason = storeAnswers ? $"stopping in good order took longer than {limit.TotalSeconds:0} s" : "the store does not answer";
            Say($"silo {silo} ends without a word to the others, who find out by themselves: {reason}.");
            return false;
        }
    }

    private static void Report(DrainStep step)
    {
        if (step.Event is not DrainEvent.Started)
        {
            Say(step.Message);
        }
    }

    private static string Vms(int count) => count == 1 ? "1 VM" : $"{count} VMs";

    private static void Say(string line) => Console.Error.WriteLine($"godwit: {line}");
}
