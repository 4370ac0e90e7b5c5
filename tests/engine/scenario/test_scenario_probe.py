"""A scenario under ``--probe``: one session of each role, every step shown."""

import json

import pytest

from engine.scenario.scenes import MS, S, on, plan_of, role, step, timer, wait
from ws_load_test.common.event_loop import run
from ws_load_test.probe import scenario_probe
from ws_load_test.probe.report import end_lines, step_lines
from ws_load_test.probe.scenario_probe import ScenarioProbe
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames

ROLES = (
    role(
        "talker",
        2,
        rate_per_s=1.0,
        open=(step("join", '{"id": {seq}}', "json:id={seq}", capture={"me": "json:id"}),),
        steps=(
            step("think", wait=wait(300 * S), weight=None),
            step("say", '{"id": {seq}}', "json:id={seq}", weight=1.0),
            step("shout", '{"id": {seq}, "of": "{my.me}"}', "json:id={seq}", weight=0.0),
            step("hint", '{"tick": 1}'),
            step("ask", '{"id": {seq}, "parts": 3}', until=("json:last=true",)),
        ),
        leave=(step("bye", '{"id": {seq}}', "json:id={seq}"),),
        reactions=(on("tick", "json:tick", send='{"tock": 1}'),),
        timers=(timer(30 * S, "beat", '{"id": {seq}}', "json:id={seq}"),),
    ),
    role("reader", 3, open=(step("hi", '{"id": {seq}}', "json:id={seq}"),)),
)


async def answers(peer):
    """Answers each message, one with parts in three; where it is to freeze, not the one with the id 2."""
    await peer.upgrade()
    async for message in peer.messages():
        data = json.loads(message.payload)
        if peer.request.target.startswith("/freeze") and data.get("id") == 2:
            continue
        for part in range(data.get("parts", 1)) if "tock" not in data else ():
            answer = data | ({"last": part == 2} if "parts" in data else {})
            await peer.send_raw(frames.encode_frame(frames.TEXT, json.dumps(answer).encode()))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(scenario_probe, "LONGEST_WAIT_NS", 10 * MS)
    monkeypatch.setattr(scenario_probe, "SILENCE_S", 0.01)


def probed(url):
    shown = []

    async def main():
        return await ScenarioProbe(plan_of(*ROLES, url=url, timeout="300ms"), shown.extend).run()

    facts = run(main())
    return facts, shown


def test_each_step_of_each_role_is_shown():
    with FaultyServer(answers) as server:
        facts, shown = probed(server.url)
    assert facts["exit_code"] == 0
    assert [one["completed"] for one in facts["roles"].values()] == [
        ["join", "say", "shout", "ask", "beat", "bye"],
        ["hi"],
    ]
    verdicts = [(one["verdict"], one.get("name")) for one in facts["steps"] if "verdict" in one]
    assert ("reaction", "tick") in verdicts
    assert verdicts.count(("step-part", "ask")) + verdicts.count(("step-first", "ask")) == 2
    assert verdicts[-1] == ("step", "hi")
    sent = [(one["what"], one["name"]) for one in facts["steps"] if "what" in one]
    assert ("reaction", "tick") in sent
    assert [name for what, name in sent if what == "step"] == [
        *("join", "say", "shout", "hint", "ask", "beat", "bye", "hi"),
    ]
    text = "\n".join(line.plain for one in shown for line in step_lines(one))
    assert "the talker: connection 0\n" in text
    assert "the reader: connection 2\n" in text
    assert 'completes step "shout", after' in text
    assert 'answers, as reaction "tick"' in text
    assert "7 steps were completed" in end_lines(facts)[-1].plain
    # The think time of five minutes was cut.
    assert max(one["at_ns"] for one in facts["steps"]) < 60 * S


def test_names_the_step_at_which_it_failed():
    with FaultyServer(answers) as server:
        facts, _ = probed(server.url.rstrip("/") + "/freeze")
    assert facts["exit_code"] != 0
    assert facts["roles"]["talker"]["failed_at"] == "shout"
    assert facts["fault"]["kind"] == "reply-timeout"
    assert facts["conclusion"] == (
        'Role talker failed at step "shout": the target sent nothing that completes step "shout" of role "talker"'
        " within 300 ms."
    )


def test_a_refused_session_is_the_targets_fault():
    with FaultyServer(answers) as server:
        url = server.url
    facts, _ = probed(url)
    assert facts["conclusion"].startswith("Role talker: The session did not open: the target refuses connections")
    assert facts["exit_code"] == 3
