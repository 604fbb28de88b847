using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Images;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Access.Roles;

/// <summary>
/// The least role that may call each grain method. What is not here, Orleans' own grains and system targets included, only
/// silos may call; a test wants every method of ours to be here.
/// </summary>
public static class GrainRoles
{
    private static readonly Dictionary<Type, (ClusterRole Role, string[] Methods)[]> _table = new()
    {
        [typeof(IVmGrain)] =
        [
            (ClusterRole.Viewer, ["Show", "Locate"]),
            (ClusterRole.Operator, ["Start", "Pause", "Resume", "Stop", "Migrate", "CancelMigration", "PlaceRestore", "SetRestart"]),
            (ClusterRole.Admin, ["Create", "Delete"]),
        ],
        [typeof(IClusterGrain)] =
        [
            (ClusterRole.Viewer, ["GetSilos", "GetVms", "GetStatus"]),
            (ClusterRole.Operator, ["Drain", "Undrain"]),
        ],
        [typeof(IRebalanceGrain)] =
        [
            (ClusterRole.Viewer, ["Plan", "Watch"]),
            (ClusterRole.Operator, ["Start", "Cancel"]),
        ],
        [typeof(IHostGrain)] =
        [
            (ClusterRole.Viewer, ["ReadConsole", "WatchMigration", "WatchDrain", "GetRuns"]),
            (ClusterRole.Operator, ["WriteConsole", "OpenSnapshot", "ReadSnapshot", "CloseFile", "OpenUpload", "AppendUpload", "RestoreVm"]),
            (ClusterRole.Silo, [
                "GetInfo", "GetVm", "StartVm", "RecoverVm", "PauseVm", "ResumeVm", "StopVm", "ForgetVm", "PrepareIncoming", "IsReceiving", "CancelIncoming",
                "StartMigration", "CancelMigration", "Drain", "Undrain", "ProbeStore",
            ]),
        ],
        [typeof(IPlacementGrain)] =
        [
            (ClusterRole.Silo, ["Choose", "Settle"]),
        ],
        [typeof(IMigrationSlotsGrain)] =
        [
            (ClusterRole.Silo, ["TryTake", "Release"]),
        ],
        [typeof(IImageGrain)] =
        [
            (ClusterRole.Viewer, ["Exists"]),
            (ClusterRole.Admin, ["WriteChunk", "Complete"]),
        ],
    };

    private static readonly string[] _open = ["Orleans.Runtime.IClusterManifestSystemTarget", "Orleans.Runtime.IGrainTimerInvoker"];

    /// <summary>What a client's library asks by itself: the end of a call that was given up.</summary>
    private const string CallCancellation = "Orleans.Runtime.IGrainCallCancellationExtension";

    /// <summary>The interfaces that the table knows, with their methods' names.</summary>
    public static IEnumerable<(Type Interface, string Method, ClusterRole Role)> Rows =>
        _table.SelectMany(i => i.Value.SelectMany(r => r.Methods.Select(m => (i.Key, m, r.Role))));

    /// <summary>
    /// Whether whoever got as far as to call it may: the map of grain types, which a client waits for before anything else;
    /// and the tick of a grain's own timer, which comes from nobody (no grain has the interface, so that a call of it which
    /// did come from somewhere would find nothing to call).
    /// </summary>
    public static bool IsOpen(Type grainInterface) => _open.Contains(grainInterface.FullName);

    public static ClusterRole Of(Type grainInterface, string method)
    {
        if (_table.TryGetValue(grainInterface, out var roles))
        {
            foreach (var (role, methods) in roles)
            {
                if (methods.Contains(method))
                {
                    return role;
                }
            }
        }

        return grainInterface.FullName == CallCancellation ? ClusterRole.Viewer : ClusterRole.Silo;
    }
}
