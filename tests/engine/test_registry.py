"""The seam between a worker and its engines: every registered one keeps the protocol, and is asked what it can do."""

import asyncio
import inspect
import sys

import pytest

from ws_load_test import make_plan
from ws_load_test.common.clock import monotonic_ns
from ws_load_test.common.errors import PlanError, UsageError
from ws_load_test.common.sharding import Shard
from ws_load_test.engine import registry
from ws_load_test.engine.engine import Engine, EngineStatus, LoadWindow
from ws_load_test.engine.portable import PortableEngine
from ws_load_test.engine.registry import ENGINES, engine_for
from ws_load_test.plan.load_sharing import LoadSwitch
from ws_load_test.testing import FaultyServer, behaviors

BUILT = [name for name in ENGINES if not registry.why_missing(name)]
MEMBERS = [name for name in vars(Engine) if not name.startswith("_")] + ["__init__"]


@pytest.fixture(autouse=True)
def engine():
    """The order of engines is what is tested here."""


@pytest.mark.parametrize("name", BUILT)
def test_every_engine_has_what_the_protocol_asks_for(name):
    engine = ENGINES[name]()
    by_epoll = name == "native" and registry.why_no_io_uring()
    assert engine.name == ("native-epoll" if by_epoll else name)
    assert {"open", "start", "wait", "stop", "drain", "close", "collect", "status", "unsupported"} <= set(MEMBERS)
    for member in MEMBERS:
        wanted, found = inspect.getattr_static(Engine, member), inspect.getattr_static(engine, member)
        assert type(found) is type(wanted), member
        if inspect.isfunction(wanted):
            assert list(inspect.signature(found).parameters) == list(inspect.signature(wanted).parameters), member
            assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(wanted), member


def test_a_plan_names_its_engine():
    assert make_plan("ws://h/").engine == "auto"
    assert make_plan("ws://h/", engine="portable").engine == "portable"
    with pytest.raises(PlanError, match="not one of auto, native, native-epoll, portable"):
        make_plan("ws://h/", engine="fast")


def test_only_the_kernel_knows_when_it_received_a_reply():
    plan = make_plan("ws://h/", reply_instant="kernel", deflate=True)
    with pytest.raises(UsageError, match="does not know when the kernel received a reply"):
        engine_for(plan)
    with pytest.raises(UsageError, match="does not know when the kernel received a reply"):
        engine_for(plan, "portable")


def test_the_portable_engine_runs_every_plan():
    plan = make_plan("wss://h/{connection}", rate=10, deflate=True, match="json:id", message='{"id": {seq}}', ramp="1s")
    assert engine_for(plan) is engine_for(plan, "portable") is PortableEngine
    assert PortableEngine.unsupported(plan) == []


def test_the_first_engine_that_is_built_and_can_run_a_plan_runs_it(monkeypatch):
    class Fast(PortableEngine):
        name = "native"

        @classmethod
        def unsupported(cls, plan):  # noqa: ANN206 - as in other tests
            return ["it has no TLS"] if plan.target.secure else []

    def not_built():
        raise ImportError("no module")

    monkeypatch.setitem(registry.ENGINES, "native", lambda: Fast)
    monkeypatch.setattr(registry, "why_no_io_uring", lambda: "")
    assert engine_for(make_plan("ws://h/")) is Fast
    assert engine_for(make_plan("wss://h/")) is PortableEngine
    assert registry.why_missing("native") == ""
    assert registry.why_engine(make_plan("ws://h/")) == "native"
    assert registry.why_engine(make_plan("wss://h/")) == "portable; not native: it has no TLS"
    monkeypatch.setitem(registry.ENGINES, "native", not_built)
    assert engine_for(make_plan("ws://h/")) is PortableEngine
    assert "C compiler (no module)" in registry.why_missing("native")
    assert registry.why_engine(make_plan("ws://h/")).startswith("portable; not native: it is built")
    with pytest.raises(UsageError, match="native engine is not part of this installation: it is built on Linux"):
        engine_for(make_plan("ws://h/"), "native")


def test_where_io_uring_is_forbidden_the_native_engine_takes_epoll_and_says_why(monkeypatch):
    why = "io_uring_setup: Operation not permitted, forbidden here"
    monkeypatch.setattr(registry, "why_no_io_uring", lambda: why)
    native = pytest.importorskip("ws_load_test.engine.native.engine")
    plan = make_plan("ws://h/")
    assert (
        engine_for(plan) is engine_for(plan, "native") is engine_for(plan, "native-epoll") is native.NativeEpollEngine
    )
    assert registry.why_engine(plan) == registry.why_engine(plan, "native")
    assert registry.why_engine(plan) == f"native-epoll, as there is no io_uring ({why})"
    assert registry.why_engine(plan, "native-epoll") == "native-epoll"
    monkeypatch.setattr(registry, "why_no_io_uring", lambda: "")
    assert engine_for(plan) is native.NativeEngine
    assert registry.why_engine(plan) == "native"


@pytest.mark.skipif(bool(registry.why_missing("native")), reason="not built")
def test_on_a_schedule_the_compiled_loop_asks_by_epoll():
    for name in ("auto", "native", "native-epoll"):
        assert engine_for(make_plan("ws://h/", rate=1), name).name == "native-epoll"
    assert "better on a schedule" in registry.why_engine(make_plan("ws://h/", rate=1))
    if not registry.why_no_io_uring():
        assert engine_for(make_plan("ws://h/")).name == engine_for(make_plan("ws://h/"), "native").name == "native"


def test_what_is_not_built_is_found_without_the_rest_of_the_engine(monkeypatch):
    assert [name for name in ENGINES if not registry.why_not_built(name)] == BUILT
    for module in ("reactor", "engine"):
        monkeypatch.delitem(sys.modules, f"ws_load_test.engine.native.{module}", raising=False)
    monkeypatch.setitem(sys.modules, registry.COMPILED_PARTS["native"], None)
    assert registry.why_not_built("native") == registry.why_missing("native") != ""
    assert registry.why_not_built("portable") == ""


def test_an_engine_that_cannot_run_a_plan_gives_all_its_reasons(monkeypatch):
    class Limited(PortableEngine):
        name = "limited"

        @classmethod
        def unsupported(cls, plan):  # noqa: ANN206 - as in other tests
            reasons = {"it has no TLS": plan.target.secure, "it compresses nothing": plan.target.deflate is not None}
            return [reason for reason, holds in reasons.items() if holds]

    monkeypatch.setitem(registry.ENGINES, "limited", lambda: Limited)
    assert engine_for(make_plan("ws://h/"), "limited") is Limited
    with pytest.raises(UsageError) as raised:
        engine_for(make_plan("wss://h/", deflate=True), "limited")
    assert str(raised.value) == "the limited engine cannot run this plan: it has no TLS; it compresses nothing"
    with pytest.raises(KeyError):
        engine_for(make_plan("ws://h/"), "unheard-of")


@pytest.mark.parametrize("load", [{}, {"rate": 100}], ids=["closed loop", "open loop"])
def test_the_status_follows_the_sessions_and_the_load(load):
    async def states(url):
        plan = make_plan(url, connections=2, messages=3, workers=1, **load)
        engine = engine_for(plan)(plan, Shard(0, 1))
        seen = [engine.status]
        await engine.open()
        seen.append(engine.status)
        now_ns = monotonic_ns()
        phases = []
        engine.start(LoadWindow(now_ns, now_ns, None, LoadSwitch()), lambda phase, at_ns: phases.append(phase))
        end = await engine.wait()
        assert not end.interrupted
        assert end.measured_from_ns <= end.measured_until_ns
        seen.append(engine.status)
        await engine.drain({})
        tally = engine.collect().tally
        assert (tally.opened, tally.sent, tally.answered) == (2, 3, 3)
        assert engine.collect().tally.sent == 0
        await engine.close()
        seen.append(engine.status)
        assert phases == ["measured", "closing"]
        return seen

    with FaultyServer(behaviors.echoes) as server:
        before, opened, sent, closed = asyncio.run(states(server.url))
    assert before == EngineStatus(0, 0, reconnecting=False, all_sent=False)
    assert opened == EngineStatus(2, 2, reconnecting=False, all_sent=False)
    assert sent == EngineStatus(2, 2, reconnecting=False, all_sent=True)
    assert closed == EngineStatus(0, 0, reconnecting=False, all_sent=True)


def test_a_session_that_is_being_set_up_is_open_and_not_ready():
    async def state(url):
        plan = make_plan(url, connections=1, first_message="hello", timeout="5s", workers=1)
        engine = engine_for(plan)(plan, Shard(0, 1))
        opening = asyncio.create_task(engine.open())
        while not engine.status.open_sessions:  # noqa: ASYNC110 - the engine reports it only when asked
            await asyncio.sleep(0.001)
        seen = engine.status
        engine.stop()
        await opening
        await engine.close()
        return seen

    with FaultyServer(behaviors.never_answers) as server:
        assert asyncio.run(state(server.url)) == EngineStatus(1, 0, reconnecting=False, all_sent=False)
