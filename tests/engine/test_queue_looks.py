"""Looks at a queue of messages in flight: a lost reply shows in it, and a target that keeps up is not suspected."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.engine.conversations.queue_looks import FEWEST_LOOKS, QueueLooks

PERIOD_NS = 40_000_000


def look_at(looks, rng, count, *, answer_ns, lost=0, from_ns=0):
    """Looks at a session that sends every 40 ms, with so many replies lost before; returns the changes and the time."""
    at_ns, changes = from_ns, []
    for _ in range(count):
        at_ns += int(50_000_000 * (0.5 + rng.random()))
        sent = at_ns // PERIOD_NS
        first = sent - lost + (at_ns - sent * PERIOD_NS >= answer_ns)
        changes.append(looks.add(first * PERIOD_NS + 1 if first <= sent else 0))
    return changes, at_ns


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_reply_shows_within_a_second_or_two(lost):
    looks, rng = QueueLooks(), random.Random(lost)
    before, at_ns = look_at(looks, rng, 60, answer_ns=5_000_000)
    assert set(before) == {0}
    after, at_ns = look_at(looks, rng, 40, answer_ns=5_000_000, lost=lost, from_ns=at_ns)
    assert sum(after) == 1
    assert looks.is_suspicious
    assert after.index(1) < 30
    # Where the queue is empty after all, the target was merely slow.
    again, _ = look_at(looks, rng, 20, answer_ns=5_000_000, from_ns=at_ns)
    assert sum(again) == -1
    assert not looks.is_suspicious


@given(st.randoms(use_true_random=False), st.integers(1_000_000, 38_000_000))
def test_a_target_that_keeps_up_is_not_suspected(rng, answer_ns):
    changes, _ = look_at(QueueLooks(), rng, 400, answer_ns=answer_ns)
    assert set(changes) == {0}


def test_a_target_that_was_always_slower_than_the_schedule_tells_nothing():
    changes, _ = look_at(QueueLooks(), random.Random(1), 200, answer_ns=5_000_000, lost=1)
    assert set(changes) == {0}


def test_a_target_that_does_not_answer_at_all_is_no_sign_of_it():
    looks = QueueLooks()
    for _ in range(10 * FEWEST_LOOKS):
        looks.add(0)
    assert [looks.add(7) for _ in range(100)] == [0] * 100
