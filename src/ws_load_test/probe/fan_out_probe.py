"""Two sessions of a fan-out and one message: a subscriber waits, a publisher sends, and the delivery is shown.

Each is a probe of a plan without the fan-out, whose fields ``{room}`` and ``{marker}`` are filled beforehand.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from ws_load_test.common.clock import NS_PER_S, monotonic_ns
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.common.units import format_duration
from ws_load_test.messages.marker import MarkerCodec, new_tag
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.load import OpenLoop
from ws_load_test.plan.schedule import LoadProfile
from ws_load_test.probe.diagnosis import json_scalars
from ws_load_test.probe.probe import SCHEMA, Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.sessions.connection import Connection
    from ws_load_test.engine.sessions.message_trace import MessageKind
    from ws_load_test.plan.fan_out import FanOut, MarkerRule
    from ws_load_test.plan.plan import Plan
    from ws_load_test.probe.session_log import SessionLog
    from ws_load_test.probe.tracing import Frame
    from ws_load_test.probe.transcript import Step

LONGEST_WAIT_S = 5.0
"""Longest wait for the delivery: who looks at a probe does not wait for --timeout."""


class Recognition:
    """Finds the one message that was published."""

    def __init__(self, rule: MarkerRule) -> None:
        """Takes the rule by which deliveries are recognized."""
        self._codec = MarkerCodec(new_tag())
        self._rule = rule
        self.marker = self._codec.encode(0, 0, 0, 0)
        self._read = None
        if rule.kind != "marker":
            self._read = Correlation(rule=rule.kind, selector=rule.pattern).reply_id_extractor()

    def place(self, payload: bytes) -> str | None:
        """Returns where in a message it is recognized, in words; None if it is not."""
        if self._read is not None:
            found = self._read(payload)
            number = found.decode(errors="replace") if isinstance(found, bytes) else found
            return f"{self._rule} finds {{seq}}" if number == "0" else None
        if self.marker not in payload:
            return None
        text = self.marker.decode()
        paths = [path for path, value in json_scalars(payload) if text in value]
        return (
            f"the marker is at json:{paths[0]}"
            if paths and paths[0]
            else (f"the marker begins at byte {payload.index(self.marker)}")
        )

    def is_damaged_in(self, payload: bytes) -> bool:
        """Returns True if a message has a part of the marker, or the marker in another case."""
        begins, whole = self.marker[:12].lower(), payload.lower()
        return self._read is None and begins in whole and self.marker not in payload


class FanOutProbe:
    """A subscriber, a publisher in its room, and one message."""

    def __init__(self, plan: Plan, on_steps: Callable[[list[Step]], None] | None = None) -> None:
        """Takes the plan of a run, and what is called with new steps now and then.

        Raises:
            UsageError: The plan's certificates or its feed cannot be used, or it publishes by HTTP.
        """
        fan_out = plan.fan_out
        assert fan_out is not None
        if fan_out.publish is not None:
            raise UsageError(
                "--probe: it publishes over a session, and not by HTTP; leave --publish-url out to see whether"
                " deliveries come, or start a short run with -d 2s"
            )
        self.plan = plan
        self.recognition = Recognition(fan_out.marker)
        self.room = fan_out.rooms[fan_out.room_of_publish(0, 0)]
        number = _subscriber_connection(fan_out)
        start_ns = monotonic_ns()
        self._on_steps = on_steps or _nothing
        self._shown = ""
        quiet = OpenLoop(rate=LoadProfile.constant(0.0, NS_PER_S))
        bare = _without_fan_out(plan, self.room, self.recognition.marker)
        unmatched = msgspec.structs.replace(plan.correlation, rule="none", selector="", expect=())
        self.subscriber = SubscriberProbe(
            msgspec.structs.replace(bare, load=quiet, correlation=unmatched),
            self._shower("subscriber", number),
            number=number,
            start_ns=start_ns,
            recognition=self.recognition,
        )
        self.publisher = Probe(bare, self._shower("publisher", 0), number=0, start_ns=start_ns)

    def keep_messages(self, log: SessionLog) -> None:
        """Notes each message of both sessions in a log."""
        self.subscriber.keep_messages(log, "subscriber")
        self.publisher.keep_messages(log, "publisher")

    def stop(self) -> None:
        """Waits no longer: closes, and reports how far it got."""
        self.subscriber.stop()
        self.publisher.stop()

    async def run(self) -> dict[str, Any]:
        """Returns the facts that ``--probe --json`` prints.

        Raises:
            UsageError: What a field gives cannot be a part of the request.
            OSError: Through a failing of this machine.
        """
        receiving = asyncio.create_task(self.subscriber.run())
        joined = asyncio.create_task(self.subscriber.joined.wait())
        sent = None
        try:
            await asyncio.wait((receiving, joined), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                self.subscriber.show_opening()
                sent = await self.publisher.run()
                self.subscriber.await_delivery(min(LONGEST_WAIT_S, self.plan.timeout_ns / NS_PER_S))
            received = await receiving
        finally:
            for task in (receiving, joined):
                task.cancel()
        return self._facts(received, sent)

    def _shower(self, role: str, number: int) -> Callable[[list[Step]], None]:
        """Returns what shows the steps of a session, under a line that names it."""

        def show(steps: list[Step]) -> None:
            for step in steps:
                step["session"] = role
            if steps and self._shown != role:
                self._shown = role
                first = {"step": "session", "at_ns": steps[0]["at_ns"], "role": role, "number": number}
                self._on_steps([{**first, "room": self.room}])
            self._on_steps(steps)

        return show

    # --- Outcome ----------------------------------------------------------------------------------------------------

    def _facts(self, received: dict[str, Any], sent: dict[str, Any] | None) -> dict[str, Any]:
        steps = sorted([*received["steps"], *(sent["steps"] if sent else ())], key=lambda step: int(step["at_ns"]))
        times = {**received["times_ns"], **(sent["times_ns"] if sent else {})}
        took_ns = self._delivery_ns(steps)
        if took_ns is not None:
            times["delivery"] = took_ns
        delivered = self.subscriber.place is not None
        failed = next((one for one in (received, sent) if one and (one["fault"] or not one["opened"])), None)
        code = int(ExitCode.PASSED if delivered else failed["exit_code"] if failed else ExitCode.THRESHOLD_FAILED)
        if received["interrupted"] and not delivered:
            code = int(ExitCode.INTERRUPTED)
        return {
            "schema": SCHEMA,
            "target": received["target"],
            "opened": received["opened"] and bool(sent and sent["opened"]),
            "sent": bool(sent and sent["sent"]),
            "replied": bool(sent and sent["replied"]),
            "delivered": delivered,
            "pushed": received["pushed"] + (sent["pushed"] if sent else 0),
            "fault": failed["fault"] if failed and not delivered else None,
            "interrupted": received["interrupted"],
            "exit_code": code,
            "times_ns": times,
            "steps": steps,
            "frames_left_out": received["frames_left_out"] + (sent["frames_left_out"] if sent else 0),
            "conclusion": self._conclusion(received, sent, took_ns),
        }

    def _delivery_ns(self, steps: list[Step]) -> int | None:
        left = next((step["at_ns"] for step in steps if step.get("what") == "message"), None)
        came = next((step["at_ns"] for step in steps if step.get("verdict") == "delivery"), None)
        return None if left is None or came is None else max(0, came - left)

    def _conclusion(self, received: dict[str, Any], sent: dict[str, Any] | None, took_ns: int | None) -> str:
        if self.subscriber.place is not None:
            after = f" {format_duration(took_ns)} after it was sent" if took_ns is not None else ""
            return f"The delivery came{after}: {self.subscriber.place}. Leave --probe out to start the run."
        for role, facts in (("subscriber", received), ("publisher", sent)):
            if facts is not None and (facts["fault"] or not facts["opened"]):
                return f"Of the {role}: {facts['conclusion']}"
        if received["interrupted"] or sent is None or not sent["sent"]:
            return "It was stopped before the message was sent."
        return f"No delivery came to the subscriber within {self._waited()}: {self._why_none()}"

    def _waited(self) -> str:
        return format_duration(min(LONGEST_WAIT_S * NS_PER_S, self.plan.timeout_ns))

    def _why_none(self) -> str:
        """Returns the likely reason why no delivery came, and what to look at."""
        others = [message.payload for message in self.subscriber.record.came if message.verdict == "push"]
        if any(map(self.recognition.is_damaged_in, others)):
            return "the marker came back changed or cut; put {marker} where the target passes text on as it is"
        if others:
            count = f"{len(others)} other message{'s' * (len(others) > 1)} came"
            if self.recognition.marker in b" ".join(others):
                return f"{count}, with the marker and not where --marker looks; leave --marker out"
            return f"{count}, without the marker; put {{marker}} into a part of -m that the target passes on"
        came_back = any(self.recognition.place(message.payload) for message in self.publisher.record.came)
        if came_back:
            return f"it came back to the publisher alone; look at how a session joins the room {self.room}"
        if not self.plan.setup_messages and not any("{room}" in url for url in self.plan.target.urls):
            return "no session joins the room; say with --first-message how one does, with {room} for its name"
        replies = "the replies to --first-message"
        if self.plan.correlation.first_wait_ns is not None:
            replies += ", whether a longer --first-wait helps"
        return f"nothing came; look at {replies}, and whether -m reaches the room {self.room}"


class SubscriberProbe(Probe):
    """A session that waits for the delivery."""

    def __init__(
        self,
        plan: Plan,
        on_steps: Callable[[list[Step]], None],
        *,
        number: int,
        start_ns: int,
        recognition: Recognition,
    ) -> None:
        """Takes what `Probe` takes, and what recognizes the delivery."""
        super().__init__(plan, on_steps, number=number, start_ns=start_ns)
        self.joined = asyncio.Event()
        """The session is open, and its first messages are answered."""
        self.place: str | None = None
        """Place in a message at which the delivery was recognized."""
        self._recognition = recognition
        self._wait_s: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def await_delivery(self, wait_s: float) -> None:
        """The message was sent: waits no longer than this."""
        if not self._wait_s.done():
            self._wait_s.set_result(wait_s)

    async def _exchange(self, connection: Connection) -> None:
        self._answered.clear()
        if connection.ended:
            return
        self.joined.set()
        # It stays open until the publisher is done, so that its steps are shown behind that one's.
        over = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait((over, self._wait_s), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if self._wait_s.done():
            await self._wait_for_reply(self._wait_s.result())

    async def _show(self) -> None:
        """Shows nothing meanwhile: `show_opening` does, and the end."""
        await asyncio.Event().wait()

    def show_opening(self) -> None:
        """Shows the steps up to here."""
        self._on_steps(self.transcript.flush())

    def _classify(self, step: Step, frame: Frame, payload: bytes, kind: MessageKind, took_ns: int | None) -> None:
        super()._classify(step, frame, payload, kind, took_ns)
        place = self._recognition.place(payload)
        if place is None:
            return
        step["verdict"], step["why"] = "delivery", place
        self.transcript.keep(step)
        if self.place is None:
            self.place = place
            self._answered.set()


def _subscriber_connection(fan_out: FanOut) -> int:
    """Returns the number of a subscriber's connection in the room of the first publish, another than the publisher."""
    subscriber = fan_out.room_of_publish(0, 0)
    if fan_out.everyone and subscriber + len(fan_out.rooms) < fan_out.subscribers:
        subscriber += len(fan_out.rooms)
    return fan_out.connection_of(subscriber)


def _without_fan_out(plan: Plan, room: str, marker: bytes) -> Plan:
    """Returns the plan of one of its sessions, whose fields of a fan-out are filled."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{room}", room)
        if isinstance(value, dict):
            return {key: fill(one) for key, one in value.items()}
        return [fill(one) for one in value] if isinstance(value, (list, tuple)) else value

    def filled(payload: bytes, *, is_template: bool) -> bytes:
        return payload.replace(b"{room}", room.encode()).replace(b"{marker}", marker) if is_template else payload

    message = plan.message
    templates = message.is_template or (False,) * (1 + len(message.alternatives))
    payloads = [
        filled(payload, is_template=one)
        for payload, one in zip((message.payload, *message.alternatives), templates, strict=True)
    ]
    setup = tuple(
        msgspec.structs.replace(one, payload=filled(one.payload, is_template=one.is_template))
        for one in plan.setup_messages
    )
    return msgspec.structs.replace(
        plan,
        fan_out=None,
        target=msgspec.convert(fill(msgspec.to_builtins(plan.target)), type(plan.target)),
        message=msgspec.structs.replace(message, payload=payloads[0], alternatives=tuple(payloads[1:])),
        setup_messages=setup,
    )


def _nothing(_: list[Step]) -> None:
    """Ignores steps."""
