"""Steps, reactions and sessions of a scenario in the report at a terminal: each number of it."""

import msgspec
import pytest

from factories.results import MILLI, SECOND, recording
from factories.scenarios import CHAT, plan, recorded, second
from ws_load_test.analysis.ages import AgeStats
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.analysis.findings import FindingKind
from ws_load_test.analysis.summary import summarize
from ws_load_test.metrics.scenario_metrics import ReactionTally
from ws_load_test.metrics.tally import Tally
from ws_load_test.report.content.outcome import faults
from ws_load_test.report.content.scenario import age_words, format_age
from ws_load_test.report.results import Results
from ws_load_test.report.terminal.brief import brief_lines
from ws_load_test.report.terminal.run import report_lines


def text_of(made):
    return "\n".join(line.plain for line in report_lines([made], summarize([made])))


def block(text, first):
    """Returns the part of a report that begins with a line, up to the next blank one."""
    return text[text.index(first) :].split("\n\n")[0].splitlines()


@pytest.fixture(scope="module")
def text():
    return text_of(recorded())


def test_the_first_screen_names_the_slowest_step_and_where_sessions_fail(text):
    first = text.split("\n\nsteps")[0].splitlines()
    assert "slowest step  ask p99 400 ms, say p99 99.0 ms, reader/join p99 8 ms, 1 faster" in first
    assert "failed steps  say 6 of 104 (reply-timeout), ask 1 of 3" in first
    at = first.index("sessions      13 due, 12 begun, 7 completed, 4 failed (2 at writer/say, 1 at")
    assert first[at + 1] == "              reader/(dial), 1 at writer/ask), 1 dropped, 1 without a known end"
    at = first.index("on            tick 88/s, 2 gaps (5 missing), 1 repeat, 1 out of order, 2 without")
    assert first[at + 1] == "              a time stamp, 1 silence, the longest 6 s, age p99 86 ms"
    at = first.index("messages      112 sent, 102 answered, 4 unanswered, 6 unawaited, 1 of 113 due")
    assert first[at + 1] == "              dropped"
    assert first[0] == "Done, with 4 sessions failed, 1 session dropped, 7 faults, 4 messages"


def test_the_table_has_the_steps_of_each_role(text):
    assert block(text, "steps     ") == [
        "steps           count      p50      p99     max  failed",
        "reader",
        "  join (open)       8  4.00 ms     8 ms    8 ms       0",
        "  sessions: 9 due, 9 begun, 7 completed, 1 failed (1 at (dial)), 1 without a",
        "  known end",
        "writer",
        "  join (open)       1     7 ms     7 ms    7 ms       0",
        "  say             103  50.0 ms  99.0 ms  100 ms       6",
        "  ask               3   300 ms   400 ms  400 ms       1",
        "    first           2  30.0 ms    40 ms   40 ms",
        "    gap            19  10.0 ms    19 ms   19 ms",
        "  typing            6        –        –       –       0",
        "  beat (timer)      0        –        –       –       0",
        "  leave             0        –        –       –       0",
        "  an iteration      9   500 ms   900 ms  900 ms",
        "  sessions: 4 due, 3 begun, 0 completed, 3 failed (2 at say, 1 at ask), 1",
        "  dropped",
        "  iterations: 12 due, 9 completed, 1 dropped, 2 not completed; 4 waited for a",
        "  session (p99 2 s)",
        "  say: 3 unanswered, 1 dropped, 2 with a failed check, 2 sessions failed at it",
        "  (faults: reply-timeout 3, check-failed 2)",
        "  ask: 1 unanswered, 1 session failed at it",
        "  ask: 21 messages of answers, 10 each in the median, 1 stall, 1 broken off",
    ]


def test_the_table_of_reactions_says_what_is_known_of_the_clock(text):
    assert block(text, "on          count") == [
        "on          count  rate   gaps  repeats  disorder  silent  age p50  age p99",
        "  tick         90  88/s  2 (5)        1         1       1  42.0 ms    86 ms",
        "  typing        0   0/s      –        –         –       –        –        –",
        "  gaps: numbers that jumped ahead, with the numbers left out in brackets;",
        "  disorder: out of order",
        "  silent: times without such a message that were longer than the plan allows",
        "  tick: 1 restart, 2 messages without a time stamp",
        "  tick: ages from -20 ms to 86 ms; 2 below 0, so the target's clock is at least",
        "  20 ms ahead of ours; by any offset, p99 is 106 ms above the lowest",
    ]


def test_failures_are_yellow():
    made = recorded()
    styles = {
        line.plain.split()[0]: str(line.style) for line in report_lines([made], summarize([made])) if line.plain.strip()
    }
    assert (styles["say"], styles["beat"], styles["tick"]) == ("yellow", "", "yellow")


def test_columns_that_no_reaction_has_are_left_out():
    role = msgspec.structs.replace(CHAT.roles[0], reactions=CHAT.roles[0].reactions[1:])
    made = recorded(
        Tally(reactions={"reader/typing": ReactionTally(seen=3, seen_in_window=3)}),
        plan=plan(msgspec.structs.replace(CHAT, roles=(role,))),
    )
    assert block(text_of(made), "on  ") == ["on          count  rate", "  typing        3   3/s"]
    assert "nothing missing" not in text_of(made)


def test_a_reaction_without_flaws_says_so():
    made = recorded(Tally(reactions={"reader/tick": ReactionTally(seen=9, seen_in_window=9)}))
    assert "on            tick 9/s, nothing missing" in text_of(made)


def test_ages_of_an_unknown_clock():
    reaction = ReactionTally()
    for age_ms in (30, 40):
        reaction.record_age(age_ms * MILLI)
    words = age_words(AgeStats.of(reaction))
    assert words == (
        "ages from 30 ms to 40 ms; the offset of the target's clock is not known, and each age is off by it; by any"
        " offset, p99 is 10 ms above the lowest"
    )
    assert (format_age(-3_661 * SECOND), format_age(0), format_age(-5)) == ("-1 h 1 min", "0 ns", "-5 ns")


def test_a_run_without_a_scenario_says_nothing_of_it():
    text = text_of(recording())
    assert "steps" not in text
    assert "sessions  " not in text


def test_a_long_name_gives_way_to_the_figures():
    name = "a name of sixty characters that says all there is to be said"
    role = msgspec.structs.replace(
        CHAT.roles[1], open=(), leave=(), timers=(), steps=(msgspec.structs.replace(CHAT.roles[1].steps[1], name=name),)
    )
    tally = second()
    tally.steps = {f"writer/{name}": tally.steps["writer/say"]}
    made = recorded(tally, plan=plan(msgspec.structs.replace(CHAT, roles=(role,))))
    assert max(map(len, text_of(made).splitlines())) <= 80


def test_replies_of_steps_are_not_paired_in_order():
    made = recorded(second(), second())
    results = Results([made], summarize([made]), aggregate([made]))
    assert not results.pairing_findings
    assert FindingKind.QUEUE not in [one.kind for one in results.findings]
    assert not any("pairing" in line.plain for line in brief_lines(results))


def test_dropped_iterations_are_a_reason_to_doubt():
    made = recorded()
    warnings = summarize([made]).warnings
    (found,) = (one for one in warnings if "iterations" in one)
    assert found == (
        'role "writer" has too few sessions for its rate: of the 12 iterations that were due, 4 waited for a free one,'
        " at most 2 s, which their times include, and 1 (8 %) were dropped, so that the target got less than the"
        " requested rate; give it more sessions or a lower rate, if its iterations do not take too long"
    )
    calm = second()
    calm.roles["writer"].iterations_dropped = 0
    waiting = summarize([recorded(calm)]).warnings
    assert any("12 iterations that were due, 4 waited for a free one" in one for one in waiting)
    assert not any("were dropped" in one for one in waiting)
    calm.roles["writer"].iteration_wait_ns.clear()
    assert not any("iterations" in one for one in summarize([recorded(calm)]).warnings)


def test_an_answer_of_one_message_has_no_row_of_gaps():
    made = second()
    made.steps["writer/ask"].gap_ns.clear()
    found = block(text_of(recorded(made)), "steps     ")
    assert any(line.startswith("    first ") for line in found)
    assert not any(line.startswith("    gap ") for line in found)


def test_sessions_that_arrive_are_not_of_those_at_the_same_time():
    role = msgspec.structs.replace(CHAT.roles[0], arrive_per_s=2.0)
    arriving = plan(msgspec.structs.replace(CHAT, roles=(role, CHAT.roles[1])))
    assert "connections   9 of 10 opened" in text_of(recorded())
    assert "connections   9 opened" in text_of(recorded(plan=arriving))


def test_a_fault_that_several_steps_had_is_counted_by_step():
    tally = second()
    tally.steps["writer/ask"].faults["reply-timeout"] = 1
    results = Results([recorded(tally)], summarize([recorded(tally)]), aggregate([recorded(tally)]))
    found = {kind: text for kind, _, text in faults(results)}
    assert found["reply-timeout"].endswith(" (3 at say, 1 at ask)")
    assert not found["check-failed"].endswith(")")
