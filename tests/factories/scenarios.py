"""A scenario of two roles, and runs of it in which each number is another: what the tests of its results share."""

from collections import Counter

import msgspec

from factories.results import MILLI, SECOND, histogram, interval
from ws_load_test.metrics.recording import Header, Recording, Trailer
from ws_load_test.metrics.scenario_metrics import AT_DIAL, ReactionTally, RoleTally
from ws_load_test.metrics.session_excerpts import Entry, Excerpt, RoleExcerpts
from ws_load_test.metrics.tally import Tally
from ws_load_test.plan.correlation import parse_check
from ws_load_test.plan.load import RoleLoad
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.scenario.model import Reaction, Role, Scenario, Step, Text, Timer
from ws_load_test.plan.scenario.wait_time import WaitTime
from ws_load_test.plan.target import Target

HELLO = Text(payload=b"hello")
REPLY = (parse_check("json:ok"),)


def step(name, *, sends=True, awaits=True, **parts):
    return Step(name=name, send=HELLO if sends else None, awaits=REPLY if awaits else (), **parts)


CHAT = Scenario(
    roles=(
        Role(
            name="reader",
            sessions=9,
            open=(step("join"),),
            reactions=(
                Reaction(name="tick", when=REPLY, sequence="json:n", age="json:sent_ms", silence_ns=5 * SECOND),
                Reaction(name="typing", when=REPLY),
            ),
        ),
        Role(
            name="writer",
            sessions=1,
            rate_per_s=10.0,
            open=(step("join"),),
            steps=(
                Step(name="pause", wait=WaitTime(ns=SECOND)),
                step("say"),
                step("ask", until=REPLY),
                step("typing", awaits=False),
            ),
            leave=(step("leave"),),
            timers=(Timer(every_ns=SECOND, step=step("beat", awaits=False)),),
        ),
    )
)


def plan(scenario=CHAT, **parts):
    usual = {"target": Target("ws://h/"), "duration_ns": 2 * SECOND, "connections": 10, "load": RoleLoad()}
    return Plan(**(usual | parts), scenario=scenario)


def timed(*values, **counts):
    """A step that was taken as often as it has values, and more often where counts say so."""
    count = len(values)
    made = Tally(**({"due": count, "sent": count, "answered": count} | counts))
    made.response_time_ns = histogram(*values)
    made.service_time_ns = histogram(*(value // 2 for value in values))
    return made


def excerpts():
    """The beginning of a session, the slowest step of another, and the end of one that was not followed."""
    begun = [
        Entry("open", "join", 0, 0, 8 * MILLI, 1, "completed"),
        Entry("timer", "beat", 500 * MILLI, 500 * MILLI, 500 * MILLI, 1, "sent"),
        Entry("step", "say", 1008 * MILLI, 1030 * MILLI, 1108 * MILLI, 1, "completed"),
        Entry("reaction", "tick", 1040 * MILLI, None, 1100 * MILLI, 7),
        Entry("push", "", 1100 * MILLI),
        Entry("step", "ask", 1108 * MILLI, 1108 * MILLI, None),
    ]
    told = [Entry("step", "ask", 9 * SECOND, 9 * SECOND, 9 * SECOND + 400 * MILLI, 11, "completed")]
    failed = [
        Entry("step", "say", 0, 2 * MILLI, None, 1, "unanswered"),
        Entry("fault", "reply-timeout", 2 * SECOND),
    ]
    return RoleExcerpts(
        first=Excerpt(session=9, opened_ns=-100 * MILLI, ready_ns=8 * MILLI, entries=begun),
        slowest=Excerpt(session=9, opened_ns=3 * SECOND, took_ns=400 * MILLI, left_out=80, entries=told),
        failed=Excerpt(
            session=9,
            opened_ns=5 * SECOND,
            ended_ns=2 * SECOND,
            failed_at="say",
            fault="reply-timeout",
            is_partial=True,
            entries=failed,
        ),
    )


def opening():
    """The opening: all sessions but one join, and one reader's dial fails."""
    return Tally(
        attempted=10,
        opened=9,
        failed=1,
        faults=Counter({"connect-refused": 1}),
        steps={
            "reader/join": timed(*(k * MILLI for k in range(1, 9)), due=8, sent=8),
            "writer/join": timed(7 * MILLI),
        },
        roles={
            "reader": RoleTally(sessions_due=9, sessions_begun=9, failed_at=Counter({AT_DIAL: 1})),
            "writer": RoleTally(sessions_due=1, sessions_begun=1),
        },
    )


def second():
    """A second of the load."""
    say = timed(*(k * MILLI for k in range(1, 101)), due=104, sent=103, unanswered=3, dropped=1)
    say.faults = Counter({"check-failed": 2, "reply-timeout": 3})
    ask = timed(300 * MILLI, 400 * MILLI, streamed=21, stalls=1, broken_off=1, sent=3, due=3, unanswered=1)
    ask.first_time_ns, ask.gap_ns = histogram(30 * MILLI, 40 * MILLI), histogram(*(k * MILLI for k in range(1, 20)))
    ask.answer_messages = histogram(10, 11)
    tick = ReactionTally(seen=90, seen_in_window=88, gaps=2, missed=5, repeats=1, out_of_order=1, stalls=1)
    tick.silence_ns, tick.restarts = histogram(6 * SECOND), 1
    tick.longest_silence_ns = histogram(7 * SECOND)
    for age_ms in (-20, -10, *range(1, 87)):
        tick.record_age(age_ms * MILLI)
    tick.undated = 2
    reader = RoleTally(sessions_completed=7)
    writer = RoleTally(
        sessions_due=3, sessions_begun=2, sessions_dropped=1, failed_at=Counter(say=2, ask=1), iterations_due=12
    )
    writer.iterations_begun, writer.iterations_completed, writer.iterations_dropped = 11, 9, 1
    writer.iteration_time_ns = histogram(*(k * 100 * MILLI for k in range(1, 10)))
    writer.iteration_wait_ns = histogram(*(k * 500 * MILLI for k in range(1, 5)))
    made = Tally(
        steps={"writer/say": say, "writer/ask": ask, "writer/typing": Tally(due=6, sent=6, unawaited=6)},
        reactions={"reader/tick": tick},
        roles={"reader": reader, "writer": writer},
        faults=Counter({"check-failed": 2, "reply-timeout": 4}),
        lost=3,
        closed=Counter({"1000": 3}),
    )
    counted = ("due", "sent", "answered", "unanswered", "unawaited", "dropped", "streamed", "stalls", "broken_off")
    for name in counted:
        setattr(made, name, sum(getattr(one, name) for one in made.steps.values()))
    for name in ("response_time_ns", "service_time_ns", "first_time_ns", "gap_ns"):
        for one in made.steps.values():
            getattr(made, name).merge(getattr(one, name))
    made.answered_in_window = made.answered
    return made


def recorded(*tallies, plan=plan(), ended=True):  # noqa: B008 - frozen
    """A recording with a whole plan, as a run writes it; without tallies that of a usual run."""
    header = Header(
        tool="ws-load-test 0.1.0",
        started_at="2026-03-01T12:00:07.25Z",
        plan=msgspec.to_builtins(plan.redacted()),
        target="ws://h/",
        host={"system": "Linux 6", "cores": 2},
        workers=1,
    )
    measured = tallies or (second(),)
    intervals = [interval(opening(), index=0, phase="opening")]
    intervals += [interval(tally, index=index) for index, tally in enumerate(measured, 1)]
    trailer = Trailer(ended_at="2026-03-01T12:01:00Z", interrupted=False, summary={}) if ended else None
    return Recording(header, tuple(intervals), trailer)
