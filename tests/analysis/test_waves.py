"""Disconnect waves: manual events in, waves out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.analysis.wave_types import WaveSummary
from ws_load_test.analysis.waves import LAG_NS, WaveTracker, find_waves, is_announced
from ws_load_test.metrics.recording import Header, Interval
from ws_load_test.metrics.recording_checks import IntervalChecker
from ws_load_test.metrics.session_events import SLOT_NS, bucket_end_ns, duration_bucket, in_run_slots, is_key
from ws_load_test.metrics.tally import Tally

S = 10**9
SLOTS = S // SLOT_NS


def intervals(events, *, opened=0, seconds=60, dropped=None, length_ns=S):
    """Returns intervals of a second with the events, by their slot, and `opened` sessions before the load."""
    found = [interval(Tally(opened=opened), "opening", 0, 0, length_ns)]
    for number in range(1, seconds):
        tally = Tally(dropped=(dropped or {}).get(number, 0))
        for key, count in events.items():
            slot, event = key.split()
            if int(slot) * SLOT_NS // length_ns == number:
                tally.session_events[key] += count
                tally.opened += count * (event == "opened")
                tally.closed.update({"1000" if event == "closed" else event: count * is_end(event)})
        found.append(interval(tally, "measured", number, number * length_ns, (number + 1) * length_ns))
    return found


def is_end(event):
    return event == "closed" or event[0].isdigit()


def interval(tally, phase, index, from_ns, to_ns):
    return Interval.of(tally, index=index, phase=phase, from_ns=from_ns, to_ns=to_ns, measured_ns=to_ns - from_ns)


def at(seconds, event):
    return f"{round(seconds * SLOTS)} {event}"


def test_a_run_in_which_nothing_ends_has_no_wave():
    assert find_waves(intervals({}, opened=100)) == ()


def test_one_wave_and_what_is_said_of_it():
    events = {
        at(9.9, "dialed"): 40,
        at(10, "1012"): 30,
        at(10.2, "1012"): 18,
        at(10.3, "1006"): 2,
        at(10.3, "unanswered"): 7,
        at(10.5, "dialed"): 20,
        at(10.51, "refused"): 5,
        at(11, "dialed"): 35,
        at(11.2, "opened"): 49,
        at(13, "opened"): 1,
        at(14, "dialed"): 90,
        at(10, "reconnected:1000"): 49,
        at(10, "reconnected:2000"): 1,
        at(10, "bounced"): 3,
    }
    (wave,) = find_waves(intervals(events, opened=100, dropped={9: 1, 10: 20, 12: 3, 13: 4, 14: 50}))
    assert (wave.from_ns, wave.to_ns) == (10 * S, round(10.3 * S))
    assert wave.closed == {"1012": 48, "1006": 2}
    assert (wave.sessions, wave.announced, wave.abrupt) == (50, 48, 2)
    assert (wave.open_before, wave.fewest_open) == (100, 50)
    assert wave.back_after_ns == 3 * S
    assert (wave.peak_closes_per_s, wave.peak_dials_per_s) == (50, 55)
    assert (wave.refused, wave.unanswered, wave.bounced) == (5, 7, 3)
    assert wave.dropped == 27, "that of the interval in which they were back as well"
    assert wave.reconnect_percentile_ns(50) == bucket_end_ns(1000)
    assert wave.reconnect_percentile_ns(99) == bucket_end_ns(2000)
    summary = WaveSummary.of(wave)
    assert (summary.reconnected, summary.reconnect_p50_ns, summary.reconnect_p99_ns) == (
        50,
        bucket_end_ns(1000),
        bucket_end_ns(2000),
    )


def test_a_second_holds_one_of_two_ends_that_are_a_second_apart():
    (wave,) = find_waves(intervals({at(10, "1012"): 5, at(10.99, "1012"): 2, at(11, "1012"): 4}, opened=100))
    assert wave.peak_closes_per_s == 7


@pytest.mark.parametrize(("pause_s", "waves"), [(4, 1), (4.99, 1), (5, 2), (6, 2)])
def test_a_pause_of_five_seconds_divides_waves(pause_s, waves):
    found = find_waves(intervals({at(10, "1001"): 5, at(10 + pause_s, "1001"): 4}, opened=20))
    assert len(found) == waves
    assert sum(wave.sessions for wave in found) == 9


@pytest.mark.parametrize(
    ("ended", "opened", "waves"), [(2, 10, 0), (3, 10, 1), (3, 3000, 1), (3, 3001, 0), (9, 10_000, 0), (10, 10_000, 1)]
)
def test_a_few_sessions_are_no_wave(ended, opened, waves):
    assert len(find_waves(intervals({at(10, "1006"): ended}, opened=opened))) == waves


def test_sessions_of_too_small_a_group_are_not_part_of_the_next_wave():
    first, *_ = found = find_waves(intervals({at(5, "1006"): 2, at(12, "1006"): 4, at(12, "opened"): 4}, opened=20))
    assert len(found) == 1
    assert (first.from_ns, first.open_before, first.back_after_ns) == (12 * S, 18, 0)


def test_sessions_that_come_back_between_two_ends_do_not_end_the_wave():
    events = {at(10, "1001"): 5, at(10.1, "opened"): 5, at(12, "1001"): 5, at(12.5, "opened"): 5}
    (wave,) = find_waves(intervals(events, opened=20))
    assert wave.back_after_ns == round(2.5 * S)
    assert wave.fewest_open == 15


def test_a_wave_that_was_back_and_goes_on_is_not_back():
    (wave,) = find_waves(intervals({at(10, "1001"): 5, at(10.1, "opened"): 5, at(12, "1001"): 5}, opened=20))
    assert wave.back_after_ns is None


def test_a_wave_can_come_back_after_the_next_one():
    events = {at(10, "1001"): 5, at(20, "1001"): 5, at(21, "opened"): 5, at(30, "opened"): 5}
    first, second = find_waves(intervals(events, opened=20))
    assert (first.open_before, first.back_after_ns, first.fewest_open) == (20, 20 * S, 15)
    assert (second.open_before, second.back_after_ns, second.fewest_open) == (15, S, 10)


def test_a_wave_without_a_way_back_is_not_back():
    (wave,) = find_waves(intervals({at(10, "1006"): 5, at(11, "opened"): 4}, opened=20))
    assert wave.back_after_ns is None
    assert wave.reconnect_percentile_ns(50) is None


def test_sessions_that_open_without_an_event_count_from_the_end_of_their_interval():
    found = intervals({at(10, "1001"): 5}, opened=20)
    later = interval(Tally(opened=5), "measured", 70, 60 * S, 61 * S)
    (wave,) = find_waves([*found, later])
    assert wave.back_ns == 61 * S - SLOT_NS


def test_sessions_that_we_close_at_the_end_are_no_part_of_it():
    found = intervals({at(10, "1001"): 5, at(11, "opened"): 5}, opened=20)
    closing = interval(Tally(closed=Counter({"1000": 20})), "closing", 0, 60 * S, 61 * S)
    (wave,) = find_waves([*found, closing])
    assert (wave.fewest_open, wave.back_after_ns) == (15, S)


def test_the_current_wave_is_known_while_it_is_on():
    tracker, seen = WaveTracker(), []
    for one in intervals({at(10, "1001"): 5, at(13.5, "opened"): 5}, opened=20, seconds=20):
        tracker.add_interval(one, one.encoded_tally.get("session_events", {}), 0)
        seen.append(tracker.current is not None)
    lag = -(-LAG_NS // S)
    assert seen.index(True) == 10 + lag - 1
    assert seen.index(False, seen.index(True)) == 13 + lag


EVENTS = st.dictionaries(
    st.tuples(st.integers(100, 5_900), st.sampled_from(["1001", "1006", "4000", "opened", "dialed", "refused"])),
    st.integers(1, 20),
    max_size=40,
)


@given(EVENTS)
def test_every_end_is_in_one_wave_or_in_too_small_a_group(events):
    events = {f"{slot} {event}": count for (slot, event), count in events.items()}
    found = find_waves(intervals(events, opened=10_000))
    ends = sorted((slot, count) for key, count in events.items() for slot, event in [split(key)] if event[0].isdigit())
    groups = []
    for slot, count in ends:
        if not groups or slot - groups[-1][1] >= 500:
            groups.append([slot, slot, 0])
        groups[-1][1], groups[-1][2] = slot, groups[-1][2] + count
    # By the definition, of groups found with sorting alone; 0.1 % of what is open can be more than 3.
    known = {(wave.from_ns // SLOT_NS, wave.to_ns // SLOT_NS, wave.sessions): wave for wave in found}
    for first, last, count in groups:
        wave = known.pop((first, last, count), None)
        assert (wave is not None) == (count >= max(3, open_before(events, first) / 1000))
        if wave is not None:
            assert wave.open_before == open_before(events, first)
            assert wave.announced + wave.abrupt == count
            assert wave.fewest_open <= wave.open_before
            assert count / max(1, len(ends)) <= wave.peak_closes_per_s <= count
            assert (wave.back_after_ns is None) == (not back(events, last, wave.open_before))
    assert not known


def split(key):
    slot, event = key.split()
    return int(slot), event


def change(event):
    return 1 if event == "opened" else -1 if event[0].isdigit() else 0


def open_before(events, slot):
    return 10_000 + sum(change(split(key)[1]) * count for key, count in events.items() if split(key)[0] < slot)


def back(events, slot, wanted):
    """True if as many were open at the end of the slot, or of any later one."""
    slots = {slot, *(split(key)[0] for key in events if split(key)[0] > slot)}
    return any(open_before(events, one + 1) >= wanted for one in slots)


@given(EVENTS, st.lists(st.integers(0, 1), min_size=40, max_size=40))
def test_merging_workers_changes_nothing(events, of_worker):
    events = {f"{slot} {event}": count for (slot, event), count in events.items()}
    parts = [{}, {}]
    for worker, (key, count) in zip(of_worker, events.items(), strict=False):
        parts[worker][key] = count
    each = [intervals(part, opened=opened) for part, opened in zip(parts, (4_000, 6_000), strict=True)]
    merged = []
    for one, other in zip(*each, strict=True):
        tally = one.tally
        tally.merge(other.tally)
        merged.append(interval(tally, one.phase, one.index, one.from_ns, one.to_ns))
    assert find_waves(merged) == find_waves(intervals(events, opened=10_000))


@given(st.integers(0, 10**13))
def test_buckets_of_durations_are_narrow(duration_ns):
    bucket = duration_bucket(duration_ns)
    assert bucket * 10**6 <= duration_ns < bucket_end_ns(bucket)
    assert bucket_end_ns(bucket) - bucket * 10**6 <= max(10**6, duration_ns // 31)


@given(st.integers(0, 10**15), st.integers(0, 10**12))
def test_slots_of_workers_become_slots_of_the_run(zero_ns, after_ns):
    key = f"{(zero_ns + after_ns) // 10**6} 1001"
    ((placed, count),) = in_run_slots({key: 2}, zero_ns).items()
    assert count == 2
    assert -(10**6) - SLOT_NS < split(placed)[0] * SLOT_NS - after_ns <= 0


@pytest.mark.parametrize("key", ["", "1001", "-1 1001", "1 ", "1 nothing", "1 1001 2", "x opened", "1 reconnected:"])
def test_other_keys_are_refused(key):
    assert not is_key(key)
    with pytest.raises(ValueError, match="slot and event"):
        Tally.from_record({"session_events": {key: 1}})


@pytest.mark.parametrize(
    ("code", "announced"),
    [("1000", True), ("1001", True), ("1012", True), ("1013", True), ("4000", True), ("4999", True)]
    + [(code, False) for code in ("1005", "1006", "1011", "3000", "other", "400")],
)
def test_announced_codes(code, announced):
    assert is_announced(code) is announced


def test_events_at_no_time_of_any_run_are_refused():
    header = Header(tool="", started_at="2026-01-01T00:00:00Z", plan={}, target="", host={}, workers=1)
    damaged = interval(Tally(session_events=Counter({f"{10**12 - 1} 1001": 3})), "measured", 0, 0, S)
    with pytest.raises(ValueError, match="at no time of any run"):
        IntervalChecker(header).check(damaged)
