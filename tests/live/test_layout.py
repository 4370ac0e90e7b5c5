from collections import Counter
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, Group

from factories.run_states import MICRO, MILLI, SECOND, answers, histogram, interval, load, opening, plan, scene
from ws_load_test.live.layout import render
from ws_load_test.live.lines import Viewport
from ws_load_test.metrics.recording import LostWorker
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.plan.target import Target

NASTY = "\x1b[31m\r\n\x00一二三四五六七八九十" * 9


def lines_of(made, width=80, height=24, **options):
    return [line.plain for line in render(made, Viewport(width, height), **options)]


def row(made, label, **options):
    return next(line for line in lines_of(made, **options) if line.lstrip().startswith(label)).strip()


def closed():
    return scene(
        opening(98, failed=2, faults=Counter({"connect-refused": 2})),
        *(
            interval(answers(*(k * 100 * MICRO for k in range(1, 101)), sent=101), at_s=1 + k, workers=[load()])
            for k in range(4)
        ),
    )


def schedule(**parts):
    shape = LoadProfile.constant(100, 60 * SECOND)
    seconds = (
        interval(
            answers(*[MILLI] * 90, due=100, sent=100, send_lag_ns=histogram(*[50 * MICRO] * 9)),
            at_s=1 + k,
            workers=[load()],
        )
        for k in range(3)
    )
    return scene(opening(), *seconds, asked=plan(load=OpenLoop(shape), **parts))


def everything():
    """More than any page can hold."""
    faults = Counter({f"closed:{4000 + k}": 10**k for k in range(15)})
    asked = plan(
        target=Target("ws://h/" + "long" * 40), load=OpenLoop(LoadProfile.constant(1e9, 60 * SECOND)), connections=10**6
    )
    made = scene(
        opening(10**6, failed=10**5, faults=faults),
        *(
            interval(
                answers(
                    *[10**13] * 5,
                    due=10**12,
                    sent=10**11,
                    unanswered=10**10,
                    dropped=10**11,
                    pushed=10**9,
                    lost=10**5,
                    reconnected=10**5,
                    storm_disconnected=10**5,
                    host_errors=Counter({"too-many-open-files": 10**6, "odd": 1}),
                    loop_lag_ns=histogram(*[10**9] * 9),
                    send_lag_ns=histogram(*[10**9] * 9),
                ),
                at_s=k,
                workers=[load(worker, 0.99) for worker in range(64)],
                fault_examples={"closed:4000": NASTY},
            )
            for k in range(5)
        ),
        asked=asked,
    )
    made.lost_workers = [LostWorker(worker, NASTY, 10**12, 500) for worker in range(3)]
    return made


def test_a_closed_loop_on_a_usual_terminal():
    lines = lines_of(closed(), since_ns=SECOND // 2)
    assert lines[0] == f"ws://echo.example/{'measured 4 s of 60 s':>62}"
    assert lines[1].endswith("  56 s left")
    assert lines[1].startswith("█")
    assert lines[3] == "connections   98 open of 100   2 failed"
    assert lines[4] == "              █████  to 98"
    assert lines[5] == "messages      answered 100/s   sent 101/s   as fast as answered"
    assert lines[6] == "              ████  to 100/s"
    assert lines[7:10] == ["              ████"] * 3
    assert lines[10] == "  in all      404 sent   400 answered   4 in flight   0 unanswered"
    assert lines[12].split() == ["response", "p50", "p90", "p99", "max"]
    assert lines[13] == "  last 5 s         5.00 ms     9.00 ms     9.90 ms       10 ms"
    assert lines[14].split()[:3] == ["whole", "run", "5.00"]
    assert lines[20] == "faults        2 faults"
    assert lines[21] == "  2  connect-refused  refuses TCP connections"
    assert lines[22] == "generator     keeps up   25 % of a core by its worker"
    assert len(lines) == 23


def test_a_large_terminal_is_used():
    lines = lines_of(closed(), width=120, height=40)
    assert 36 <= len(lines) <= 40
    assert "all response times" in lines
    bars = lines[lines.index("all response times") + 2 :]
    assert sum(int(line.split()[-3]) for line in bars) == 400
    rising = scene(opening(), *(interval(answers(*[MILLI] * n, sent=n), at_s=n) for n in (10, 20, 30, 40, 50)))
    tall = lines_of(rising, width=120, height=40)
    at = next(number for number, line in enumerate(tall) if line.startswith("messages")) + 1
    # Five rows of eighths: a fifth of the height is one whole row.
    assert [line[14:19] for line in tall[at : at + 5]] == ["    █", "   ██", "  ███", " ████", "█████"]


def test_conditions_show_their_value_so_far_and_whether_it_passes():
    asked = plan(fail_if=("p99 > 5ms", "errors > 50%", "tls.p99 > 1s"), slo=("rate > 50", "any p50 < 1s"))
    made = scene(
        opening(100),
        *(interval(answers(*[8 * MILLI] * 100, sent=100), at_s=k, workers=[load()]) for k in (1, 2)),
        asked=asked,
    )
    lines = render(made, Viewport(100, 40))
    shown = {line.plain[14:]: line for line in lines if "fail if" in line.plain or "slo" in line.plain}
    assert list(shown) == [
        "fail if p99 > 5ms: 8 ms",
        "fail if errors > 50%: 0 %",
        "fail if tls.p99 > 1s: –",
        "slo rate > 50: 100/s",
        "slo any p50 < 1s: 8 ms",
    ]
    styles = [[str(span.style) for span in line.spans][-1] for line in shown.values()]
    assert styles == ["bold red", "green", "dim", "green", "green"]


def test_a_schedule_shows_what_was_asked_beside_what_was_achieved():
    made = schedule()
    assert row(made, "messages") == "messages      requested 100/s   answered 90/s   sent 100/s"
    assert row(made, "sent late").split()[2:] == ["50", "µs", "50", "µs", "50", "µs", "50", "µs"]
    spans = {line.plain[span.start : span.end]: span.style for line in render(made, Viewport()) for span in line.spans}
    assert spans["answered 90/s"] == "bold yellow"
    assert spans["sent 100/s"] == "bold"


def test_where_no_reply_is_awaited_there_are_no_response_times():
    made = schedule(correlation=Correlation("none"))
    text = "\n".join(lines_of(made))
    assert "response" not in text
    assert "answered" not in text
    assert row(made, "messages") == "messages      requested 100/s   sent 100/s   pushed 0/s"
    assert row(made, "sent late").split()[2:] == ["p50", "p90", "p99", "max"]
    assert row(made, "last 5 s").endswith("50 µs")


def test_a_push_answers_no_message():
    made = schedule(correlation=Correlation("none"))
    spans = {line.plain[span.start : span.end]: span.style for line in render(made, Viewport()) for span in line.spans}
    assert (spans["sent 100/s"], spans["pushed 0/s"]) == ("bold", "bold")
    closing = scene(interval(phase="closing"), asked=plan(correlation=Correlation("none")))
    assert lines_of(closing)[1].endswith("  closing the connections")


def test_the_number_beside_a_chart_is_its_highest_column():
    rates = [9000] + [10] * 100
    made = scene(
        opening(5000, faults=Counter()),
        interval(answers(*[10**9] * 9, sent=9000, answered=9000, lost=4900, closed=Counter({"1006": 4900}))),
        *(interval(answers(*[MILLI] * 10), at_s=1 + k) for k in range(100)),
        asked=plan(connections=5000),
    )
    assert [one.answered_per_s for one in made.history] == rates
    lines = lines_of(made)
    charts = [line for line in lines if "  to " in line and "█" in line]
    assert [line.rpartition("  to ")[2] for line in charts] == ["100", "10/s", "1 ms"]
    assert all(len(line) == 80 and line.count("█") > 50 for line in charts)
    # Where there is room for it the high column is one of them, and the others are low.
    assert any(line.endswith("  to 9,000/s") and line.count("█") == 1 for line in lines_of(made, width=140))


def test_before_anything_is_known():
    lines = lines_of(scene(asked=plan(workers=2)))
    assert lines[0].endswith("starting")
    assert lines[1].endswith("  2 workers to start")
    assert "connections   0 open of 100" in lines
    assert "messages      none yet" in lines


def test_phases():
    assert row(scene(opening(30, at_s=2)), "█").endswith("  30 of 100")
    assert lines_of(scene(opening(30, at_s=2)))[0].endswith("opening 1 s")
    warm = scene(
        opening(),
        interval(Tally(warmup_sent=9), "warmup", at_s=1),
        asked=plan(warmup_ns=5 * SECOND, duration_ns=SECOND),
    )
    assert lines_of(warm)[0].endswith("warm-up 1 s of 5 s")
    assert lines_of(warm)[1].endswith("  5 s left")
    assert row(warm, "in all") == "in all      9 sent   warming up: these do not count"
    closing = scene(interval(phase="closing"))
    assert lines_of(closing)[1].endswith("  waiting for the last replies, 10 s at most")
    number = scene(interval(answers(*[MILLI] * 9)), asked=plan(duration_ns=None, messages=100))
    assert lines_of(number)[1].endswith("  about 11 s left")


def test_what_happens_to_sessions():
    made = scene(
        opening(100), interval(Tally(lost=3, storm_disconnected=40, reconnected=20, closed=Counter({"1006": 43})))
    )
    assert row(made, "connections") == "connections   57 open of 100   3 lost   40 cut off   20 reconnected"


def test_a_lost_worker_is_reported_with_its_sessions():
    made = closed()
    made.lost_workers = [LostWorker(1, "its process was killed (SIGKILL)", 3 * SECOND, 49)]
    assert row(made, "lost") == "lost          worker 1 after 3 s, and 49 sessions with it: its process was"
    assert row(made, "connections").startswith("connections   49 open of 100")


def test_a_generator_at_its_limit_is_reported_with_the_reason():
    made = scene(*(interval(answers(MILLI), at_s=k, workers=[load(0, 0.99), load(1, 0.5)]) for k in range(5)))
    assert row(made, "generator") == "generator     99 % of a core by the busiest of 2 workers"
    assert row(made, "saturated").startswith("saturated   worker 0 used 99 % of a core")


def test_a_doubt_about_the_pairing_stands_out():
    made = scene(*(interval(answers(MILLI, pairing_suspected=int(k == 3)), at_s=k, workers=[load()]) for k in range(5)))
    assert row(made, "pairing").startswith("pairing     1 session was often without a message in flight, and is")


def test_faults_of_this_machine_come_with_the_remedy():
    made = scene(opening(1, host_errors=Counter({"out-of-ports": 1200})))
    assert row(made, "this machine").startswith("this machine  1,200 out-of-ports: widen net.ipv4.ip_local_port_range")


def test_new_faults_are_reported_apart():
    made = scene(
        interval(Tally(faults=Counter({"reset": 3}))),
        interval(Tally(faults=Counter({"reset": 2, "dns": 9})), at_s=1),
    )
    assert row(made, "faults") == "faults        14 faults of 2 kinds   11 new"
    lines = lines_of(made)
    at = next(number for number, line in enumerate(lines) if line.startswith("faults"))
    assert [line.split()[:2] for line in lines[at + 1 : at + 3]] == [["9", "dns"], ["5", "reset"]]


def test_notes_stand_at_the_end():
    lines = lines_of(closed(), notes=[("first", "dim"), ("stopping\x1b[2J", "yellow")])
    assert lines[-2:] == ["first", "stopping?[2J"]


def test_the_rows_that_matter_are_kept_on_a_small_terminal():
    lines = lines_of(schedule(), width=40, height=10)
    assert len(lines) == 10
    for label in ("connections", "messages", "response", "  last 5 s", "  whole run", "faults", "generator"):
        assert any(line.startswith(label) for line in lines), label
    assert "measured" in lines[0]
    assert lines_of(schedule(), height=5)[3].startswith("  last 5 s")


def test_secrets_of_the_target_are_not_shown():
    made = scene(asked=plan(target=Target("ws://joe:secret@h/?token=hidden")))
    text = "\n".join(lines_of(made, width=200))
    assert "secret" not in text
    assert "hidden" not in text


SCENES = {"nothing": scene, "closed": closed, "schedule": schedule, "everything": everything}
SIZES = [(80, 24), (40, 10), (20, 5), (5, 3), (1, 1), (60, 15), (133, 50), (250, 100)]


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_page_is_larger_than_its_terminal(name, width, height, encoding):
    lines = render(SCENES[name](), Viewport(width, height, encoding), notes=[(NASTY, "dim")] * 9)
    assert len(lines) <= height
    for line in lines:
        assert line.cell_len <= width, line.plain
        line.plain.encode(encoding)
    file = StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system="truecolor")
    console.print(Group(*lines))
    drawn = file.getvalue().rstrip("\n").split("\n")
    assert len(drawn) == len(lines), "a line was wrapped"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 100))
def test_nor_at_any_other_size(width, height):
    made = everything_once()
    lines = render(made, Viewport(width, height))
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


_kept = []


def everything_once():
    if not _kept:
        _kept.append(everything())
    return _kept[0]


def test_eighty_columns_and_24_rows_hold_the_worst():
    lines = lines_of(everything_once(), notes=[("stopping", "yellow")])
    assert len(lines) == 24
    for label in ("connections", "messages", "  last 5 s", "  whole run", "faults", "lost", "generator", "  saturated"):
        assert any(line.startswith(label) for line in lines), label
    assert lines[-1] == "stopping"


def test_colours_are_no_more_than_an_addition():
    file = StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True, color_system="truecolor", no_color=True)
    console.print(Group(*render(everything_once(), Viewport())))
    assert "\x1b[3" not in file.getvalue()
    assert "yellow" not in file.getvalue()
