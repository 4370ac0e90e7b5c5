"""Recordings that the tests of exports share, and what those of them that are drawn look like."""

from collections import Counter

from hypothesis import strategies as st
from msgspec.structs import replace

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.summary import summarize
from ws_load_test.analysis.summary_types import RunVerdict
from ws_load_test.metrics.hdr_buckets import LARGEST
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.metrics.recording import (
    Header,
    Interval,
    LostWorker,
    Recording,
    Trailer,
    WorkerUsage,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.exports import FORMATS, Results

SECOND, MILLI, MICRO = 10**9, 10**6, 10**3
NASTY = "<b>&\"'`|*_[x](http://y)@all\\ #1 \x1b[31m\r\nTag=a,\x00\u2028\ud800|"
"""What a target may say."""


def histogram(*values):
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def interval(tally, *, index=1, phase="measured", length_ns=SECOND, workers=(), fault_examples=None, lost=()):
    return Interval.of(
        tally,
        index=index,
        phase=phase,
        from_ns=index * SECOND,
        to_ns=index * SECOND + length_ns,
        measured_ns=length_ns if phase == "measured" else 0,
        workers=workers,
        fault_examples=fault_examples,
        lost_workers=lost,
    )


def recording(
    *intervals, load="open", started="2026-03-01T12:00:07.25Z", target="ws://h/", ended=True, lost=(), plan=None
):
    header = Header(
        tool="ws-load-test 0.1.0",
        started_at=started,
        plan={"load": {"kind": load}} | (plan or {}),
        target=target,
        host={},
        workers=2,
    )
    lost = tuple(LostWorker(worker, "killed by SIGKILL", 5) for worker in lost)
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, lost_workers=lost, summary={})
    return Recording(header, intervals, trailer if ended else None)


def results(*recordings, checks=(), passed=None):
    digested = aggregate(recordings)
    summary = summarize(recordings, digested)
    verdict = summary.verdict
    if checks:
        verdict = RunVerdict(passed=all(check.passed for check in checks), checks=list(checks))
    if passed is not None:
        verdict = replace(verdict, passed=passed)
    summary = replace(summary, verdict=verdict)
    return Results(recordings, summary, digested)


def text_of(name, made):
    return "".join(FORMATS[name](made))


def answers(*values, service=(), **parts):
    count = len(values)
    numbers = {"due": count, "sent": count, "answered": count, "answered_in_window": count} | parts
    return Tally(response_time_ns=histogram(*values), service_time_ns=histogram(*service), **numbers)


def usual():
    """Two seconds on a schedule, with what can go wrong."""
    opening = Tally(attempted=11, opened=10, failed=1, connect_time_ns=histogram(*(k * MILLI for k in range(1, 11))))
    opening.faults["connect-refused"] = 1
    first = answers(*(k * 10 * MICRO for k in range(1, 1001)), service=[k * MICRO for k in range(1, 1001)])
    first.bytes_sent, first.bytes_received = 11_000, 6_000
    second = answers(2 * MILLI, 3 * MILLI, service=[MILLI, MILLI], sent=5, due=6, unanswered=3, dropped=1, pushed=4)
    second.lost, second.closed, second.faults = 3, Counter({"1011": 3}), Counter({"closed:1011": 3})
    loads = [WorkerUsage(0, 250 * MILLI, SECOND), WorkerUsage(1, 500 * MILLI, SECOND)]
    return recording(
        interval(opening, index=0, phase="opening", fault_examples={"connect-refused": "refuses TCP connections"}),
        interval(first, index=1, workers=loads),
        interval(second, index=2, length_ns=SECOND // 2, fault_examples={"closed:1011": NASTY}),
        interval(answers(7 * MILLI, service=[6 * MILLI], closed=Counter({"1000": 7})), index=3, phase="closing"),
    )


_values = st.lists(st.integers(0, LARGEST) | st.integers(0, 10**11), max_size=20)


@st.composite
def _tallies(draw, *, apart):
    values = draw(_values)
    return answers(*values, service=draw(_values) if apart else ())


@st.composite
def recordings(draw):
    apart = draw(st.booleans())
    intervals = []
    for index in range(draw(st.integers(0, 5))):
        phase = draw(st.sampled_from(["opening", "warmup", "measured", "measured", "closing"]))
        length_ns = draw(st.integers(1, SECOND))
        intervals.append(interval(draw(_tallies(apart=apart)), index=index, phase=phase, length_ns=length_ns))
    started = draw(st.sampled_from(["2026-03-01T12:00:07.25Z", "2026-03-01T13:00:06.999999+01:00"]))
    return recording(*intervals, load=draw(st.sampled_from(["open", "closed"])), started=started)


several = st.lists(recordings(), min_size=1, max_size=3)
