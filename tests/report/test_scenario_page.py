"""Steps, reactions and sessions of a scenario on the page of a run: each number of them."""

import msgspec

from factories.results import MILLI, recording, results
from factories.scenarios import excerpts, plan, recorded, second
from ws_load_test.metrics.scenario_metrics import RoleTally
from ws_load_test.metrics.session_excerpts import Entry, Excerpt, RoleExcerpts
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.command_line import command_line
from ws_load_test.report.content.repeat import repeat_note
from ws_load_test.report.html.document import Chart, KeyValueRows, Table, Text, Tiles
from ws_load_test.report.html.overview import overview
from ws_load_test.report.html.run import lines, page

SLOW = ("steps.say.p99 > 50ms", "sessions.failed > 0", "p99 > 1s")


def made(*tallies):
    return results(recorded(*(tallies or (second(), second(), second())), plan=plan(fail_if=SLOW)))


def parts_of(found, title):
    _, sections = page(found)
    (section,) = (one for one in sections if one.title == title)
    return section.parts


def table(parts, first):
    (found,) = (one for one in parts if isinstance(one, Table) and one.heads[0] == first)
    return found


def test_the_first_screen_names_the_slowest_step_and_where_sessions_fail():
    (tiles,) = (part for part in overview(made()) if isinstance(part, Tiles))
    found = {tile.name: tile for tile in tiles.tiles}
    assert list(found)[:2] == ["slowest step", "sessions failed"]
    assert (found["slowest step"].value, found["slowest step"].note) == ("ask", "p99 400 ms")
    failed = found["sessions failed"]
    assert (failed.value, failed.tone) == ("10", "doubt")
    assert failed.note == "6 at writer/say, 3 at writer/ask, 1 at reader/(dial), 3 dropped"


def test_a_run_in_which_no_session_fails_says_so():
    tally = Tally(roles={"writer": RoleTally(sessions_due=2, sessions_begun=2, sessions_completed=2)})
    failing = recorded(tally)
    found = results(msgspec.structs.replace(failing, intervals=failing.intervals[1:]))
    (tiles,) = (part for part in overview(found) if isinstance(part, Tiles))
    (tile,) = (one for one in tiles.tiles if one.name == "sessions failed")
    assert (tile.value, tile.note, tile.tone) == ("0", "of 2", "plain")


def test_the_head_shows_the_p99_of_each_step_over_the_run():
    quiet = Tally()
    head, _ = page(made(second(), quiet, second(), second()))
    chart = head.parts[-1]
    assert isinstance(chart, Chart)
    assert chart.key == "steps-over-time"
    by_name = {trace["name"]: trace for trace in chart.figure["data"]}
    assert list(by_name) == ["ask", "say", "reader/join", "writer/join", "limit of steps.say.p99: 50 ms"]
    assert [None if one is None else one // MILLI for one in by_name["say"]["y"]] == [None, 99, 99, 99]
    assert by_name["ask"]["y"][1] == 400 * MILLI
    assert by_name["reader/join"]["y"] == [8 * MILLI, None, None, None]
    assert chart.table.rows[1][1:] == ["400 ms", "99.0 ms", "–", "–"]


def test_failed_sessions_are_shown_when_and_where():
    (chart,) = (one for one in parts_of(made(), "Steps and sessions") if getattr(one, "key", "") == "sessions-failed")
    by_name = {trace["name"]: trace["y"] for trace in chart.figure["data"]}
    assert by_name == {"writer/say": [0, 2, 2, 2], "writer/ask": [0, 1, 1, 1], "reader/(dial)": [1, 0, 0, 0]}
    assert chart.table.rows[0][1:] == ["0", "0", "1"]


def test_the_tables_have_every_step_and_role():
    parts = parts_of(made(), "Steps and sessions")
    both = [one for one in parts if isinstance(one, Table)]
    steps, roles = both
    assert steps.rows[2] == ["writer", "say", "309", "50.0 ms", "99.0 ms", "100 ms", "18"]
    assert [row[1] for row in steps.rows] == [
        *("join (open)", "join (open)", "say", "ask", "first", "gap", "typing", "beat (timer)", "leave"),
        "an iteration",
    ]
    assert roles.rows == [
        ["reader", "9", "9", "21", "1", "0", "1 at (dial)"],
        ["writer", "10", "7", "0", "9", "3", "6 at say, 3 at ask"],
    ]
    (notes,) = (one for one in parts if isinstance(one, KeyValueRows))
    counts = "36 due, 27 completed, 3 dropped, 6 not completed"
    assert notes.rows[0] == ("writer", f"iterations: {counts}; 12 waited for a session (p99 2 s)")


def test_reactions_have_a_section_of_their_own():
    parts = parts_of(made(), "Reactions")
    found = table(parts, "on")
    assert found.rows[0] == ("tick", "270", "88/s", "6 (15)", "3", "3", "3", "42.0 ms", "86 ms")
    assert any("target's clock is at least 20 ms ahead of ours" in one.text for one in parts[1:])


def test_messages_balance_with_those_that_nothing_answers():
    texts = [one.text for one in parts_of(made(), "Messages") if hasattr(one, "text")]
    assert "due 339 = sent 336 + dropped 3; sent 336 = answered 306 + unanswered 12 + unawaited 18" in texts


def test_a_page_without_a_scenario_has_none_of_it():
    _, sections = page(results(recording()))
    assert not {"Steps and sessions", "Reactions"} & {one.title for one in sections}


def test_the_command_names_the_plan_file():
    found = made()
    assert "--plan FILE" in found.summary.command
    assert repeat_note(found) == "FILE stands for the plan file with the roles."
    assert "--plan" not in command_line(plan(None))


def test_names_from_a_plan_are_text():
    evil = second()
    evil.steps["writer/<b>x</b>"] = evil.steps.pop("writer/say")
    text = "".join(lines(made(evil, evil, evil)))
    assert "<b>x</b>" not in text


STEP_BY_STEP = "Sessions, step by step"


def followed(found=None):
    """A run in which sessions of the writers were followed."""
    tally = second()
    tally.roles["writer"].excerpts = found or excerpts()
    return made(tally, second(), second())


def charts(found):
    return [one for one in parts_of(found, STEP_BY_STEP) if isinstance(one, Chart)]


def test_each_excerpt_of_a_session_is_a_chart_with_its_words_and_its_table():
    first, slowest, failed = charts(followed())
    assert [first.title, slowest.title, failed.title] == [
        "writer, session 9: its beginning",
        "writer, session 9: the slowest step, 400 ms",
        "writer, session 9: failed at say",
    ]
    opened = "It opened 100 ms before the start of the load and was ready 8 ms later."
    assert first.text == f"{opened} It went on after what is shown."
    assert slowest.text.endswith("80 steps and messages before these are left out.")
    assert failed.text.endswith("only the step at which it failed is known. It failed after 2 s: reply-timeout.")
    assert first.table.rows == [
        ["0 ns", "step (open)", "join", "0 ns", "8 ms", "completed"],
        ["500 ms", "timer", "beat", "0 ns", "0 ns", "sent"],
        ["1.01 s", "step", "say", "22 ms", "100 ms", "completed"],
        ["1.04 s", "message, on", "tick", "–", "60 ms", "7 of them"],
        ["1.10 s", "push", "–", "–", "–", ""],
        ["1.11 s", "step", "ask", "0 ns", "–", "still awaited"],
    ]
    assert slowest.table.rows[0][-1] == "completed by 11 messages"
    assert failed.table.heads[0] == "from when it was due"
    (words,) = (one.text for one in parts_of(followed(), STEP_BY_STEP) if isinstance(one, Text))
    assert "A run follows a few sessions of each role" in words


def test_steps_waits_messages_and_faults_are_where_they_happened():
    first, slowest, failed = charts(followed())
    lanes = dict(zip(first.figure["layout"]["yaxis"]["ticktext"], range(9), strict=False))
    assert lanes == {"join": 0, "beat": 1, "say": 2, "ask": 3, "tick": 4, "pushes": 5}
    by_name = {trace["name"]: trace for trace in first.figure["data"]}
    steps = by_name["step"]
    assert (steps["base"], steps["x"], steps["y"]) == ([0, 1030], [8, 78], [0, 2])
    assert by_name["step, still awaited"]["base"] == [1108]
    assert (by_name["wait"]["x"], by_name["wait"]["y"]) == ([8, 1008, None], [2, 2, None])
    assert by_name["due, not sent"]["x"] == [1008, 1030, None]
    assert by_name["message that awaits no other"]["x"] == [500]
    assert by_name["several messages"]["x"] == [1040, 1100, None]
    assert sorted(by_name["message"]["x"]) == [1040, 1100, 1100]
    assert first.figure["layout"]["xaxis"]["title"]["text"] == "milliseconds from the opening of the session"
    (note,) = slowest.figure["layout"]["annotations"]
    assert (note["text"], round(note["x"], 3)) == ("400 ms", 9.2)
    missed = {trace["name"]: trace for trace in failed.figure["data"]}
    assert (missed["step, not completed"]["x"], missed["fault"]["x"]) == ([1998], [2000])
    assert [one["text"] for one in failed.figure["layout"]["annotations"]] == ["failed"]


def test_an_excerpt_that_another_has_whole_is_not_shown_twice():
    entries = [Entry("step", "say", at, at, at + 5, 1, "completed") for at in (0, 10, 20)]
    whole = Excerpt(session=3, opened_ns=1, ended_ns=30, failed_at="say", fault="reset", entries=entries)
    found = RoleExcerpts(
        first=Excerpt(session=3, opened_ns=1, entries=entries[:2]),
        slowest=Excerpt(session=4, opened_ns=1, took_ns=5, entries=entries[:2]),
        failed=whole,
    )
    assert [one.title for one in charts(followed(found))] == [
        "writer, session 4: the slowest step, 5 ns",
        "writer, session 3: failed at say",
    ]


def test_names_in_a_time_line_are_text_and_short():
    evil = Entry("step", "<b>" + "x" * 100, 0, 0, 5, 1, "completed")
    (chart,) = charts(followed(RoleExcerpts(first=Excerpt(session=1, entries=[evil]))))
    assert chart.figure["layout"]["yaxis"]["ticktext"] == ["&lt;b&gt;" + "x" * 24 + "…"]
    assert "<b>" not in chart.figure["data"][0]["text"][0]


def test_a_run_without_excerpts_has_no_such_section():
    _, sections = page(made())
    assert STEP_BY_STEP not in {one.title for one in sections}
