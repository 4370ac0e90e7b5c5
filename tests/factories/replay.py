"""Plays a capture against the plan file that was made of it: each message must be what the role sends or takes next."""

import re
import tomllib
from itertools import groupby

from ws_load_test.importing.import_capture import import_capture
from ws_load_test.plan.codecs.json_path import json_extractor
from ws_load_test.plan.correlation import parse_check, regex_extractor

FIELD = re.compile(r"\{(seq|uuid|now_ms|env\.\w+|my\.\w+)\}")
DRAWN = {"seq": r"(\d+)", "uuid": r"[0-9a-fA-F-]{36}", "now_ms": r"\d{13}"}


def literal(text):
    """Returns a pattern of a text; a brace of JSON may be written as an escape, lest it begins a field."""
    return re.escape(text.replace("\\u007b", "{"))


def pattern(template, values):
    """Returns a pattern of the texts that a template can be."""
    parts, at = [], 0
    for field in FIELD.finditer(template):
        name = field[1]
        parts.append(literal(template[at : field.start()]))
        at = field.end()
        if name.startswith("my."):
            parts.append(re.escape(values[name[3:]]))
        else:
            parts.append(DRAWN.get(name, r"(?s:.+?)"))
    return re.compile("".join([*parts, literal(template[at:])]))


def one_or_list(checks):
    return [checks] if isinstance(checks, str) else checks


class Replay:
    """One session of a role, beside the capture that it was made of."""

    def __init__(self, role, files):
        self.role = role
        self.files = files
        self.values = {}
        once = self._choices(role.get("steps", []))
        self.choices = [*self._choices(role.get("open", [])), *once * role.get("iterations", 1)]
        self.choices += self._choices(role.get("leave", []))
        self.due = len(self.choices)
        """Steps that the capture has for certain."""
        if "leave" not in role:
            # The capture may end within an iteration.
            self.choices += once
        self.place = 0
        self.pending = []
        """Steps that await a message, and the number of what each has sent."""
        self.pushed = []

    @staticmethod
    def _choices(steps):  # noqa: ANN205
        """Returns the steps in their order, those of a choice together."""
        found = []
        for number, group in groupby(enumerate(steps), lambda one: -1 if "weight" in one[1] else one[0]):
            together = [step for _, step in group]
            found += [together] if number == -1 else [[step] for step in together]
        return found

    def sent(self, payload):
        alternatives = self.choices[self.place] if self.place < len(self.choices) else []
        for step in (*alternatives, *self.role.get("timer", []), *self.role.get("on", [])):
            number = self._matches(step, payload)
            if number is None:
                continue
            if any(step is one for one in alternatives):
                self.place += 1
            if ("await" in step or "until" in step) and "when" not in step:
                self.pending.append((step, number))
            return
        raise AssertionError(f"{payload} is neither {alternatives} nor sent beside the steps")

    def _matches(self, step, payload):
        """Returns the numbers that a message has; None if it is not the step's."""
        written = step.get("send")
        if written is None:
            return None
        if written.startswith("@"):
            return () if self.files[written[1:]] == payload else None
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            return None
        missing = [name for name in re.findall(r"\{my\.(\w+)\}", written) if name not in self.values]
        found = None if missing else pattern(written, self.values).fullmatch(text)
        return None if found is None else found.groups()

    def received(self, payload):
        for step, number in self.pending:
            if self._holds(step.get("await", step.get("until")), payload, number):
                self.pending = [one for one in self.pending if one[0] is not step or one[1] != number]
                assert self._holds(step.get("expect", []), payload, number), f"{payload}: {step['expect']}"
                self._capture(step, payload)
                return
            if "until" in step:
                return
        following = self.choices[self.place][0] if self.place < len(self.choices) else {}
        if (
            not self.pending
            and "send" not in following
            and "await" in following
            and self._holds(following["await"], payload, ())
        ):
            self.place += 1
            self._capture(following, payload)
            return
        for reaction in self.role.get("on", []):
            if self._holds(reaction["when"], payload, ()):
                self._capture(reaction, payload)
                return
        self.pushed.append(payload)

    def _holds(self, checks, payload, numbers):
        """Returns True if checks hold; of a message with two counters, for either of its numbers."""
        return any(self._hold(checks, payload, number) for number in numbers or ("",))

    def _hold(self, checks, payload, number):
        filled = [
            FIELD.sub(lambda field: number if field[1] == "seq" else self.values[field[1][3:]], check)
            for check in one_or_list(checks)
        ]
        return all(parse_check(check).test()(payload) for check in filled)

    def _capture(self, step, payload):
        for name, where in step.get("capture", {}).items():
            kind, _, rule = where.partition(":")
            value = (json_extractor if kind == "json" else regex_extractor)(rule)(payload)
            assert value is not None or "when" in step, f"{where} is not in {payload}"
            if value is not None:
                self.values[name] = value.decode() if isinstance(value, bytes) else value


def replay(capture):
    """Imports a capture and plays it; returns what is left: messages that nothing took, steps that were not done."""
    imported = import_capture(capture)
    session = Replay(tomllib.loads(imported.text)["role"]["user"], imported.files)
    for message in capture.messages:
        (session.sent if message.is_sent else session.received)(message.payload)
    return session
