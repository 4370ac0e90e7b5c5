"""Results of every kind that a page may be made of."""

from collections import Counter

import msgspec

from factories import scenarios
from factories.results import MICRO, MILLI, NASTY, SECOND, answers, histogram, interval, recording, results, usual
from ws_load_test.analysis.summary_types import ThresholdCheck
from ws_load_test.metrics.recording import (
    Header,
    Recording,
    Trailer,
    WorkerUsage,
)
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.options.read_plan import make_plan

EVIL = "</script><script>alert(1)</script><!--<b>x</b>\u2028%{text}"


def planned(*intervals, host=None, started="2026-03-01T12:00:07.25Z", **options):
    """A recording with a whole plan, as a run writes it."""
    plan = make_plan("ws://h:1/", **options).redacted()
    header = Header(
        tool="ws-load-test 0.1.0",
        started_at=started,
        plan=msgspec.to_builtins(plan),
        target="ws://h:1/",
        host=host or {"system": "Linux 6", "cores": 2},
        workers=plan.workers,
    )
    return Recording(header, intervals, Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, summary={}))


def minute(seconds=20, *, load=None):
    """Seconds on a schedule after a warm-up, with faults and losses, on two workers."""
    opening = Tally(attempted=10, opened=10, connect_time_ns=histogram(*(k * MILLI for k in range(1, 11))))
    opening.tcp_time_ns = histogram(*(k * 100 * MICRO for k in range(1, 11)))
    opening.upgrade_time_ns = histogram(*(k * 200 * MICRO for k in range(1, 11)))
    intervals = [interval(opening, index=0, phase="opening")]
    intervals.append(interval(Tally(warmup_sent=50, warmup_answered=50), index=1, phase="warmup"))
    for index in range(2, 2 + seconds):
        tally = answers(*((100 + 7 * k * index % 900) * MICRO for k in range(40)), service=[90 * MICRO] * 40)
        tally.due, tally.sent = 42, 41
        tally.dropped = tally.unanswered = 1
        tally.send_lag_ns, tally.loop_lag_ns = histogram(*([5 * MICRO] * 41)), histogram(*range(1_000, 50_000, 1_000))
        if index % 5 == 0:
            tally.lost, tally.closed = 1, Counter({"1011": 1})
            tally.faults, tally.close_reasons = Counter({"closed:1011": 1, EVIL: 1}), Counter({f"1011 {EVIL}": 1})
            tally.opened = tally.attempted = tally.reconnected = 1
            tally.reconnect_time_ns = tally.connect_time_ns = histogram(3 * MILLI)
        loads = [WorkerUsage(worker, (200 + 100 * worker) * MILLI, SECOND) for worker in range(2)]
        intervals.append(
            interval(tally, index=index, workers=loads, fault_examples={EVIL: EVIL} if index == 5 else None)
        )
    closing = answers(7 * MILLI, service=[6 * MILLI], closed=Counter({"1000": 10}))
    intervals.append(interval(closing, index=2 + seconds, phase="closing"))
    options = load or {"stages": f"1s:42,{seconds}s:42"}
    return planned(*intervals, connections=10, warmup="1s", workers=2, fail_if=["p99 > 1ms"], **options)


def unawaited():
    tallies = [Tally(due=10, sent=10, pushed=3, send_lag_ns=histogram(*range(1_000, 11_000, 1_000))) for _ in range(5)]
    opening = interval(Tally(attempted=1, opened=1), index=0, phase="opening")
    seconds = [interval(tally, index=index) for index, tally in enumerate(tallies, 1)]
    return planned(opening, *seconds, match="none", rate=10)


def unanswered():
    tally = Tally(attempted=1, opened=1, due=10, sent=10, unanswered=10, faults=Counter({"reply-timeout": 3}))
    return recording(*(interval(tally, index=index) for index in range(5)))


def many():
    """Faults and workers of more kinds than have a series of their own."""
    loads = [WorkerUsage(worker, worker * 10 * MILLI, SECOND) for worker in range(12)]
    found = Counter({f"closed:40{kind:02}": kind + 1 for kind in range(12)})
    opened = {"attempted": 1, "opened": 1}
    return recording(
        *(interval(answers(MILLI, faults=found, **opened), index=index, workers=loads) for index in range(4))
    )


def fanned_out():
    """Four seconds of publishes to two rooms, of which one loses a delivery a second."""
    intervals = []
    for index in range(1, 5):
        tally = Tally(due=10, sent=10, deliveries_expected=20, deliveries=19, deliveries_missing=1)
        tally.delivery_groups = Counter({"red": 10, EVIL: 9})
        tally.delivery_group_time_us = Counter({"red": 50_000, EVIL: 180_000 * index})
        tally.delivery_time_ns = histogram(*[5 * MILLI] * 10, *[20 * MILLI] * 9)
        tally.first_time_ns, tally.spread_ns = histogram(*[5 * MILLI] * 10), histogram(*[MILLI] * 10)
        tally.last_time_ns = histogram(*[21 * MILLI] * 10)
        intervals.append(interval(tally, index=index))
    fan_out = {"message": "{marker}", "subscribers": 4, "rooms": "red,blue", "rate": 10, "match": "none"}
    return planned(*intervals, duration="4s", **fan_out)


def followed():
    """A second of a scenario, some of whose sessions were followed."""
    tally = scenarios.second()
    tally.roles["writer"].excerpts = scenarios.excerpts()
    return tally


KINDS = {
    "usual": lambda: results(minute()),
    "closed loop": lambda: results(minute(load={"duration": "20s"})),
    "two and a half seconds": lambda: results(usual()),
    "half a second": lambda: results(recording(interval(answers(5 * MILLI, 6 * MILLI), length_ns=SECOND // 2))),
    "one answer": lambda: results(recording(interval(answers(5 * MILLI)))),
    "all the same": lambda: results(recording(*(interval(answers(MILLI, MILLI), index=index) for index in range(5)))),
    "no time at all": lambda: results(recording(*(interval(answers(0, 0), index=index) for index in range(5)))),
    "no answers": lambda: results(unanswered()),
    "not awaited": lambda: results(unawaited()),
    "killed": lambda: results(recording(interval(Tally(attempted=5), index=0, phase="opening"), ended=False)),
    "nothing": lambda: results(recording()),
    "two recordings": lambda: results(
        minute(), recording(interval(answers(MILLI)), started="2026-03-02T12:00:00Z", target=NASTY)
    ),
    "fan-out": lambda: results(fanned_out()),
    "many kinds": lambda: results(many()),
    "sessions step by step": lambda: results(scenarios.recorded(followed())),
    "checks": lambda: results(
        usual(),
        checks=[
            ThresholdCheck(check="p50 > 50ms", value=MILLI, passed=True, limit=50 * MILLI, unit="ns"),
            ThresholdCheck(check=f"p99 > {EVIL}", passed=False),
        ],
    ),
}
"""What each is, and how it is made."""
