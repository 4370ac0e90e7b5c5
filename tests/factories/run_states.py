"""Plans and intervals that the tests of the live view and of plain lines share."""

from ws_load_test.live.run_state import RunState
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.metrics.recording import HostInterval, Interval, WorkerUsage
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.target import Target

SECOND, MILLI, MICRO = 10**9, 10**6, 10**3


def plan(**parts):
    usual = {"target": Target("ws://echo.example/"), "duration_ns": 60 * SECOND, "connections": 100}
    return Plan(**(usual | parts))


def histogram(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def interval(tally=None, phase="measured", *, at_s=0.0, length_s=1.0, workers=(), fault_examples=None):
    """An interval as it is handed to whatever follows a run."""
    tally = tally or Tally()
    made = Interval.of(
        tally,
        index=0,
        phase=phase,
        from_ns=round(at_s * SECOND),
        to_ns=round((at_s + length_s) * SECOND),
        measured_ns=round(length_s * SECOND) if phase == "measured" else 0,
        workers=workers,
        fault_examples=fault_examples,
    )
    return IntervalEvent.decode(made)


def damaged():
    """An interval of a host that the run does not have."""
    return IntervalEvent.decode(
        Interval.of(
            Tally(),
            index=0,
            phase="measured",
            from_ns=0,
            to_ns=20 * SECOND,
            measured_ns=0,
            hosts=[HostInterval(7, 0, {})],
        )
    )


def answers(*values, **parts):
    count = len(values)
    numbers = {"due": count, "sent": count, "answered": count, "answered_in_window": count} | parts
    return Tally(response_time_ns=histogram(*values), **numbers)


def opening(opened=100, failed=0, at_s=0.0, **parts):
    return interval(Tally(attempted=opened + failed, opened=opened, failed=failed, **parts), "opening", at_s=at_s)


def load(worker=0, cpu=0.25):
    return WorkerUsage(worker, round(cpu * SECOND), SECOND)


def scene(*intervals, asked=None, **options):
    made = RunState(asked or plan(), **options)
    for one in intervals:
        made.on_interval(one)
    return made
