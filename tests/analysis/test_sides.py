import numpy as np
import pytest

from factories.comparison import SECOND, drawn, interval, recording
from factories.printed import summarize
from ws_load_test.analysis.comparison.samples import Variant, pair_variants


def rng(seed=1):
    return np.random.default_rng(seed)


def test_a_side_says_what_the_report_of_its_recordings_says():
    recordings = [drawn(rng(seed), seconds=7, failed=1) for seed in (1, 2)]
    side, summary = Variant.of("x", recordings), summarize(recordings)
    stats = side.total.response.stats()
    assert stats == summary["response_time_ns"]
    messages, sessions = summary["messages"], summary["connections"]
    assert side.total.requested == messages["due"] + sessions["attempted"]
    assert side.total.errors == messages["unanswered"] == 14
    assert side.total.measured_ns == 14 * SECOND


@pytest.mark.parametrize(("seconds", "blocks"), [(3, 3), (12, 12), (13, 12), (50, 12)])
def test_seconds_are_cut_into_blocks_that_have_them_all(seconds, blocks):
    side = Variant.of("x", [drawn(rng(), seconds=seconds, per_s=20)])
    assert not side.unit_is_recording
    lengths = [unit.measured_ns // SECOND for unit in side.units]
    assert len(lengths) == blocks
    assert sum(lengths) == seconds
    assert max(lengths) - min(lengths) <= 1
    assert side.outside_units.requested == 5


def test_a_sliver_of_a_second_belongs_to_its_neighbour():
    whole = [interval([10], index) for index in range(5)]
    sliver = interval([10], 5)
    sliver = type(sliver)(**{name: getattr(sliver, name) for name in sliver.__struct_fields__} | {"measured_ns": 10**8})
    side = Variant.of("x", [recording(*whole, sliver)])
    assert [unit.response.count for unit in side.units] == [1, 1, 1, 1, 2]


def test_what_comes_after_the_measured_time_is_in_the_last_block():
    closing = interval([7], 9, failed=3, phase="closing")
    side = Variant.of("x", [recording(*(interval([5], index) for index in range(5)), closing)])
    assert [unit.response.count for unit in side.units] == [1, 1, 1, 1, 2]
    assert [unit.errors for unit in side.units] == [0, 0, 0, 0, 3]
    assert side.units[-1].answered_in_window == 1


def test_what_was_in_flight_when_a_run_was_killed_is_an_error():
    seconds = [interval([5], index, sent=3, due=3) for index in range(5)]
    side = Variant.of("x", [recording(*seconds, ended=False)])
    assert side.total.errors == 10


def test_enough_repeats_are_taken_whole_and_fewer_are_cut():
    assert [len(Variant.of("x", [drawn(rng(), per_s=5)] * count).units) for count in (1, 2, 3, 4, 5)] == [
        10,
        12,
        12,
        4,
        5,
    ]
    assert Variant.of("x", [drawn(rng(), per_s=5)] * 4).unit_is_recording
    with pytest.raises(ValueError, match="at least one recording"):
        Variant.of("x", [])


def _rounds(series, *numbers):
    return [drawn(rng(number), seconds=1, per_s=5 + number, mark=(series, number)) for number in numbers]


def test_rounds_of_one_series_are_paired_by_their_numbers():
    base, new = _rounds("s", 3, 1, 2), _rounds("s", 2, 3, 4)
    one, other = pair_variants(("a", "b"), base, new)
    assert [side.recordings[0].header.round.number for side in (one, other)] == [2, 2]
    assert len(one.units) == len(other.units) == 2
    assert (one.name, other.name) == ("a", "b")


def test_a_round_that_was_cut_short_is_left_out_with_its_partner():
    cut = drawn(rng(2), seconds=1, per_s=5, mark=("s", 2), interrupted=True)
    killed = drawn(rng(3), seconds=1, per_s=5, mark=("s", 3), ended=False)
    one, other = pair_variants(("a", "b"), [*_rounds("s", 1), cut, *_rounds("s", 3)], [*_rounds("s", 1, 2), killed])
    assert [[made.header.round.number for made in side.recordings] for side in (one, other)] == [[1], [1]]
    assert pair_variants(("a", "b"), [cut], _rounds("s", 2)) is None


def test_rounds_of_several_series_and_runs_of_none_are_no_pairs():
    base = _rounds("s", 1, 2)
    assert pair_variants(("a", "b"), base, _rounds("t", 1, 2)) is None
    assert pair_variants(("a", "b"), base, [drawn(rng(), per_s=5)]) is None
    assert pair_variants(("a", "b"), [drawn(rng(), per_s=5)], [drawn(rng(), per_s=5)]) is None
    assert pair_variants(("a", "b"), base, _rounds("s", 7)) is None
