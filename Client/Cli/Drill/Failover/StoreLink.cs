using System.Net;
using System.Net.Sockets;

namespace Godwit.Cli.Drill.Failover;

/// <summary>A silo's way to the store, which the drill can cut and mend: a port here that passes everything on.</summary>
internal sealed class StoreLink : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly List<TcpClient> _open = [];
    private readonly IPEndPoint _store;
    private readonly Task _accepting;
    private bool _cut;

    public StoreLink(string store)
    {
        _store = IPEndPoint.Parse(store);
        _listener.Start();
        _accepting = AcceptAsync();
    }

    public string Address => _listener.LocalEndpoint.ToString()!;

    /// <summary>Ends all connections, and new ones as soon as they come.</summary>
    public void Cut() => Set(cut: true);

    public void Mend() => Set(cut: false);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        Cut();
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        _stop.Dispose();
    }

    private void Set(bool cut)
    {
        lock (_gate)
        {
            _cut = cut;
            if (!cut)
                return;
            foreach (TcpClient client in _open)
                client.Dispose();
            _open.Clear();
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = PassAsync(await _listener.AcceptTcpClientAsync(_stop.Token).ConfigureAwait(false));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The drill ends.
        }
    }

    private async Task PassAsync(TcpClient silo)
    {
        using TcpClient store = new();
        using (silo)
        {
            try
            {
                if (!TryOpen(silo, store))
                    return;
                await store.ConnectAsync(_store, _stop.Token).ConfigureAwait(false);
                silo.NoDelay = store.NoDelay = true;
                await Task.WhenAny(
                    silo.GetStream().CopyToAsync(store.GetStream(), _stop.Token),
                    store.GetStream().CopyToAsync(silo.GetStream(), _stop.Token)).ConfigureAwait(false);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or IOException or ObjectDisposedException or InvalidOperationException)
            {
                // Cut, or one of the two has gone.
            }
            finally
            {
                lock (_gate)
                {
                    _open.Remove(silo);
                    _open.Remove(store);
                }
            }
        }
    }

    private bool TryOpen(TcpClient silo, TcpClient store)
    {
        lock (_gate)
        {
            if (_cut)
                return false;
            _open.Add(silo);
            _open.Add(store);
            return true;
        }
    }
}
