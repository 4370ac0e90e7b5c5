"""Answers of many messages to roles that are coroutines: the counts and times are those of the same role in a file."""

import asyncio

import pytest

from engine.scenario.scenes import MS, TIMEOUT_NS, S, on, role, step, wait, world
from ws_load_test.metrics.histogram import Histogram
from ws_load_test.plan.scenario.python_role import load_role

HEAD = "import asyncio\nfrom ws_load_test import SessionOver, role\nparts = []\n\n"
ASK = {"until": "json:done=true", "name": "ask"}
STEP = {"until": ("json:done=true",)}
FIRST, EACH, COUNT = "json:word", "json:id=7", "json:tokens"
ANSWER = (
    (100, {"id": 7, "created": 1}),
    (300, {"id": 7, "word": "a"}),
    (350, {"noise": 1}),
    (400, {"id": 7, "word": "b"}),
    (450, {"id": 8, "word": "of another"}),
    (1900, {"id": 7, "other": 1}),
    (2000, {"id": 7, "done": True, "tokens": 7}),
)
BREAKS_OFF = ANSWER[:4]


def code_of(path, call):
    """Writes a file whose sessions ask again and again, and returns the place of its role."""
    path.write_text(
        f"{HEAD}@role\nasync def user(session):\n"
        f"    async for _ in session.iterations():\n        {call}\n        await session.wait('100s')\n"
    )
    return f"{path}:user"


def call_of(**options):
    words = "".join(f", {key}={value!r}" for key, value in {**ASK, **options}.items())
    return f"await session.exchange('ask'{words})"


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def played(a_role, messages, until_ns=3 * S):
    """Lets one session be answered. Returns all counts, but for the times of the iterations."""
    with world(a_role) as one:
        session = one.open()
        await settle()
        one.start()
        await settle()
        assert one.sent() == ["ask"]
        for at_ms, message in messages:
            one.now(at_ms * MS)
            one.receive(message)
            await settle()
        one.now(until_ns)
        await settle()
        if session.closing:
            one.lose()
        await settle()
        return one.counts(), [str(fault.text) for fault in (*one.faults, *one.ended) if fault is not None]


def in_figures(played):
    """All counts and buckets, and the faults."""
    tally, faults = played
    return tally.encode(Histogram.encode), faults


REACTION = (on("noise", "json:noise"),)


@pytest.mark.parametrize(
    ("of_file", "of_code"),
    [
        ({}, {"first": "any"}),
        ({"first": (FIRST,)}, {"first": FIRST}),
        ({"first": (FIRST,), "count": COUNT}, {"first": FIRST, "count": COUNT}),
        ({"first": (FIRST,), "awaits": (EACH,)}, {"first": [FIRST], "each": EACH}),
        ({"awaits": (EACH,), "timeout_ns": 5 * S}, {"first": "any", "each": [EACH], "timeout": "5s"}),
    ],
)
@pytest.mark.parametrize("messages", [ANSWER, BREAKS_OFF, ()], ids=["whole", "broken off", "silence"])
def test_the_counts_are_those_of_a_file(tmp_path, of_file, of_code, messages):
    options = {key: value for key, value in of_file.items() if key != "awaits"}
    asks = step("ask", "ask", *of_file.get("awaits", ()), **STEP, **options)
    in_file = role(steps=(asks, step("w", wait=wait(100 * S))), reactions=REACTION)
    in_code = role(python=code_of(tmp_path / "code.py", call_of(**of_code)), reactions=REACTION)

    async def both():
        return [await played(one, messages, until_ns=TIMEOUT_NS + S) for one in (in_file, in_code)]

    of_steps, of_coroutine = asyncio.run(both())
    tally, _ = of_coroutine
    assert in_figures(of_coroutine) == in_figures(of_steps)
    row = tally.steps["user/ask"]
    assert row.answered + row.unanswered == tally.sent == 1
    assert row.answered == (messages is ANSWER)
    assert row.broken_off == (messages is BREAKS_OFF)


def in_code(tmp_path, call, messages=ANSWER):
    place = code_of(tmp_path / "code.py", call)

    async def run():
        return await played(role(python=place, reactions=REACTION), messages)

    tally, faults = asyncio.run(run())
    return tally, faults, load_role(place).coroutine.__globals__["parts"]


def test_each_part_is_handed_over_from_the_first_to_the_last(tmp_path):
    take = "on_part=lambda part: parts.append(part.json('word') or part.json('done'))"
    call = f"{call_of(first=FIRST, each=EACH)[:-1]}, {take}); parts.append(last.json('tokens'))"
    _, _, parts = in_code(tmp_path, f"last = {call}")
    assert parts == ["a", "b", None, "true", "7"]


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_part_that_its_function_fails_at_fails_the_session_once(tmp_path, place):
    when = "json:done" if place == "last" else "json:word"
    take = f"on_part=lambda part: 1 / (part.json({when[5:]!r}) is None)"
    tally, _, _ = in_code(tmp_path, f"{call_of(first=FIRST)[:-1]}, {take})")
    row = tally.steps["user/ask"]
    assert row.faults == {"scenario-failed:ZeroDivisionError": 1}
    assert tally.roles["user"].failed_at == {"ask": 1}
    assert (row.answered, row.unanswered, row.broken_off) == ((1, 0, 0) if place == "last" else (0, 1, 1))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("await session.exchange('ask', until='json:a', each='json:b')", "TypeError: each, count and on_part are of"),
        ("await session.exchange('ask', until='json:a', count='json:b')", "TypeError: each, count and on_part are of"),
        ("await session.exchange('ask', until='json:a', first='word')", 'ValueError: "word" is no check'),
        ("await session.exchange('ask', until='json:a', first='any', count='b')", "ValueError: "),
        ("await session.exchange('ask', until=[])", "ValueError: until has no check of the reply"),
        ("await session.receive([])", "ValueError: there is no check"),
    ],
)
def test_wrong_calls_are_sentences_and_send_nothing(tmp_path, call, problem):
    async def run():
        with world(role(python=code_of(tmp_path / "code.py", call))) as one:
            one.open()
            await settle()
            one.start()
            await settle()
            return one.sent(), [fault.text for fault in one.ended or [one.sessions[0].close_fault]]

    (sent, (fault,)) = asyncio.run(run())
    assert sent == ["<1000>"]
    assert f"raises {problem}" in fault.replace(" in line 8", "")


CALLED_OFF = """
    async for turn in session.iterations():
        try:
            async with asyncio.timeout(0):
                await session.exchange('ask', first='any', until='json:done=true', name='ask')
        except TimeoutError:
            parts.append('called off')
        await session.wait('100s')
"""


def test_a_step_that_its_code_calls_off_is_unanswered_and_the_session_goes_on(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(f"{HEAD}@role\nasync def user(session):{CALLED_OFF}")

    async def run():
        with world(role(python=f"{path}:user")) as one:
            session = one.open()
            await settle()
            one.start()
            await settle()
            one.receive({"done": True})
            one.now(101 * S)
            await settle()
            assert not session.closing
            return one.counts()

    counts = asyncio.run(run())
    assert (counts.sent, counts.unanswered, counts.answered, counts.pushed) == (2, 2, 0, 1)
