"""Sides whose samples are drawn at random: what the comparison is tried on, here and in benchmarks/false_alarms.py."""

import numpy as np

from ws_load_test.analysis.comparison.bootstrap import MAX_BLOCKS
from ws_load_test.analysis.comparison.samples import (
    ResamplingUnit,
    Variant,
    _blocks,
    _merged,
)
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    Recording,
    Round,
    Trailer,
)
from ws_load_test.metrics.tally import Tally

SECOND = 10**9
MILLI = 10**6


def lognormal(rng, count):
    return np.exp(0.4 * rng.standard_normal(count))


def heavy(rng, count):
    """Times of which the variance is infinite."""
    return 1 + rng.pareto(1.5, count)


def cliff(rng, count):
    """The 99th percentile stands where ordinary replies end and those ten times slower begin."""
    return np.where(rng.random(count) < 0.0105, 10.0, 1.0) * (1 + 0.01 * rng.random(count))


def interval(times_ns, index, *, failed=0, phase="measured", connect=(), **counts):
    times, opening = Histogram(), Histogram()
    times.record_block(np.asarray(times_ns, dtype=np.int64))
    opening.record_block(np.asarray(connect, dtype=np.int64))
    count = len(times_ns)
    numbers = {"due": count + failed, "sent": count + failed, "answered": count, "unanswered": failed} | counts
    tally = Tally(response_time_ns=times, connect_time_ns=opening, **numbers)
    if phase == "measured":
        tally.answered_in_window = count
    measured = {"measured_ns": SECOND if phase == "measured" else 0}
    return Interval.of(tally, index=index, phase=phase, from_ns=index * SECOND, to_ns=(index + 1) * SECOND, **measured)


def recording(*intervals, name="a", kind="open", mark=None, plan=None, interrupted=False, ended=True):
    plan = {"load": {"kind": kind}} | (plan or {})
    marks = {} if mark is None else {"round": Round(*mark)}
    header = Header(
        tool="ws-load-test 0.1.0",
        started_at="2026-03-01T12:00:07Z",
        plan=plan,
        target=f"ws://{name}/",
        host={},
        workers=1,
        **marks,
    )
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=interrupted, summary={})
    return Recording(header, intervals, trailer if ended else None)


def seconds_of(rng, seconds, per_s, shape=lognormal, *, slower=1.0, drift=0.0, memory=0.0):
    """Times in ns of each second; it is slower or faster than usual by an AR(1) of its own."""
    state = rng.standard_normal()
    for _ in range(seconds):
        state = memory * state + np.sqrt(1 - memory**2) * rng.standard_normal()
        times = shape(rng, int(rng.poisson(per_s))) * MILLI * slower * np.exp(drift * state)
        yield times.astype(np.int64)


def side(rng, seconds=10, per_s=2000, shape=lognormal, *, slower=1.0, drift=0.0, memory=0.0, failing=0.001):
    """A side of one recording, without the recording: writing and reading histograms would take most of the time."""
    units = []
    for times in seconds_of(rng, seconds, per_s, shape, slower=slower, drift=drift, memory=memory):
        response, count = Histogram(), len(times)
        response.record_block(times)
        units.append(ResamplingUnit(response, Histogram(), count, SECOND, int(rng.binomial(count, failing)), count))
    blocks = _blocks(units, MAX_BLOCKS)
    return Variant("side", (), tuple(blocks), False, ResamplingUnit(), _merged(blocks))


def joined(sides):
    """A side of repeats, of which each is what one side was."""
    units = tuple(one.total for one in sides)
    return Variant("side", (), units, True, ResamplingUnit(), _merged(units))


def drawn(rng, seconds=10, per_s=200, *, slower=1.0, failed=0, surplus_replies=0, **more):
    """A recording of samples drawn at random."""
    connect = (np.exp(rng.standard_normal(5)) * MILLI).astype(np.int64)
    opening = interval([], 0, phase="opening", attempted=5, opened=5, connect=connect)
    times = enumerate(seconds_of(rng, seconds, per_s, slower=slower))
    return recording(
        opening, *(interval(one, index, failed=failed, surplus_replies=surplus_replies) for index, one in times), **more
    )
