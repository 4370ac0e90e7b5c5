"""Tests that judge times are done again where the machine paused, and only there."""

import itertools

import pytest

from pauses import ATTEMPTS, LOOK_S, PAUSE_S, PauseDetector, repeated_after_pauses


class Detector:
    """Has seen a pause of some length."""

    longest_s = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Paused(Detector):
    longest_s = PAUSE_S


def failing(times, error=AssertionError):
    """Returns a test that fails so many times, and the attempts that were made."""
    attempts = []

    def test(place):
        attempts.append(place)
        if len(attempts) <= times:
            raise error(f"attempt {len(attempts)}")

    return test, attempts


def test_a_failure_without_a_pause_counts_at_once():
    test, attempts = failing(1)
    with pytest.raises(AssertionError, match="attempt 1"):
        repeated_after_pauses(test, Detector)("here")
    assert attempts == ["here"]


def test_a_failure_beside_a_pause_is_tried_again():
    test, attempts = failing(ATTEMPTS - 1)
    repeated_after_pauses(test, Paused)("here")
    assert attempts == ["here"] * ATTEMPTS


def test_each_attempt_has_an_empty_folder(tmp_path):
    folders = []

    def test(tmp_path):
        folders.append(tmp_path)
        assert not list(tmp_path.iterdir())
        (tmp_path / "file").touch()
        assert len(folders) == ATTEMPTS

    repeated_after_pauses(test, Paused)(tmp_path=tmp_path)
    assert len(folders) == ATTEMPTS


def test_the_last_attempt_counts_in_any_case():
    test, attempts = failing(ATTEMPTS)
    with pytest.raises(AssertionError, match=f"attempt {ATTEMPTS}"):
        repeated_after_pauses(test, Paused)("here")
    assert len(attempts) == ATTEMPTS


def test_what_is_no_matter_of_times_counts_at_once():
    test, attempts = failing(1, KeyError)
    with pytest.raises(KeyError):
        repeated_after_pauses(test, Paused)("here")
    assert len(attempts) == 1


def test_a_detector_sees_the_clock_jump():
    readings = itertools.count()
    with PauseDetector(clock=lambda: next(readings)) as watch:
        while not watch.longest_s:
            pass
    assert watch.longest_s >= 1 - LOOK_S
