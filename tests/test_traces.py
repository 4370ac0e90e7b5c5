"""Trace contexts: their values, the traces of slow and failed exchanges, and where they are shown."""

import asyncio
import json
import re
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.results import MILLI, answers, interval, recording
from factories.results import results as results_of
from ws_load_test.analysis.trace_types import Traces
from ws_load_test.api import run
from ws_load_test.common.errors import PlanError
from ws_load_test.messages.trace_context import TraceContexts, is_sampled, trace_id_of
from ws_load_test.metrics.tally import Tally
from ws_load_test.metrics.trace_examples import MOST_SLOWEST, TraceExamples
from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.options.read_plan import make_plan, read_plan
from ws_load_test.report.html.run import page
from ws_load_test.report.terminal.run import report_lines
from ws_load_test.testing import FaultyServer
from ws_load_test.websocket import frames

VALUE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")
"""Version 00 of the standard's section 3.2.2, without invalid ids."""


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0, 0), (0.01, 20, 200), (0.5, 4500, 5500), (1.0, 10_000, 10_000)]
)
def test_values_are_those_of_the_standard_and_a_share_is_sampled(share, least, most):
    contexts = TraceContexts(share)
    values = [contexts.next() for _ in range(10_000)]
    assert all(map(VALUE.fullmatch, values))
    assert contexts.latest == values[-1]
    assert len(set(map(trace_id_of, values))) == len(values)
    assert least <= sum(map(is_sampled, values)) <= most


def test_what_opens_a_connection_has_one_value():
    contexts = TraceContexts()
    contexts.renew(5)
    contexts.begin_opening(5)
    opening = {contexts.next(), contexts.next()}
    contexts.end_opening()
    assert opening == {contexts.of_connection(5)}
    assert contexts.next() not in opening
    contexts.renew(5)
    assert contexts.of_connection(5) not in opening


trace_ids = st.integers(0, 999).map("{:032x}".format)
exchanges = st.lists(st.tuples(st.integers(0, 10**12), trace_ids, st.booleans()), max_size=60)
faults = st.lists(st.tuples(st.sampled_from(["reset", "closed:1011"]), trace_ids, st.booleans()), max_size=5)


@given(st.lists(st.tuples(exchanges, faults), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_the_slowest_of_all_parts_are_kept(parts):
    merged = Tally()
    for some, failed in parts:
        found = TraceExamples()
        for took_ns, trace_id, sampled in some:
            found.note(took_ns, trace_id, sampled=sampled)
        for kind, trace_id, sampled in failed:
            found.note_fault(kind, trace_id, sampled=sampled)
        merged.merge(Tally.from_wire(json.loads(json.dumps(Tally(traces=found).to_wire()))))
    shown = Traces.of(merged.traces)
    every = sorted((took_ns for some, _ in parts for took_ns, _, _ in some), reverse=True)
    assert [one.response_time_ns for one in shown.slowest] == every[:MOST_SLOWEST]
    sampled = sorted((took_ns for some, _ in parts for took_ns, _, sampled in some if sampled), reverse=True)
    assert [one.response_time_ns for one in shown.slowest_sampled] == sampled[:MOST_SLOWEST]
    known = Counter((kind, trace_id, sampled) for _, failed in parts for kind, trace_id, sampled in failed)
    assert {kind for kind, _, _ in known} == shown.faults.keys()
    for kind, fault in shown.faults.items():
        assert known[kind, fault.trace_id, fault.sampled]
        assert fault.sampled == any(sampled for other, _, sampled in known if other == kind)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"slowest": {}},
        {"slowest": [[1]]},
        {"slowest": [["1", "0" * 32]]},
        {"slowest_sampled": [[-1, "0" * 32]]},
        {"slowest": [[1, "<script>"]]},
        {"faults": []},
        {"faults": {"reset": "x"}},
        {"faults": {"reset": 7}},
        {"sampled_faults": {}},
    ],
)
def test_what_is_no_trace_is_refused(data):
    with pytest.raises(ValueError, match="tally"):
        Tally.from_wire({"traces": data})


# --- Of exchanges ----------------------------------------------------------------------------------------------------


class Target:
    """Answers each message after a while, and knows whose trace it was; some it answers late, wrongly or never."""

    def __init__(self, *, slow=(), slow_s=0.1, silent=(), wrong=(), closes=()):
        self.slow, self.slow_s, self.silent, self.wrong, self.closes = slow, slow_s, silent, wrong, closes
        self.traces = {}

    async def __call__(self, peer):
        await peer.upgrade()
        async for message in peer.messages():
            number, traceparent = json.loads(message.payload)["id"], json.loads(message.payload)["trace"]
            self.traces[number] = trace_id_of(traceparent)
            assert VALUE.fullmatch(traceparent)
            await asyncio.sleep(self.slow_s if number in self.slow else 0)
            if number in self.closes:
                await peer.send_frame(frames.CLOSE, (1011).to_bytes(2))
                await peer.until_gone()
                return
            if number not in self.silent:
                reply = {"id": number} if number in self.wrong else {"id": number, "ok": True}
                await peer.send_frame(frames.TEXT, json.dumps(reply).encode())


def traces_of(target, **more):
    with FaultyServer(target) as server:
        options = {"message": '{"id": {seq}, "trace": "{traceparent}"}', "messages": 30, "workers": 1, "trace": "100%"}
        return run(make_plan(server.url, **(options | more))).summary.traces


@pytest.mark.parametrize(
    ("match", "load"), [("json:id", {"in_flight": 3}), ("order", {"in_flight": 3}), ("order", {"rate": 200})]
)
def test_the_slowest_exchange_and_the_failed_are_named(match, load):
    target = Target(slow=[7], slow_s=0.6, wrong=[11])
    traces = traces_of(target, match=match, expect="json:ok=true", **load)
    assert len(traces.slowest) == len(traces.slowest_sampled) == MOST_SLOWEST
    assert {one.trace_id for one in traces.slowest} <= set(target.traces.values())
    assert target.traces[7] in {one.trace_id for one in traces.slowest if one.response_time_ns >= 590 * MILLI}
    assert traces.slowest == sorted(traces.slowest, key=lambda one: -one.response_time_ns)
    assert {kind: fault.trace_id for kind, fault in traces.faults.items()} == {"check-failed": target.traces[11]}


@pytest.mark.parametrize("match", ["json:id", "order"])
def test_a_message_without_an_answer_is_named(match):
    target = Target(silent=[5])
    traces = traces_of(target, match=match, timeout="600ms", messages=8)
    assert traces.faults["reply-timeout"].trace_id == target.traces[5]


def test_a_session_that_is_lost_is_named_by_the_message_in_flight():
    target = Target(closes=[4])
    traces = traces_of(target, messages=8)
    assert {kind: fault.trace_id for kind, fault in traces.faults.items()} == {"closed:1011": target.traces[4]}


IN_FILE = {
    "steps": [
        {"name": "ask", "send": '{"id": {seq}, "trace": "{traceparent}"}', "await": "json:id={seq}"}
        | {"expect": "json:ok=true", "timeout": "1s"}
    ]
}
IN_CODE = """
from ws_load_test import role
ASK = '{"id": {seq}, "trace": "{traceparent}"}'

@role
async def user(session):
    async for _ in session.iterations():
        await session.exchange(ASK, until="json:id={seq}", expect="json:ok=true", timeout="1s", name="ask")

@role
async def fails(session):
    async for turn in session.iterations():
        await session.exchange(ASK, until="json:id={seq}", name="ask")
        assert turn < 4
"""


def in_code(folder, name):
    (folder / "code.py").write_text(IN_CODE)
    return {"python": f"{folder / 'code.py'}:{name}"}


def test_an_exception_of_a_role_is_named_by_its_latest_message(tmp_path):
    target = Target()
    with FaultyServer(target) as server:
        options = {"duration": "10s", "connections": 1, "workers": 1, "role": {"user": in_code(tmp_path, "fails")}}
        traces = run(read_plan({"url": server.url, **options})).summary.traces
    assert {kind: fault.trace_id for kind, fault in traces.faults.items()} == {
        "scenario-failed:AssertionError": target.traces[4]
    }
    assert len(traces.slowest) == 5


@pytest.mark.parametrize("kind", ["file", "code"])
def test_the_steps_of_a_scenario_are_named(kind, tmp_path):
    role = IN_FILE if kind == "file" else in_code(tmp_path, "user")
    target = Target(slow=[3], wrong=[5], silent=[8])
    with FaultyServer(target) as server:
        options = {"duration": "10s", "connections": 1, "workers": 1, "trace": "100%", "role": {"user": role}}
        summary = run(read_plan({"url": server.url, **options})).summary
    assert [step.name for step in summary.steps] == ["ask"]
    traces = summary.traces
    assert {kind: fault.trace_id for kind, fault in traces.faults.items()} == {
        "check-failed": target.traces[5],
        "reply-timeout": target.traces[8],
    }
    assert target.traces[3] in {one.trace_id for one in traces.slowest if one.response_time_ns >= 90 * MILLI}
    assert {one.trace_id for one in traces.slowest} == {target.traces[number] for number in range(8)}


class Room:
    """Sends each message to all others, but one to none of them."""

    def __init__(self, lost):
        self.lost, self.members, self.traces = lost, [], []

    async def __call__(self, peer):
        await peer.upgrade()
        self.members.append(peer)
        async for message in peer.messages():
            self.traces.append(trace_id_of(message.payload.decode().split()[0]))
            if len(self.traces) != self.lost:
                for member in self.members:
                    await member.send_frame(frames.TEXT, message.payload)


def test_a_publish_that_is_missing_is_named():
    room = Room(lost=3)
    options = {"subscribers": 2, "rate": 20, "duration": "300ms", "timeout": "800ms", "workers": 1}
    with FaultyServer(room) as server:
        summary = run(make_plan(server.url, message="{traceparent} {marker}", **options)).summary
    assert summary.fanout.deliveries.missing == 2
    assert {kind: fault.trace_id for kind, fault in summary.traces.faults.items()} == {"missing": room.traces[2]}


def test_a_dial_that_fails_is_named_by_its_header():
    async def refusing(peer):
        await peer.read_request()
        await peer.send_raw(peer.response(503))

    with FaultyServer(refusing) as server:
        plan = make_plan(
            f"{server.url}?trace={{traceparent}}",
            header="traceparent: {traceparent}",
            messages=1,
            trace="100%",
            workers=1,
        )
        traces = run(plan).summary.traces
    (request,) = server.seen.requests
    assert VALUE.fullmatch(request.headers["traceparent"])
    assert request.target.endswith(request.headers["traceparent"])
    (fault,) = traces.faults.values()
    assert fault.trace_id == trace_id_of(request.headers["traceparent"])


# --- In options and reports ------------------------------------------------------------------------------------------


def test_a_plan_without_the_field_has_no_traces():
    assert make_plan("ws://h/").message.trace_share is None
    with pytest.raises(PlanError, match=r"^--trace: nothing that is sent has {traceparent}; add it"):
        make_plan("ws://h/", trace="5%")


def test_the_share_is_in_the_plan_and_its_command():
    plan = make_plan("ws://h/", message="{traceparent}")
    assert plan.message.trace_share == 0.01
    assert "--trace" not in command_line(plan)
    for written, share in (("5%", 0.05), ("0", 0.0), ("1", 1.0)):
        plan = make_plan("ws://h/", header="traceparent: {traceparent}", trace=written)
        assert plan.message.trace_share == share
        assert f"--trace {'100%' if share == 1 else written}" in command_line(plan)


def test_every_report_shows_them():
    found = TraceExamples()
    found.note(80 * MILLI, "ab" * 16, sampled=True)
    found.note(90 * MILLI, "cd" * 16, sampled=False)
    found.note_fault("reply-timeout", "ef" * 16, sampled=True)
    tally = answers(*[2 * MILLI] * 20, service=[MILLI] * 20)
    tally.traces = found
    made = results_of(recording(interval(Tally(attempted=1, opened=1), index=0, phase="opening"), interval(tally)))
    summary = made.summary
    assert [one.trace_id for one in summary.traces.slowest] == ["cd" * 16, "ab" * 16]
    assert [one.trace_id for one in summary.traces.slowest_sampled] == ["ab" * 16]
    assert msgspec.to_builtins(summary)["traces"]["faults"]["reply-timeout"]["trace_id"] == "ef" * 16
    text = "\n".join(line.plain for line in report_lines(made.recordings, made.summary, made.aggregate))
    assert re.search(
        r"90(?:\.0)? ms +(cd){16} +no\n +80(?:\.0)? ms +(ab){16} +yes\n +reply-timeout +(ef){16} +yes", text
    )
    assert f"traces        slowest sampled exchange 80 ms: {'ab' * 16}" in text
    _, sections = page(made)
    tables = [str(part.rows) for section in sections for part in section.parts if hasattr(part, "rows")]
    assert any(all(one * 16 in rows for one in ("ab", "cd", "ef")) for rows in tables)
