"""The coordinator alone: reports in, intervals out, no processes."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.fleet.coordinator import Coordinator
from ws_load_test.metrics.recording import CommandRun, WorkerUsage
from ws_load_test.metrics.tally import Tally
from ws_load_test.worker.ipc import IntervalReport

START_NS = 1_000


def report(phase="measured", index=0, from_ns=START_NS, to_ns=START_NS + 100, *, worker=0, **more):
    tally = more.pop("tally", None) or Tally(sent=1, answered=1)
    return IntervalReport(
        phase=phase,
        index=index,
        from_ns=from_ns,
        to_ns=to_ns,
        usage=WorkerUsage(worker, more.pop("cpu_ns", 10), to_ns - from_ns),
        tally=tally.to_wire(),
        **more,
    )


@st.composite
def lives(draw):
    """What each of a few workers reports, in its order, and an interleaving of all of it; some die on the way."""
    workers = draw(st.integers(1, 4))
    logs = []
    for worker in range(workers):
        log = []
        at_ns = START_NS
        for phase in ("opening", "warmup", "measured", "closing"):
            for index in range(draw(st.integers(1, 3))):
                tally = Tally(sent=draw(st.integers(0, 9)), opened=draw(st.integers(0, 2)))
                for value in draw(st.lists(st.integers(1, 10**6), max_size=3)):
                    tally.response_time_ns.record(value)
                tally.faults["reset"] = draw(st.integers(0, 2))
                length_ns = draw(st.integers(1, 50))
                log.append(
                    report(
                        phase,
                        index,
                        at_ns,
                        at_ns + length_ns,
                        tally=tally,
                        worker=worker,
                        ready=phase in ("warmup", "measured"),
                    )
                )
                at_ns += length_ns
        log[-1] = msgspec.structs.replace(log[-1], done=True)
        if draw(st.booleans()) and workers > 1 and worker:
            log = [*log[: draw(st.integers(0, len(log) - 1))], "dies"]
        logs.append(log)
    order = draw(st.permutations([worker for worker, log in enumerate(logs) for _ in log]))
    return logs, order


def play(logs, order):
    coordinator, events = Coordinator(len(logs), START_NS), []
    at = [0] * len(logs)
    for worker in order:
        word = logs[worker][at[worker]]
        at[worker] += 1
        events += coordinator.lose(worker, "gone", START_NS + 5) if word == "dies" else coordinator.report(worker, word)
    return coordinator, events


@settings(deadline=None)
@given(lives())
def test_any_interleaving_gives_the_same(life):
    logs, order = life
    coordinator, events = play(logs, order)
    for event in events:
        assert event.tally.to_record() == event.interval.encoded_tally, "as it would be decoded again"
    _, one_by_one = play(logs, sorted(order))
    intervals = intervals_of(events)
    assert [bare(interval) for interval in intervals] == [bare(interval) for interval in intervals_of(one_by_one)]

    assert coordinator.finished
    assert coordinator.ready
    assert {one.worker for one in coordinator.lost} == {worker for worker, log in enumerate(logs) if log[-1] == "dies"}
    reports = [word for log in logs for word in log if word != "dies"]
    total, wanted = Tally(), Tally()
    for interval in intervals:
        total.merge(interval.tally)
    for one in reports:
        wanted.merge(Tally.from_wire(one.tally))
    assert total.to_record() == wanted.to_record(), "nothing is lost, and nothing counted twice"
    assert coordinator.opened == wanted.opened
    assert sum(len(interval.workers) for interval in intervals) == len(reports)

    phases = ["opening", "warmup", "measured", "closing"]
    places = [(phases.index(interval.phase), interval.index) for interval in intervals]
    assert places == sorted(set(places))


def intervals_of(events):
    return [event.interval for event in events]


def bare(interval):
    return (
        interval.phase,
        interval.index,
        interval.from_ns,
        interval.to_ns,
        interval.measured_ns,
        interval.tally.to_record(),
        interval.workers,
    )


def test_an_interval_waits_for_every_worker():
    coordinator = Coordinator(2, START_NS)
    assert coordinator.report(0, report("opening", tally=Tally(opened=2), cpu_ns=7)) == []
    second = report("opening", worker=1, tally=Tally(opened=3), from_ns=START_NS + 20, to_ns=START_NS + 150, cpu_ns=9)
    [interval] = intervals_of(coordinator.report(1, second))
    assert interval.tally.opened == 5
    assert (interval.from_ns, interval.to_ns, interval.measured_ns) == (0, 150, 0)
    assert [(load.worker, load.cpu_ns, load.wall_ns) for load in interval.workers] == [(0, 7, 100), (1, 9, 130)]


def test_a_measured_interval_counts_once_however_many_workers():
    coordinator = Coordinator(2, START_NS)
    coordinator.report(0, report())
    [interval] = intervals_of(coordinator.report(1, report(worker=1, to_ns=START_NS + 90)))
    assert interval.measured_ns == 100


def test_is_ready_when_all_are():
    coordinator = Coordinator(3, START_NS)
    coordinator.report(0, report("opening", ready=True))
    coordinator.report(1, report("opening", worker=1))
    assert not coordinator.ready
    coordinator.report(1, report("opening", 1, worker=1, ready=True))
    assert not coordinator.ready
    coordinator.lose(2, "gone", START_NS)
    assert coordinator.ready


def test_a_lost_worker_is_reported_once_and_holds_nothing_up():
    coordinator = Coordinator(2, START_NS)
    coordinator.report(0, report("opening"))
    [interval] = intervals_of(coordinator.lose(1, "killed", START_NS + 77))
    assert interval.phase == "opening"
    assert coordinator.lose(1, "killed again", START_NS + 99) == []
    [lost] = coordinator.lost
    assert (lost.worker, lost.reason, lost.at_ns) == (1, "killed", 77)
    assert not coordinator.finished
    assert [one.phase for one in intervals_of(coordinator.report(0, report("closing", done=True)))] == ["closing"]
    assert coordinator.finished


def test_the_sessions_of_a_lost_worker_are_lost_with_it():
    coordinator = Coordinator(2, START_NS)
    for worker in range(2):
        coordinator.report(worker, report("opening", worker=worker, tally=Tally(opened=5)))
    coordinator.report(1, report("measured", worker=1, tally=Tally(opened=2, closed=Counter({"1006": 3}))))
    coordinator.lose(1, "killed", START_NS)
    assert coordinator.lost[0].open_sessions == 4
    coordinator.lose(0, "killed", START_NS)
    assert coordinator.lost[1].open_sessions == 5


def test_a_worker_that_is_done_cannot_be_lost():
    coordinator = Coordinator(1, START_NS)
    coordinator.report(0, report("closing", done=True))
    assert coordinator.lose(0, "its process ended", START_NS) == []
    assert coordinator.lost == []
    assert coordinator.is_done(0)


def test_keeps_the_first_example_of_each_fault():
    coordinator = Coordinator(2, START_NS)
    coordinator.report(0, report(examples={"reset": "first"}))
    [interval] = intervals_of(coordinator.report(1, report(worker=1, examples={"reset": "second", "dns": "other"})))
    assert interval.fault_examples == {"reset": "first", "dns": "other"}


def test_refuses_what_is_no_tally():
    damaged = IntervalReport(
        phase="opening", index=0, from_ns=0, to_ns=1, usage=WorkerUsage(0, 1, 1), tally={"nonsense": 1}
    )
    with pytest.raises(ValueError, match="nonsense"):
        Coordinator(1, 0).report(0, damaged)


def test_keeps_what_each_host_had_of_an_interval():
    coordinator = Coordinator(3, START_NS, hosts=(0, 0, 2))
    for worker, sent in enumerate((1, 2)):
        coordinator.report(
            worker, report(worker=worker, tally=Tally(sent=sent, answered=1), began_ns=START_NS + 5 + worker)
        )
    [interval] = intervals_of(
        coordinator.report(
            2, report(worker=2, from_ns=START_NS + 9, tally=Tally(sent=4, due=4), began_ns=START_NS + 30)
        )
    )
    assert interval.tally.sent == 7
    [first, second] = interval.hosts
    assert (first.host, first.from_ns, first.began_ns, first.record) == (0, 0, (5, 6), {"sent": 3, "answered": 2})
    # Not all of a tally: what tells hosts apart.
    assert (second.host, second.from_ns, second.began_ns, second.record) == (2, 9, (30, 30), {"sent": 4})


def test_the_next_interval_tells_of_those_who_were_lost():
    coordinator = Coordinator(2, START_NS)
    coordinator.lose(1, "gone", START_NS + 3)
    [interval] = intervals_of(coordinator.report(0, report("opening")))
    assert list(interval.lost_workers) == coordinator.lost
    [interval] = intervals_of(coordinator.report(0, report("opening", 1)))
    assert interval.lost_workers is msgspec.UNSET


def test_session_events_become_those_of_the_run_clock_by_clock():
    coordinator = Coordinator(2, 5 * 10**9)
    ahead_ns = 7 * 10**9
    here = Tally(session_events=Counter({f"{(5 * 10**9 + 123 * 10**6) // 10**6} 1001": 2}))
    there = Tally(session_events=Counter({f"{(5 * 10**9 + ahead_ns + 127 * 10**6) // 10**6} 1001": 3}))
    coordinator.report(0, report(from_ns=5 * 10**9, to_ns=6 * 10**9, tally=here))
    (event,) = coordinator.report(1, report(from_ns=5 * 10**9, to_ns=6 * 10**9, worker=1, tally=there), ahead_ns)
    assert event.tally.session_events == {"12 1001": 5}


def test_an_interval_names_the_commands_that_began_or_ended_since_the_last():
    coordinator = Coordinator(1, 0)
    run = CommandRun(number=0, command="true", at_ns=5)
    coordinator.on_command(run)
    (first,) = coordinator.report(0, report())
    (second,) = coordinator.report(0, report(index=1))
    assert first.interval.commands == (run,)
    assert second.interval.commands is msgspec.UNSET
