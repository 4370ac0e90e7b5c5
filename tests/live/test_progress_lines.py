import io
from collections import Counter

import pytest

from factories.run_states import MILLI, SECOND, answers, damaged, interval, opening, plan
from ws_load_test.live.progress_lines import ProgressLogger
from ws_load_test.metrics.recording import LostWorker
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import LoadProfile


class Stream(io.StringIO):
    encoding = "utf-8"


def told(*intervals, asked=None, encoding="utf-8", **options):
    stream = Stream()
    stream.encoding = encoding
    lines = ProgressLogger(asked or plan(), stream, **options)
    for one in intervals:
        lines(one)
    lines.close()
    return stream.getvalue().splitlines()


def seconds(count, made=None, *, from_s=0.0, phase="measured"):
    return [interval(made or answers(MILLI), phase, at_s=from_s + k) for k in range(count)]


def test_a_line_every_ten_seconds_of_the_run():
    lines = told(opening(at_s=0), *seconds(34, from_s=1))
    assert [line.partition(" of ")[0] for line in lines] == ["measured 9 s", "measured 19 s", "measured 29 s"]
    assert lines[0] == "measured 9 s of 60 s · 100 open · answered 1/s · p50 1 ms, p99 1 ms"


def test_nothing_of_a_shorter_run():
    assert told(opening(), *seconds(8, answers(MILLI, faults=Counter({"reset": 1})), from_s=1)) == []


def test_intervals_that_end_a_little_early_keep_the_pace():
    lines = told(*(interval(answers(MILLI), at_s=k * 0.998, length_s=0.998) for k in range(41)))
    assert len(lines) == 4


def test_times_are_those_since_the_line_before():
    lines = told(*seconds(10, answers(MILLI)), *seconds(10, answers(5 * MILLI), from_s=10))
    assert [line.split(" · ")[-1] for line in lines] == ["p50 1 ms, p99 1 ms", "p50 5 ms, p99 5 ms"]


def test_a_schedule_shows_what_was_asked():
    asked = plan(load=OpenLoop(LoadProfile.constant(100, 60 * SECOND)))
    (line,) = told(*seconds(10, answers(MILLI, due=3, dropped=2, unanswered=1)), asked=asked)
    assert " · requested 100/s · answered 1/s · " in line
    assert line.endswith(" · 10 unanswered · 20 dropped")


def test_where_no_reply_is_awaited_it_is_what_was_sent():
    (line,) = told(*seconds(10, Tally(sent=7, unanswered=7)), asked=plan(correlation=Correlation("none")))
    assert line == "measured 10 s of 60 s · 0 open · sent 7/s"


def test_phases():
    assert told(*(opening(2, at_s=k) for k in range(10))) == ["opening 20 of 100 · 20 open"]
    warm = told(*seconds(10, Tally(warmup_answered=5), phase="warmup"), asked=plan(warmup_ns=30 * SECOND))
    assert warm == ["warm-up 10 s of 30 s · 0 open · answered 5/s"]
    closing = told(*seconds(8), *seconds(2, phase="closing", from_s=8))
    assert closing == ["closing 2 s · 0 open"]
    number = told(*seconds(10), asked=plan(duration_ns=None, messages=12_345))
    assert number[0].startswith("measured 10 s, 10 of 12,345 · ")


def test_kinds_of_faults_are_named_when_they_are_new():
    def faulty(*kinds):
        return answers(MILLI, faults=Counter(kinds))

    first, second, third = told(
        *seconds(9), *seconds(1, faulty("reset", "reset"), from_s=9),
        *seconds(10, faulty("reset"), from_s=10),
        *seconds(10, faulty("dns", "tls", "proxy", "closed:1011", "\x1b[2J"), from_s=20),
    )  # fmt: skip
    assert first.endswith(" · 2 faults, new: reset")
    assert second.endswith(" · 12 faults")
    assert third.endswith(" · 62 faults, new: dns, tls, proxy and 2 more kinds")
    assert "\x1b" not in third


def test_failings_of_this_machine_and_lost_workers():
    made = answers(MILLI, host_errors=Counter({"out-of-ports": 5}))
    (line,) = told(opening(), *seconds(9, made, from_s=1), lost=lambda: [LostWorker(1, "gone", 5, 40)])
    assert " · 60 open · " in line
    assert line.endswith(" · this machine: out-of-ports · lost: worker 1")


@pytest.mark.parametrize("encoding", ["ascii", None])
def test_what_the_encoding_cannot_show_is_written_plainly(encoding):
    (line,) = told(*seconds(10, answers(5_000)), encoding=encoding)
    assert line == "measured 10 s of 60 s - 0 open - answered 1/s - p50 5 us, p99 5 us"


class Failing(Stream):
    tries = 0

    def flush(self):
        self.tries += 1
        raise BrokenPipeError


def test_a_stream_that_fails_is_left_alone(monkeypatch):
    stream = Failing()
    lines = ProgressLogger(plan(), stream)
    for one in seconds(30):
        lines(one)
    assert stream.tries == 1
    closed = Stream()
    closed.close()
    lines = ProgressLogger(plan(), closed)
    for one in seconds(30):
        lines(one)
    monkeypatch.setattr("sys.stderr", None)
    ProgressLogger(plan())(opening())


def test_a_damaged_interval_is_ignored():
    assert told(damaged()) == []


def test_standard_error_is_where_it_goes(capsys):
    lines = ProgressLogger(plan())
    for one in seconds(10):
        lines(one)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_a_doubt_about_the_pairing_is_reported_at_once_and_in_each_line():
    asked = plan(load=OpenLoop(LoadProfile.constant(100, 60 * SECOND)))
    suspected = answers(MILLI, pairing_suspected=2)
    lines = told(*seconds(3), interval(suspected, at_s=3), *seconds(8, from_s=4), asked=asked)
    assert lines[0].startswith("pairing in doubt: 2 sessions were often without a message in flight, and are no more")
    assert lines[0].endswith("or --match echo")
    assert [line.endswith(" · pairing in doubt") for line in lines[1:]] == [True]
    # A reply that was merely late makes it certain that none was lost.
    cleared = answers(MILLI, pairing_cleared=2)
    lines = told(interval(suspected, at_s=3), interval(cleared, at_s=4), *seconds(8, from_s=5), asked=asked)
    assert not lines[-1].endswith("pairing in doubt")
