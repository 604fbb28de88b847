using Godwit.Client;
using Godwit.Cli.Guest;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>Which guests a fleet has: small built-in ones, and where Debian's images are given a Debian guest in the first one's place.</summary>
/// <param name="Count">All of them.</param>
/// <param name="Guests">Makes the small ones.</param>
/// <param name="Images">Debian's kernel and initramfs; null: no Debian guest.</param>
/// <param name="LinuxGuests">Makes the Debian guest, which needs more memory.</param>
internal sealed record FleetPlan(int Count, DrillGuests Guests, LinuxGuest? Images, DrillGuests LinuxGuests)
{
    /// <param name="number">From 1.</param>
    public Task<GuestPlan> GuestAsync(GodwitClient client, int number, CancellationToken cancellation) =>
        number == 1 && Images is not null ? LinuxGuests.LinuxAsync(client, Images, cancellation) : Task.FromResult(Guests.FleetGuest(number));
}
