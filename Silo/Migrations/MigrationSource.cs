using Godwit.Access;
using Godwit.Engine.Machine;
using Godwit.Engine.Migration;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.DataPlane;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Migrations;

/// <summary>Runs one migration out of this silo from connecting to the target to its end, and leaves no VM paused.</summary>
internal sealed partial class MigrationSource
{
    private static readonly TimeSpan _connectLimit = TimeSpan.FromSeconds(10);

    private readonly IOwnershipStore _store;
    private readonly TimeProvider _time;
    private readonly OwnershipOptions _ownership;
    private readonly IGrainFactory _grains;
    private readonly byte[] _token;
    private readonly ConnectionGuard _guard;
    private readonly ILogger _log;

    public MigrationSource(IOwnershipStore store, TimeProvider time, OwnershipOptions ownership, IGrainFactory grains, byte[] token, ConnectionGuard guard, ILogger log)
    {
        _store = store;
        _time = time;
        _ownership = ownership;
        _grains = grains;
        _token = token;
        _guard = guard;
        _log = log;
    }

    /// <param name="drop">Lets go of the machine; called when the VM is not here any more, before anyone is told.</param>
    public async Task RunAsync(HostedVm vm, MigrationJob job, string dataEndpoint, MigrationRequest request, Func<Task> drop, CancellationToken closing)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(job.Cancelled, closing);
        var ticket = job.Ticket;
        var authority = new MoveSource(
            _store,
            _time,
            _ownership,
            vm.Tenure!,
            new LastMove(ticket.Job, ticket.SourceAddress, ticket.SourceName, ticket.TargetAddress, ticket.TargetName),
            _ => vm.Grant());
        try
        {
            var report = await SendAsync(vm, job, dataEndpoint, request, authority, stop.Token);
            vm.Tenure!.GiveUp();
            await drop();
            job.Succeed(report);
        }
        catch (Exception e)
        {
            LogFailed(vm.Name, ticket.TargetName, e.Message);
            var gone = await RecoverAsync(vm, authority, closing);
            if (gone)
            {
                await drop();
            }
            else
            {
                await CancelTargetAsync(ticket);
            }

            var cancelled = job.Cancelled.IsCancellationRequested && !gone;
            job.Fail(
                cancelled ? MigrationOutcome.Cancelled : MigrationOutcome.Failed,
                cancelled ? $"Cancelled; VM \"{vm.Name}\" runs on here, on silo {ticket.SourceName}." : Explain(vm, ticket, e, gone));
        }
    }

    private async Task<MigrationReport> SendAsync(HostedVm vm, MigrationJob job, string dataEndpoint, MigrationRequest request, MoveSource authority, CancellationToken stop)
    {
        await using var link = await MigrationLink.ConnectAsync(dataEndpoint, _guard, _token, vm.Name, job.Ticket.Job, _connectLimit, stop);
        var options = new MigrationOptions
        {
            MaxBlackout = request.MaxBlackout,
            MaxRounds = request.MaxRounds,
            VerifyAllMemory = request.VerifyAllMemory,
            Cooperate = request.Cooperate,
            ReadyTimeout = request.ReadyTimeout,
            Inject = request.Inject,
        };
        return await vm.Machine.MigrateOutAsync(link, options, new InputGuard(authority, vm), job, stop);
    }

    /// <summary>After a failure: finds out from the record whether the VM is still ours, and if so makes sure that it runs.</summary>
    private async Task<bool> RecoverAsync(HostedVm vm, MoveSource authority, CancellationToken closing)
    {
        try
        {
            if (authority.Begun && await authority.ResolveMoveAsync(closing))
            {
                return true;
            }

            if (vm.Tenure!.Lost)
            {
                return true;
            }

            await vm.SetInputAsync(open: true);
            vm.Grant();
            if (await vm.Machine.GetStatusAsync(closing) is { Phase: MachinePhase.Paused })
            {
                await vm.Machine.RunAsync(closing);
            }

            return false;
        }
        catch (Exception e) when (e is MachineException or OperationCanceledException or ObjectDisposedException)
        {
            // The machine has ended, or the silo goes down: the record is settled by what ends it.
            LogNotResumed(vm.Name, e.Message);
            return false;
        }
    }

    private async Task CancelTargetAsync(MigrationTicket ticket)
    {
        try
        {
            await _grains.GetGrain<IHostGrain>(ticket.TargetAddress).CancelIncoming(ticket.Vm, ticket.Job).WaitAsync(_connectLimit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException)
        {
            // It is gone, or gives up by itself when nothing arrives.
            LogTargetSilent(ticket.Vm, ticket.TargetName, e.Message);
        }
    }

    private static string Explain(HostedVm vm, MigrationTicket ticket, Exception e, bool gone) =>
        $"{e.Message.TrimEnd('.')}; VM \"{vm.Name}\" {(gone ? "is not on" : "runs on, on")} silo {ticket.SourceName}.";

    [LoggerMessage(Level = LogLevel.Warning, Message = "Migration of VM {Vm} to {Target} failed: {Error}")]
    private partial void LogFailed(string vm, string target, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "VM {Vm} was not resumed after a failed migration: {Error}")]
    private partial void LogNotResumed(string vm, string error);

    [LoggerMessage(Level = LogLevel.Information, Message = "Silo {Target} was not told that the migration of VM {Vm} is off: {Error}")]
    private partial void LogTargetSilent(string vm, string target, string error);

    /// <summary>Closes the console's input before the move begins and opens it when the VM stays.</summary>
    private sealed class InputGuard(MoveSource authority, HostedVm vm) : IMigrationSourceAuthority
    {
        public async Task<bool> BeginMoveAsync(CancellationToken cancellation)
        {
            await vm.SetInputAsync(open: false);
            return await authority.BeginMoveAsync(cancellation);
        }

        public async Task<bool> AbandonMoveAsync(CancellationToken cancellation)
        {
            var back = await authority.AbandonMoveAsync(cancellation);
            if (back)
            {
                await vm.SetInputAsync(open: true);
            }

            return back;
        }

        public async Task<bool> ResolveMoveAsync(CancellationToken cancellation)
        {
            var gone = await authority.ResolveMoveAsync(cancellation);
            if (!gone)
            {
                await vm.SetInputAsync(open: true);
            }

            return gone;
        }
    }
}
