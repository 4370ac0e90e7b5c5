"""Puts a role together from the exchanges of a capture."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ws_load_test.importing.background import find_auto_answers, find_heartbeats
from ws_load_test.importing.captured_values import CapturedValues
from ws_load_test.importing.draft import DraftReaction, DraftRole, DraftStep, DraftTimer
from ws_load_test.importing.exchanges import Exchange, pair_exchanges
from ws_load_test.importing.loops import arrange
from ws_load_test.importing.own_values import find_own_values, slot_of
from ws_load_test.importing.reply_checks import expectations, reply_checks, stream_checks
from ws_load_test.importing.sequences import sequence_of
from ws_load_test.importing.templates import TemplateMaker

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.events import Event
    from ws_load_test.importing.own_values import OwnValue
    from ws_load_test.importing.secret_values import Secrets
    from ws_load_test.importing.templates import Template

SHORTEST_WAIT_NS = 10_000_000
"""Time between two messages that is a wait (10 ms); less is what the client and the network took."""
SHORTEST_ITERATION_NS = 10**9
"""Wait of steps that neither wait nor await anything (1 s)."""
MOST_GREETINGS = 3
"""Messages before the first of the client that are waited for."""


class FileNames:
    """Files of messages that a plan file has no text for, each content once."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        """Contents by the names of the files."""
        self._names: dict[tuple[str, bytes], str] = {}

    def name(self, label: str, payload: bytes, suffix: str) -> str:
        """Returns the name of the file of a content."""
        name = self._names.get((label, payload))
        if name is None:
            number = sum(one == label for one, _ in self._names) + 1
            name = self._names[label, payload] = f"{label}-{number}.{suffix}"
            self.contents[name] = payload
        return name


class RoleBuilder:
    """Makes the role of one session."""

    def __init__(
        self,
        capture: Capture,
        events: list[Event],
        secrets: Secrets,
        files: FileNames,
        *,
        shared: Mapping[int, list[OwnValue]],
        deliveries: Collection[int],
    ) -> None:
        """Takes the session, and what it has in common with others.

        Args:
            capture: The session.
            events: Its messages.
            secrets: Secrets of the capture.
            files: Files of the plan.
            shared: Rooms and markers in its messages, by their places.
            deliveries: Places of messages that are of other sessions, and answer none of this one.
        """
        self._events = events
        self._secrets = secrets
        self._taken: set[int] = set()
        """Messages of the target that belong to a step, a timer or an answer."""
        self._answers = find_auto_answers(events)
        background = {one.index for group in self._answers for one in (*group.answers, *group.questions)}
        self._taken |= background.union(deliveries)
        sent = [one for one in events if one.is_sent and one.index not in background]
        self._heartbeats = find_heartbeats(sent)
        beats = {one.index for group in self._heartbeats for one in group.sent}
        self._own = find_own_values(events, secrets, capture.started_ns)
        for index, values in shared.items():
            taken = {one.value.start for one in values}
            self._own[index] = [*values, *(one for one in self._own.get(index, ()) if one.value.start not in taken)]
        given = {part for part in capture.url.replace("?", "/").replace("&", "/").replace("=", "/").split("/") if part}
        self._captured = CapturedValues(events, self._own, secrets, {*given, *capture.subprotocols})
        self._exchanges = pair_exchanges(
            events, [one for one in sent if one.index not in beats], self._own, self._taken
        )
        self._beating = [
            pair_exchanges(events, group.sent, self._own, self._taken, heartbeats=True) for group in self._heartbeats
        ]
        self._taken -= set(deliveries) - background
        self._captured.replies.update(one.reply.index for one in self._exchanges if one.reply is not None)
        # The answer to a heartbeat comes at any time, perhaps not before a step that would use its values; and of a
        # streamed answer, values are taken out of the last message alone.
        self._captured.ignored.update(one.reply.index for group in self._beating for one in group if one.reply)
        self._captured.ignored.update(part.index for one in self._exchanges for part in one.parts)
        self._keep_lasting()
        self._maker = TemplateMaker(secrets, self._captured, self._own)
        self._templates: dict[int, Template] = {}
        self._files = files

    def _keep_lasting(self) -> None:
        """Leaves counters and UUIDs as they are that the client refers to later, and that no reply has in between."""

        def series(own: OwnValue) -> tuple[str, str, str]:
            return slot_of(own.value), own.field, own.value.text[: own.start - own.value.start]

        pairs = [(index, one) for index, found in self._own.items() for one in found if one.is_id]
        lasting = {series(one) for index, one in pairs if self._captured.is_lasting(one, index)}
        for index, found in self._own.items():
            for one in found:
                if series(one) in lasting:
                    self._captured.keep(one)
            self._own[index] = [one for one in found if series(one) not in lasting]

    def build(self) -> DraftRole:
        """Returns the role."""
        role = DraftRole()
        for exchange in (*self._exchanges, *(one for group in self._beating for one in group)):
            self._template(exchange.sent)
        for answers in self._answers:
            for event in answers.answers:
                self._template(event)
        beats = [
            (group, pairs) for group, pairs in zip(self._heartbeats, self._beating, strict=True) if self._is_same(pairs)
        ]
        # What is sent at even intervals with other contents each time is a step like others.
        self._exchanges += [one for pairs in self._beating if not self._is_same(pairs) for one in pairs]
        everything = self._with_awaited()
        starts = [0, *(_last_place(one) + 1 for one in everything)]
        steps = [self._step(one, start) for one, start in zip(everything, starts, strict=False)]
        self._add_waits(steps)
        role.timers = [DraftTimer(group.every_ns, self._step(pairs[0], 0)) for group, pairs in beats]
        arrange(steps, role)
        if role.steps and not any(step.awaits or step.until or any(step.waits_ns) for step in role.steps):
            role.steps[0].waits_ns = [SHORTEST_ITERATION_NS]
            role.steps[0].remarks.append(
                "not in the capture: without a wait, iterations would follow each other at once"
            )
        role.reactions = self._reactions()
        return role

    # --- Steps -------------------------------------------------------------------------------------------------------

    def _with_awaited(self) -> list[Exchange]:
        """Returns the exchanges, and between them what is waited for: greetings, and messages whose values are used."""
        first_sent = next((one.index for one in self._events if one.is_sent), len(self._events))
        before = [one for one in self._events[:first_sent] if one.index not in self._taken]
        # What comes again later comes by itself, and may not come first the next time.
        counts = Counter(one.kind.key for one in self._events if not one.is_sent)
        greetings = [one for one in before if counts[one.kind.key] == 1 or one.index in self._captured.captures]
        awaited = {one.index: one for one in greetings[:MOST_GREETINGS]}
        busy = [(one.sent.index, one.reply.index) for one in self._exchanges if one.sent and one.reply]
        for index in sorted(self._captured.captures):
            pending = any(start < index < end for start, end in busy)
            if index not in self._taken and not pending:
                # Those of its kind that came before it are waited for as well, lest one is taken for it.
                ends = [*awaited, *(place for pair in busy for place in pair)]
                ends += [one.sent.index for one in self._exchanges if one.sent]
                start = max((end for end in ends if end < index), default=-1)
                alike = [
                    one
                    for one in self._events[start + 1 : index + 1]
                    if one.kind.checks == self._events[index].kind.checks and one.index not in self._taken
                ]
                if len(alike) <= MOST_GREETINGS:
                    awaited.update({one.index: one for one in alike if not one.is_sent})
        self._taken |= awaited.keys()
        everything = [*self._exchanges, *(Exchange(None, event) for event in awaited.values())]
        return sorted(everything, key=_place)

    def _is_same(self, exchanges: list[Exchange]) -> bool:
        """Returns True if all of the messages have one template."""
        templates = [self._template(one.sent) for one in exchanges]
        return len({(one.text, one.payload) for one in templates}) == 1

    def _step(self, exchange: Exchange, start: int) -> DraftStep:
        """Returns the step of an exchange; `start` is the place in the capture at which the one before was over."""
        sent, reply = exchange.sent, exchange.reply
        event = sent or reply
        assert event is not None
        step = DraftStep(event.kind.label, exchange)
        if sent is not None:
            template = self._template(sent)
            step.send, step.file = self._written(template, event.kind.label)
            step.binary = sent.binary or sent.content.text is None
            step.used = template.captured
            step.remarks += template.remarks
        if reply is not None:
            fields = self._template(sent).fields if sent is not None else {}
            if exchange.parts:
                step.first, step.until = stream_checks(exchange)
            else:
                places = tuple(self._captured.captures.get(reply.index, {}).values())
                step.awaits = reply_checks(
                    exchange, self._events, start=start, fields=fields, hides=self._secrets.occur_in, places=places
                )
            step.expect = expectations(reply)
            step.captures = dict(self._captured.captures.get(reply.index, {}))
        return step

    def _template(self, event: Event | None) -> Template:
        assert event is not None
        if event.index not in self._templates:
            self._templates[event.index] = self._maker.make(event)
        return self._templates[event.index]

    def _written(self, template: Template, label: str) -> tuple[str, bytes | None]:
        """Returns a message as the plan file has it, and the contents of the file that it names, if it does."""
        if template.text is not None and not template.text.startswith("@"):
            return template.text, None
        payload = template.payload if template.text is None else template.text.encode()
        return f"@{self._files.name(label, payload, 'bin' if template.text is None else 'txt')}", payload

    def _add_waits(self, steps: list[DraftStep]) -> None:
        """Notes the time that passed between the end of each step and the next message of the client."""
        # There is no message before the first one: opening the session took the time up to it.
        ready_ns = self._events[0].at_ns if self._events else 0
        for step in steps:
            if step.exchange.sent is not None:
                wait_ns = step.exchange.sent.at_ns - ready_ns
                step.waits_ns = [wait_ns if wait_ns >= SHORTEST_WAIT_NS else 0]
                if wait_ns < 0 and step.awaits:
                    step.remarks.append("the client sent this before the answer to the message before had come")
            ready_ns = max(ready_ns, step.exchange.done_ns)

    # --- Reactions ---------------------------------------------------------------------------------------------------

    def _reactions(self) -> list[DraftReaction]:
        found = [self._answer(group.questions, group.answers) for group in self._answers]
        # Two kinds can have the same checks: what one tells apart by its form, a plan file may not.
        groups: dict[tuple[str, ...], list[Event]] = defaultdict(list)
        for event in self._events:
            if not event.is_sent and event.index not in self._taken:
                groups[event.kind.checks].append(event)
        for group in groups.values():
            kind = group[0].kind
            captures = {
                name: there for one in group for name, there in self._captured.captures.get(one.index, {}).items()
            }
            sequence = sequence_of(group)
            found.append(DraftReaction(kind.label, kind.checks, len(group), captures=captures, sequence=sequence))
        return _in_order(found)

    def _answer(self, questions: list[Event], answers: list[Event]) -> DraftReaction:
        kind = questions[0].kind
        template = self._template(answers[0])
        send, file = self._written(template, answers[0].kind.label)
        captures = dict(self._captured.captures.get(questions[0].index, {}))
        reaction = DraftReaction(kind.label, kind.checks, len(questions), send, file, captures=captures)
        reaction.binary = answers[0].binary or answers[0].content.text is None
        reaction.remarks += template.remarks
        return reaction


def _in_order(reactions: list[DraftReaction]) -> list[DraftReaction]:
    """Returns reactions so that the ones with more checks come first, each with a name of its own."""
    ordered = sorted(reactions, key=lambda one: -len(one.when))
    found: list[DraftReaction] = []
    for reaction in ordered:
        if any(set(one.when) <= set(reaction.when) for one in found):
            # What is answered takes the messages already.
            continue
        names, name = {one.name for one in found}, reaction.name
        number = 2
        while reaction.name in names:
            reaction.name, number = f"{name}-{number}", number + 1
        found.append(reaction)
    return found


def _last_place(exchange: Exchange) -> int:
    return max(one.index for one in (exchange.sent, exchange.reply) if one is not None)


def _place(exchange: Exchange) -> int:
    event = exchange.sent or exchange.reply
    assert event is not None
    return event.index
