namespace Godwit.Engine.Cpu;

/// <summary>
/// Where the vCPUs of a machine stand: in guest code, or at a safe point. What must hold for all of them before somebody
/// goes on (no cached permission to write a page) is done at each one's next safe point, and waited for.
/// </summary>
public sealed class SafePoints
{
    private readonly object _gate = new();
    private readonly List<Seat> _seats = [];

    /// <summary>Gives a vCPU its seat. Before it runs.</summary>
    public Seat Add(Vcpu vcpu)
    {
        Seat seat = new(this, vcpu);
        lock (_gate)
            _seats.Add(seat);
        return seat;
    }

    /// <summary>
    /// Does something for every vCPU at a safe point of it: at once for those that are outside of guest code, else on their
    /// own thread; returns when it is done. One who calls it from inside its own run names itself, and serves what others
    /// ask of it while it waits, so that two who ask each other both go on. No lock that a device access takes may be held.
    /// </summary>
    /// <param name="self">The caller's own seat, which is left out; null: the caller is no vCPU inside its run.</param>
    /// <param name="action">What to do. It may touch that vCPU's caches and nothing else.</param>
    public void Everywhere(Seat? self, Action<Vcpu> action)
    {
        lock (_gate)
        {
            Request request = new(action);
            foreach (Seat seat in _seats)
            {
                if (seat == self)
                    continue;
                if (!seat.Inside)
                {
                    action(seat.Vcpu);
                    continue;
                }
                request.Left++;
                seat.Waiting.Enqueue(request);
                seat.Vcpu.Kick();
            }
            if (request.Left == 0)
                return;
            // Somebody asked may be waiting here itself.
            Monitor.PulseAll(_gate);
            while (true)
            {
                if (self is not null)
                    Serve(self);
                if (request.Left == 0)
                    return;
                Monitor.Wait(_gate);
            }
        }
    }

    private void Serve(Seat seat)
    {
        while (seat.Waiting.TryDequeue(out Request? request))
        {
            request.Action(seat.Vcpu);
            if (--request.Left == 0)
                Monitor.PulseAll(_gate);
        }
    }

    /// <summary>One vCPU's place: its back end says when it enters guest code and when it is out again.</summary>
    public sealed class Seat
    {
        private readonly SafePoints _points;

        internal Seat(SafePoints points, Vcpu vcpu)
        {
            _points = points;
            Vcpu = vcpu;
        }

        /// <summary>The vCPU.</summary>
        public Vcpu Vcpu { get; }

        internal bool Inside { get; private set; }

        internal Queue<Request> Waiting { get; } = [];

        /// <summary>The vCPU goes into guest code.</summary>
        public void Enter()
        {
            lock (_points._gate)
                Inside = true;
        }

        /// <summary>The vCPU is at a safe point, and stays there.</summary>
        public void Leave()
        {
            lock (_points._gate)
            {
                Inside = false;
                _points.Serve(this);
            }
        }

        /// <summary><see cref="SafePoints.Everywhere"/> but here.</summary>
        public void Elsewhere(Action<Vcpu> action) => _points.Everywhere(this, action);
    }

    internal sealed class Request(Action<Vcpu> action)
    {
        public Action<Vcpu> Action { get; } = action;

        public int Left { get; set; }
    }
}
