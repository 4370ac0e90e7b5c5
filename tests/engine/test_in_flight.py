"""Messages in flight, and what is remembered of those that were: against plain lists."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.engine.conversations import in_flight as in_flight_module
from ws_load_test.engine.conversations.in_flight import InFlightTable, RecentIds
from ws_load_test.metrics.tally import Tally


def table_with(*messages, memory=None, connection=0):
    """A table of (id, due, sent), which left one by one."""
    table = InFlightTable(memory or RecentIds(), connection)
    for key, due_ns, sent_ns in messages:
        table.about_to_send = [key]
        table.append((due_ns, sent_ns))
    return table


# --- what is remembered ----------------------------------------------------------------------------------------------


def test_of_what_was_never_noted_nothing_is_known():
    memory = RecentIds()
    memory.note(1, b"7", "duplicate")
    assert memory.classify(1, b"8") is None
    assert memory.classify(2, b"7") is None, "another connection's"
    assert memory.classify(1, "7") is None, "a text is not its bytes"


def test_another_reply_to_what_was_answered_is_always_a_duplicate():
    memory = RecentIds()
    memory.note(1, b"7", "duplicate")
    assert [memory.classify(1, b"7") for _ in range(3)] == ["duplicate"] * 3


def test_one_reply_to_what_was_given_up_is_late_and_the_next_are_duplicates():
    memory = RecentIds()
    memory.note(1, b"7", "late")
    assert [memory.classify(1, b"7") for _ in range(3)] == ["late", "duplicate", "duplicate"]
    memory.note(1, b"7", "late")
    assert memory.classify(1, b"7") == "late", "the id was used again, and given up again"


def test_only_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr(in_flight_module, "MAX_RECENT_IDS", 3)
    memory = RecentIds()
    for key in "abcde":
        memory.note(0, key, "duplicate")
    assert [key for key in "abcde" if memory.classify(0, key)] == ["c", "d", "e"]


# --- what is in flight -----------------------------------------------------------------------------------------------


def test_a_batch_leaves_together():
    table = InFlightTable(RecentIds(), 0)
    table.about_to_send = ["a", "b", None]
    assert len(table) == 0, "they have been made, and may still be refused"
    table.append((5, 6))
    assert len(table) == 3
    tally = Tally()
    assert table.match("b", tally) == table.match("a", tally) == (5, 6)
    assert tally.out_of_order == 1
    assert len(table) == 1


def test_nothing_answers_what_is_not_in_flight():
    table = table_with(("a", 1, 2))
    tally = Tally()
    assert table.match("b", tally) is None
    assert table.match("a", tally) == (1, 2)
    assert table.match("a", tally) is None
    assert (len(table), table.classify("a"), table.classify("b")) == (0, "duplicate", None)
    assert tally == Tally()


def test_the_oldest_of_the_same_id_is_answered_first():
    table = table_with(("a", 1, 2), ("b", 3, 4), ("a", 5, 6))
    tally = Tally()
    assert [table.match(key, tally) for key in "aab"] == [(1, 2), (5, 6), (3, 4)]
    assert tally.out_of_order == 1


def test_what_was_sent_before_an_instant_expires():
    table = table_with(("a", 0, 10), ("b", 0, 20), ("a", 0, 30), (None, 7, 10), (None, 8, 40))
    assert table.expire(10) == []
    assert table.classify("a") is None, "exactly then is not before, so it is not given up"
    assert sorted(table.expire(20)) == [(0, 10), (7, 10)]
    assert len(table) == 3
    tally = Tally()
    assert table.match("a", tally) == (0, 30), "the younger of the same id is still in flight"
    assert table.match("b", tally) == (0, 20)
    assert table.expire(41) == [(8, 40)]
    assert table.expire(10**18) == []
    assert len(table) == 0
    assert table.classify(None) is None, "nothing answers a message without an id, so nothing is late"
    twice = table_with(("a", 0, 10), ("a", 0, 20))
    assert twice.expire(20) == [(0, 10)]
    assert twice.match("a", tally) == (0, 20)


def test_the_fate_of_the_expired_is_known_to_the_session_in_their_place():
    memory = RecentIds()
    table = table_with(("a", 0, 10), ("b", 0, 10), memory=memory, connection=4)
    table.match("b", Tally())
    table.expire(11)
    assert (table.classify("a"), table.classify("b")) == ("late", "duplicate")
    assert InFlightTable(memory, 4).classify("a") == "duplicate"
    assert InFlightTable(memory, 5).classify("a") is None


def test_all_that_is_in_flight_can_be_looked_at_and_taken_out():
    table = table_with(("a", 1, 2), (None, 3, 4), ("a", 5, 6))
    assert sorted(table) == [(1, 2), (3, 4), (5, 6)]
    assert len(table) == 3
    table.clear()
    assert (len(table), list(table), table.match("a", Tally())) == (0, [], None)
    assert table.classify("a") is None, "what is lost with its session was neither answered nor given up"


@pytest.mark.parametrize("count", [1, 5])
def test_a_message_that_expired_does_not_overtake(count):
    """Only a reply can: a message that was given up leaves the order of the others alone."""
    table = table_with(*((str(number), 0, number) for number in range(count + 1)))
    table.expire(count)
    tally = Tally()
    assert table.match(str(count), tally) is not None
    assert tally.out_of_order == 0


@given(st.permutations(range(12)), st.integers(0, 12))
@settings(deadline=None, max_examples=100)
def test_a_reply_that_is_overtaken_is_out_of_order(order, answered):
    table = table_with(*((str(number), number, number) for number in range(12)))
    tally = Tally()
    for number in order[:answered]:
        assert table.match(str(number), tally) == (number, number)
    overtaken = sum(any(later > number for later in order[:place]) for place, number in enumerate(order[:answered]))
    assert tally.out_of_order == overtaken
    assert sorted(table) == [(number, number) for number in sorted(order[answered:])]
