"""Numbers of a sequence, against a memory of all that has come."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.engine.scenario.sequence import MAX_GAPS, Sequence


def judged(numbers):
    """Returns how each number but the first is judged, and how many were missed, by remembering everything."""
    seen, places = {numbers[0]}, []
    for number in numbers[1:]:
        if number in seen:
            places.append("repeat")
        elif number == max(seen) + 1:
            places.append("next")
        else:
            places.append("gap" if number > max(seen) else "late")
        seen.add(number)
    return places, max(seen) - min(seen) + 1 - len(seen)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=100))
@example([5, 3, 4, 4, 9, 7, 6, 8])
def test_is_what_a_full_memory_says(numbers):
    places, missed = judged(numbers)
    sequence = Sequence(numbers[0])
    assert [sequence.add(number) for number in numbers[1:]] == places
    assert sequence.settle() == missed
    assert sequence.settle() == 0


@settings(max_examples=50)
@given(st.permutations(range(30)), st.integers(1, 3))
def test_out_of_order_nothing_is_missed_in_the_end(numbers, times):
    sequence = Sequence(numbers[0])
    places = [sequence.add(number) for number in [*numbers[1:], *numbers * (times - 1)]]
    assert places.count("repeat") == 30 * (times - 1)
    assert sequence.settle() == 0


def test_more_gaps_than_are_remembered_are_missed_at_once():
    sequence = Sequence(0)
    for gap in range(1, MAX_GAPS + 3):
        assert sequence.add(gap * 10) == "gap"
    assert sequence.missed == 2 * 9
    assert sequence.add(25) == "late"
    assert sequence.add(5) == "repeat"
    assert sequence.settle() == 9 * (MAX_GAPS + 2) - 1


def test_a_jump_of_any_size_takes_no_memory():
    sequence = Sequence(0)
    assert sequence.add(1 << 53) == "gap"
    assert sequence.settle() == (1 << 53) - 1
