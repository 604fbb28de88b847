using Godwit.Engine.Devices;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class TimerQueueTests
{
    private readonly ManualClock _clock = new();
    private readonly List<string> _ran = [];

    [Fact]
    public void TimersRunByDeadlineAndThenByCreation()
    {
        IDeviceTimer first = _clock.Timers.Create(() => _ran.Add("first"));
        IDeviceTimer second = _clock.Timers.Create(() => _ran.Add("second"));
        IDeviceTimer third = _clock.Timers.Create(() => _ran.Add("third"));
        third.Arm(20);
        second.Arm(20);
        first.Arm(30);
        Assert.Equal(20ul, _clock.Timers.NextDeadline);
        _clock.Nanoseconds = 40;
        Assert.True(_clock.Timers.IsDue);
        Assert.Equal(3, _clock.Timers.RunDue());
        Assert.Equal(["second", "third", "first"], _ran);
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void ATimerThatArmsItselfForThePastRunsOnceACall()
    {
        IDeviceTimer? again = null;
        again = _clock.Timers.Create(() =>
        {
            _ran.Add("again");
            again!.Arm(1);
        });
        again.Arm(1);
        _clock.Nanoseconds = 5;
        Assert.Equal(1, _clock.Timers.RunDue());
        Assert.Equal(1ul, _clock.Timers.NextDeadline);
        Assert.Equal(1, _clock.Timers.RunDue());
    }

    [Fact]
    public void OnlyAnEarlierDeadlineIsAnnounced()
    {
        int announced = 0;
        _clock.Timers.EarlierDeadline = () => announced++;
        IDeviceTimer one = _clock.Timers.Create(() => { });
        IDeviceTimer two = _clock.Timers.Create(() => { });
        one.Arm(100);
        two.Arm(200);
        two.Arm(50);
        two.Cancel();
        Assert.Equal(2, announced);
        Assert.Equal(100ul, _clock.Timers.NextDeadline);
    }

    [Fact]
    public void ACancelledTimerDoesNotRun()
    {
        IDeviceTimer timer = _clock.Timers.Create(() => _ran.Add("ran"));
        timer.Arm(10);
        timer.Cancel();
        _clock.Advance(100);
        Assert.Empty(_ran);
        Assert.Null(timer.Deadline);
    }

    [Fact]
    public void ATimerCancelledByAnotherThatIsDueAtTheSameTimeDoesNotRun()
    {
        IDeviceTimer? victim = null;
        IDeviceTimer killer = _clock.Timers.Create(() => victim!.Cancel());
        victim = _clock.Timers.Create(() => _ran.Add("victim"));
        killer.Arm(10);
        victim.Arm(10);
        _clock.Advance(10);
        Assert.Empty(_ran);
    }
}
