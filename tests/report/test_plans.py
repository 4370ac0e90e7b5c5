"""Plans of other versions, and failures of a run: each report has the same words for them."""

from types import SimpleNamespace

import msgspec
import pytest

from factories.pages import minute
from factories.results import results, text_of
from ws_load_test.analysis.summary_types import FailureReason
from ws_load_test.metrics.recording import LostWorker, Recording
from ws_load_test.report.content.plans import RecordedPlans, load_of
from ws_load_test.report.content.run_failure import failure_of
from ws_load_test.report.html.run import page
from ws_load_test.report.terminal.run import report_lines


def with_plan(made, **changes):
    header = msgspec.structs.replace(made.header, plan={**made.header.plan, **changes})
    return Recording(header, made.intervals, made.trailer)


def flat(made):
    return " ".join(" ".join(line.plain for line in report_lines(made.recordings, made.summary)).split())


def test_an_option_of_a_newer_version_is_named_and_the_rest_is_shown():
    known, newer = minute(), with_plan(minute(), teleport=True, anti_gravity={"g": -1})
    assert RecordedPlans.of([known]).notes == ()
    read = RecordedPlans.of([newer])
    assert read.plans == RecordedPlans.of([known]).plans
    (note,) = read.notes
    assert note.endswith("does not know, so no row shows anti_gravity, teleport")
    text = flat(results(newer))
    assert note in text
    assert "warm-up 1 s" in text
    _, sections = page(results(newer))
    assert any(note[1:] in getattr(part, "text", "") for section in sections for part in section.parts)
    assert note not in flat(results(known))


def test_a_plan_that_cannot_be_read_is_no_silence():
    strange = with_plan(minute(), connections="many")
    read = RecordedPlans.of([minute(), strange])
    assert read.plans == ()
    assert read.only is None
    (note,) = read.notes
    assert "cannot read the plan" in note
    assert "connections" in note
    assert "no row shows what was requested" in flat(results(strange))
    # Its load can be read all the same.
    assert load_of(strange).requested_rate.peak == 42
    assert load_of(with_plan(strange, load={"kind": "warp"})) is None


def test_names_of_options_are_cleaned():
    (note,) = RecordedPlans.of([with_plan(minute(), **{"a\x1b[31m": 1})]).notes
    assert "\x1b" not in note


@pytest.mark.parametrize(
    ("interrupted", "killed", "lost", "why", "passed", "headline", "words", "is_error"),
    [
        (True, False, 1, None, False, "Partial: interrupted", "interrupted: the numbers are partial", True),
        (True, True, 0, None, False, "Partial: killed, the recording has no end", "killed before its end", True),
        (False, False, 1, None, False, "A worker was lost", "a worker was lost", True),
        (False, False, 1200, None, False, "1,200 workers were lost", "1,200 workers were lost", True),
        (False, False, 0, "no reply", False, "No reply", "no reply", False),
        (False, False, 0, None, False, "The verdict is that it failed", "the verdict is that it failed", False),
        (False, False, 0, None, True, None, None, None),
    ],
)
def test_a_failure_has_one_wording(  # noqa: PLR0917 - the columns of the table
    interrupted, killed, lost, why, passed, headline, words, is_error
):
    trailer = None if killed else SimpleNamespace(lost_workers=[LostWorker(0, "gone", 1)] * lost)
    summary = SimpleNamespace(
        interrupted=interrupted,
        verdict=SimpleNamespace(
            passed=passed, failed_checks=[], reason=why and FailureReason.NOTHING_ANSWERED, why=why
        ),
    )
    failure = failure_of([SimpleNamespace(trailer=trailer)], summary)
    if headline is None:
        assert failure is None
        return
    assert (failure.headline, failure.is_error) == (headline, is_error)
    assert failure.text.startswith(words)


def test_all_reports_tell_a_failure_in_these_words():
    made = minute()
    lost = Recording(
        made.header, made.intervals, msgspec.structs.replace(made.trailer, lost_workers=(LostWorker(0, "gone", 1),))
    )
    taken = results(lost)
    words = taken.failure.text
    assert words == "a worker was lost"
    assert f"failed, {words}" in text_of("markdown", taken)
    assert f'message="{words}"' in text_of("junit", taken)
    assert flat(taken).startswith(taken.failure.headline)
    assert page(taken)[0].verdict == taken.failure.headline
