"""One session of each role of a scenario, one after the other: it opens, goes through its steps once, and leaves.

Each is a probe whose session is that of a run, but for this: of a choice every step is taken, those of timers are taken
once, behind the others, and no wait is longer than a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import ExitCode
from ws_load_test.common.units import format_count
from ws_load_test.engine.scenario.coroutine_player import CoroutinePlayer
from ws_load_test.engine.scenario.player import Player
from ws_load_test.plan.scenario.wait_time import WaitTime
from ws_load_test.probe.probe import SCHEMA, SILENCE_S, Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ws_load_test.common.faults import Fault
    from ws_load_test.engine.scenario.compiled import CompiledReaction
    from ws_load_test.engine.scenario.compiled_step import CompiledStep
    from ws_load_test.engine.scenario.shared import SteppingSession
    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageKind
    from ws_load_test.plan.plan import Plan
    from ws_load_test.plan.scenario.model import Role
    from ws_load_test.plan.scenario.model import Step as PlanStep
    from ws_load_test.probe.session_log import SessionLog
    from ws_load_test.probe.tracing import Frame
    from ws_load_test.probe.transcript import Step

LONGEST_WAIT_NS = NS_PER_S
"""Longest wait before a step: who looks at a probe does not wait for a think time."""
FOREVER_NS = 1 << 62
"""An instant after the end of any probe."""


class _Traced(Player):
    """Part of a player whose steps and reactions are reported to its probe."""

    __slots__ = ()

    @property
    def _probe(self) -> RoleProbe:
        return cast("RoleProbe", self.connection.trace)

    def completed(self, player: SteppingSession, at_ns: int) -> None:
        """Reports that the present step is complete, and goes on."""
        assert self.step is not None
        self._probe.note("step", self.step.name, at_ns - self.sent_ns)
        super().completed(player, at_ns)

    def _add_part(self, player: SteppingSession, payload: bytes, at_ns: int, *, is_first: bool, is_last: bool) -> None:
        assert self.step is not None
        assert self.answer is not None
        had_begun = self.answer.has_begun
        super()._add_part(player, payload, at_ns, is_first=is_first, is_last=is_last)
        if not is_last:
            begins = self.answer.has_begun and not had_begun
            self._probe.note("step-first" if begins else "step-part", self.step.name, at_ns - self.sent_ns)

    def react(self, place: int, reaction: CompiledReaction, payload: bytes, at_ns: int) -> None:
        """Reports the reaction."""
        self._probe.note("reaction", reaction.name)
        self._probe.answering = reaction.name
        super().react(place, reaction, payload, at_ns)
        self._probe.answering = ""


class TracedPlayer(_Traced):
    """A session that goes through steps."""

    __slots__ = ()


class TracedCoroutinePlayer(_Traced, CoroutinePlayer):
    """A session that runs a coroutine."""

    __slots__ = ()

    async def _until(self, at_ns: int) -> None:
        await super()._until(min(at_ns, monotonic_ns() + LONGEST_WAIT_NS))


class RoleProbe(Probe):
    """A session of one role."""

    def __init__(
        self, plan: Plan, role: Role, number: int, on_steps: Callable[[list[Step]], None], *, start_ns: int
    ) -> None:
        """Takes the plan of the run, the role and the number of its first session, and what `Probe` takes."""
        super().__init__(_with_one_iteration(plan, role), on_steps, number=number, start_ns=start_ns)
        self.role = role
        self.answering = ""
        """Name of the reaction that sends its answer just now; empty: none does."""
        self.completed: list[str] = []
        """Names of the steps that were completed by a message, in order."""
        self.failed: Fault | None = None
        """The first fault."""
        self._notes: list[tuple[str, str, int | None]] = []
        scenario = self.factory.scenario
        assert scenario is not None
        scenario.keeper = self
        scenario.on_idle = self._on_idle
        scenario.player_type = TracedPlayer
        scenario.coroutine_player_type = TracedCoroutinePlayer

    async def _exchange(self, connection: Connection) -> None:
        """Goes through the steps once, and leaves."""
        self._answered.clear()
        scenario, player = self.factory.scenario, cast("Player", connection.sender)
        assert scenario is not None
        scenario.start([player], monotonic_ns(), FOREVER_NS)
        if not player.role.steps and player.role.code is None:
            await self._wait_for_reply(SILENCE_S)
            player.stop_sending()
        if not connection.ended and not player.is_over:
            await self._answered.wait()

    # --- Keeper of the session --------------------------------------------------------------------------------------

    @property
    def connections(self) -> Iterable[Connection]:
        """The session."""
        return () if self._connection is None else (self._connection,)

    def end_session(self, connection: Connection, fault: Fault) -> None:
        """Closes the session for a fault of the target's."""
        connection.close(fault)
        # A target that is frozen does not answer the close either.
        self._answered.set()

    def retire(self, connection: Connection, *, replace: bool, code: int) -> None:  # noqa: ARG002 - there is one
        """Closes the session as soon as it has left."""
        player = cast("Player", connection.sender)
        player.stop_sending()
        if player.is_over:
            connection.close(code=code)
            self._answered.set()

    def _on_idle(self, connection: Connection) -> None:  # noqa: ARG002 - the one that there is
        self._answered.set()

    # --- Events -----------------------------------------------------------------------------------------------------

    def note(self, verdict: str, name: str, took_ns: int | None = None) -> None:
        """The engine has taken a message for a step or a reaction."""
        self._notes.append((verdict, name, took_ns))
        self._counted.append(("push", took_ns))
        if verdict == "step":
            self.completed.append(name)

    def fault(self, fault: Fault) -> None:
        """The target did something wrong."""
        self.failed = self.failed or fault
        self.transcript.add("fault", kind=fault.key, text=self._redact(fault.text))

    def bytes_sent(self, data: bytes) -> None:
        """Bytes have left: those of a step, of an answer, or of a control frame."""
        before = len(self.transcript.steps)
        super().bytes_sent(data)
        player = None if self._connection is None else cast("Player", self._connection.sender)
        current: CompiledStep | None = None if player is None else player.step
        for step in self.transcript.steps[before:]:
            if "what" not in step:
                continue
            if self.answering:
                step["what"], step["name"] = "reaction", self.answering
            elif current is not None:
                step["what"], step["name"] = "step", current.name

    def _classify(
        self,
        step: Step,
        frame: Frame,  # noqa: ARG002 - the engine has decided
        payload: bytes,  # noqa: ARG002
        kind: MessageKind,  # noqa: ARG002
        took_ns: int | None,  # noqa: ARG002
    ) -> None:
        """Notes the engine's decision on a message."""
        if not self._notes:
            step["verdict"] = "push"
            return
        verdict, name, after_ns = self._notes.pop(0)
        self._notes.clear()
        step["verdict"], step["name"] = verdict, name
        if after_ns is not None:
            step["took_ns"] = after_ns
        self.transcript.keep(step)

    def _facts(self) -> dict[str, Any]:
        fault = self.failed
        if self.record.fault is None:
            # Else a session that was refused would seem to be interrupted.
            self.record.fault = fault
        facts = super()._facts()
        player = None if self._connection is None else cast("Player", self._connection.sender)
        facts["completed"], facts["pushed"] = self.completed, self.tally.pushed
        if fault is not None:
            facts["fault"] = {"kind": fault.key, "text": self._redact(fault.text)}
        at = "" if player is None or player.step is None else player.step.name
        facts["failed_at"] = at if fault is not None and at else None
        if facts["opened"]:
            facts["exit_code"] = int(ExitCode.PASSED if fault is None else ExitCode.THRESHOLD_FAILED)
            if facts["interrupted"]:
                facts["exit_code"] = int(ExitCode.INTERRUPTED)
        return facts


class ScenarioProbe:
    """A session of each role."""

    def __init__(self, plan: Plan, on_steps: Callable[[list[Step]], None] | None = None) -> None:
        """Takes the plan of a run, and what is called with new steps now and then.

        Raises:
            UsageError: The plan's certificates or its feed cannot be used.
        """
        scenario = plan.scenario
        assert scenario is not None
        self._on_steps = on_steps
        self._stopped = False
        start_ns = monotonic_ns()
        self._probes = [
            RoleProbe(plan, role, number, self._shower(role.name, number, scenario.room_of(number)), start_ns=start_ns)
            for role in scenario.roles
            for number in (scenario.first_number(role.name),)
        ]

    def keep_messages(self, log: SessionLog) -> None:
        """Notes each message of all sessions in a log."""
        for probe in self._probes:
            probe.keep_messages(log, probe.role.name)

    def stop(self) -> None:
        """Waits no longer: closes, and reports how far it got."""
        self._stopped = True
        for probe in self._probes:
            probe.stop()

    async def run(self) -> dict[str, Any]:
        """Returns the facts that ``--probe --json`` prints.

        Raises:
            UsageError: What a field gives cannot be a part of the request.
            OSError: Through a failing of this machine.
        """
        found: dict[str, dict[str, Any]] = {}
        for probe in self._probes:
            if not self._stopped:
                found[probe.role.name] = await probe.run()
        return self._together(found)

    def _shower(self, role: str, number: int, room: str) -> Callable[[list[Step]], None]:
        """Returns what shows the steps of a session, under a line that names it."""
        named = False

        def show(steps: list[Step]) -> None:
            nonlocal named
            for step in steps:
                step["session"] = role
            if steps and not named:
                named = True
                first = {"step": "session", "at_ns": steps[0]["at_ns"], "role": role, "number": number, "room": room}
                steps = [first, *steps]
            if self._on_steps is not None:
                self._on_steps(steps)

        return show

    def _together(self, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
        facts = list(found.values())
        wrong = next((one for one in facts if one["exit_code"]), None)
        return {
            "schema": SCHEMA,
            "target": self._probes[0].plan.target.redacted().url,
            "opened": all(one["opened"] for one in facts),
            "pushed": sum(one["pushed"] for one in facts),
            "roles": {
                name: {key: one[key] for key in ("completed", "failed_at", "fault")} for name, one in found.items()
            },
            "fault": None if wrong is None else wrong["fault"],
            "interrupted": self._stopped,
            "exit_code": int(ExitCode.PASSED) if wrong is None else wrong["exit_code"],
            "times_ns": facts[0]["times_ns"] if facts else {},
            "steps": [step for one in facts for step in one["steps"]],
            "frames_left_out": sum(one["frames_left_out"] for one in facts),
            "conclusion": self._conclusion(found),
        }

    def _conclusion(self, found: dict[str, dict[str, Any]]) -> str:
        for role, one in found.items():
            if not one["opened"]:
                return f"Role {role}: {one['conclusion']}"
            if one["fault"] is not None:
                at = f' at step "{one["failed_at"]}"' if one["failed_at"] else ""
                return f"Role {role} failed{at}: the target {one['fault']['text']}."
        if self._stopped or len(found) < len(self._probes):
            return "It was stopped before all roles had gone through their steps."
        count = sum(len(one["completed"]) for one in found.values())
        roles = "the role" if len(found) == 1 else f"each of the {len(found)} roles"
        done = f"{format_count(count)} step{' was' if count == 1 else 's were'} completed by what came"
        return f"A session of {roles} came and went, and {done}. Leave --probe out to start the run."


def _with_one_iteration(plan: Plan, role: Role) -> Plan:
    """Returns the plan with each step of a role taken once, without long waits; other roles stay what they are."""
    scenario = plan.scenario
    assert scenario is not None

    def short(step: PlanStep) -> PlanStep:
        wait = step.wait
        if wait is not None:
            wait = WaitTime("fixed", ns=min(wait.ns, LONGEST_WAIT_NS))
        return msgspec.structs.replace(step, weight=None, wait=wait)

    once = msgspec.structs.replace(
        role,
        arrive_per_s=None,
        rate_per_s=None,
        stay=None,
        iterations=(1, 1),
        open=tuple(map(short, role.open)),
        steps=tuple(map(short, (*role.steps, *(timer.step for timer in role.timers)))),
        leave=tuple(map(short, role.leave)),
        timers=(),
    )
    roles = tuple(once if one.name == role.name else one for one in scenario.roles)
    # A probe shows what each session sends and receives by itself, and accounts for no deliveries.
    return msgspec.structs.replace(plan, scenario=msgspec.structs.replace(scenario, roles=roles), fan_out=None)
