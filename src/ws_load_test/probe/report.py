"""A probe for people at a terminal: each step on a line, its details under it, and what to do next at the end."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ws_load_test.analysis.data_quality import NOT_GRANTED
from ws_load_test.common.units import format_bytes, format_count, format_duration
from ws_load_test.report.content.fault_names import close_code_name
from ws_load_test.report.terminal.glyphs import to_encodable
from ws_load_test.report.terminal.layout import WIDTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console

    Step = Mapping[str, Any]

_TIME, _NAME = 9, 11
_INDENT = " " * (_TIME + 2 + _NAME)
_WHAT = {
    "message": "the message",
    "first-message": "a first message",
    "answer": "--auto-reply",
    "step": "step",
    "reaction": "answers, as reaction",
}
_VERDICTS = {
    "reply": "the reply",
    "first": "the first of the answer",
    "part": "of the answer",
    "first-reply": "answers the first message",
    "greeting": "a greeting (--skip-first)",
    "late": "a reply that came too late",
    "duplicate": "a second reply to the same message",
    "delivery": "the delivery",
    "push": "a push",
    "ignored": "a push",
    "early": "a push",
    "surplus": "a push",
    "step": "completes step",
    "step-first": "the first of the answer to step",
    "step-part": "of the answer to step",
    "reaction": "reaction",
}
_DECLINED = {what: words for what, (words, _) in NOT_GRANTED.items()}
_TIMES = {
    "resolve": "name",
    "tcp": "TCP",
    "proxy": "proxy",
    "tls": "TLS",
    "upgrade": "upgrade",
    "open": "open in all",
    "greeting": "greeting",
    "first_replies": "first messages",
    "first": "first of the answer",
    "reply": "reply",
    "delivery": "delivery",
}


def print_steps(steps: Iterable[Step], *, console: Console) -> None:
    """Prints steps of a probe, as `Transcript.flush` returned them."""
    for step in steps:
        for line in step_lines(step):
            _print(line, console)


def print_end(facts: Mapping[str, Any], *, console: Console) -> None:
    """Prints the outcome of a probe: its times, and the conclusion."""
    for line in end_lines(facts):
        _print(line, console)


def _print(line: Text, console: Console) -> None:
    line.plain = to_encodable(line.plain, console.encoding)
    console.print(line, soft_wrap=True)


def step_lines(step: Step) -> list[Text]:
    """Returns a step's lines; payloads may be wider than the others' 80 columns."""
    name, words, details = _WORDS[step["step"]](step)
    style = "red" if step["step"] == "fault" else "bold"
    head = Text(f"{format_duration(step['at_ns']):>{_TIME}}  ", style="dim").append(f"{name:{_NAME}}", style=style)
    lines = [head.append(visible(words), style="default")]
    return lines + [Text(_INDENT + visible(detail), style="dim") for detail in details]


def end_lines(facts: Mapping[str, Any]) -> list[Text]:
    """Returns the lines below the steps."""
    times = []
    for name, value in facts["times_ns"].items():
        shown = ", ".join(map(format_duration, value)) if isinstance(value, list) else format_duration(value)
        times.append(f"{_TIMES[name]} {shown}")
    lines = [Text()]
    if times:
        lines += [Text(line, style="dim") for line in textwrap.wrap("Times: " + "; ".join(times), WIDTH)]
    if left_out := facts["frames_left_out"]:
        lines.append(Text(f"{format_count(left_out)} more frames came or left, and are not shown.", style="dim"))
    if any("payload" in step for step in facts["steps"]):
        lines.append(Text("Payloads are shown as they are, but for what looks like a secret (***).", style="dim"))
    style = "bold green" if facts["exit_code"] == 0 else "bold red"
    # One line, however long: what it proposes is there to be copied.
    return [*lines, Text(visible(facts["conclusion"]), style=style)]


def visible(text: str) -> str:
    """Returns a text with escapes for what is not printable: a target's words must not steer the terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# --- Steps ---------------------------------------------------------------------------------------------------------

Words = tuple[str, str, "Sequence[str]"]


def _took(step: Step) -> str:
    return f" ({format_duration(step['took_ns'])})" if "took_ns" in step else ""


def _resolve(step: Step) -> Words:
    return "name", f"{step['host']} is {', '.join(step['addresses'])}{_took(step)}", ()


def _session(step: Step) -> Words:
    room = f", in room {step['room']}" if step["room"] else ""
    return "session", f"the {step['role']}: connection {step['number']}{room}", ()


def _try(step: Step) -> Words:
    return "TCP", f"not with {step['address']}: {step['text']}{_took(step)}", ()


def _connect(step: Step) -> Words:
    return "TCP", f"connected with {step['address']}{_took(step)}", ()


def _proxy(step: Step) -> Words:
    return "proxy", f"opened the way to {step['address']}{_took(step)}", ()


def _redirect(step: Step) -> Words:
    left_out = step["left_out"]
    return "redirect", f"on to {step['url']}", [f"another origin, without {', '.join(left_out)}"] if left_out else ()


def _tls(step: Step) -> Words:
    session = "an earlier session resumed" if step["resumed"] else "a new session"
    details = []
    certificate = step.get("certificate")
    if certificate is not None:
        names = ", ".join(certificate["names"])
        whose = certificate["subject"] or names or "an unnamed owner"
        details.append(f"certificate of {whose}" + (f" for {names}" if names and certificate["subject"] else ""))
        if certificate["expires"] is not None:
            details.append(_expiry(datetime.fromisoformat(certificate["expires"])))
    if not step["alpn"]:
        details.append("http/1.1 was offered with ALPN, and the target chose nothing: it does without")
    return "TLS", f"{step['version']}, {step['cipher']}, {session}{_took(step)}", details


def _expiry(expires: datetime) -> str:
    days = (expires - datetime.now(UTC)).days
    when = f"{expires:%Y-%m-%d}"
    return f"expired on {when}" if days < 0 else f"valid until {when}, {days} day{'' if days == 1 else 's'} from now"


def _head(name: str) -> Callable[[Step], Words]:
    def words(step: Step) -> Words:
        return name, step["line"] + _took(step), [f"{header}: {value}" for header, value in step["headers"]]

    return words


def _declined(step: Step) -> Words:
    return "declined", _DECLINED[step["what"]], ()


def _body(step: Step) -> Words:
    return "body", f"{format_bytes(step['size_bytes'])}  {_payload(step)}", ()


def _noise(step: Step) -> Words:
    return "no HTTP", f"{format_bytes(step['size_bytes'])}  {_payload(step)}", ()


def _frame(step: Step) -> Words:
    sent = step["direction"] == "sent"
    opcode = "more" if step["opcode"] == "continuation" else step["opcode"]
    name = f"{'>' if sent else '<'} {opcode}"
    if step["opcode"] == "close":
        code = step["code"]
        words = "without a code" if code is None else f"{code} {close_code_name(str(code))}"
        return name, words + (f': "{step["reason"]}"' if step["reason"] else ""), ()
    size = format_bytes(step["size_bytes"])
    if "plain_bytes" in step:
        size = f"{format_bytes(step['plain_bytes'])}, compressed {size}"
    size += ", a fragment" * bool(step.get("fragment"))
    details = []
    if "verdict" in step:
        words = _VERDICTS[step["verdict"]] + (f' "{step["name"]}"' if "name" in step else "")
        if "took_ns" in step:
            words += f", after {format_duration(step['took_ns'])}"
        if "why" in step:
            words += f", paired {step['why']}" if step["verdict"] == "reply" else f": {step['why']}"
        details.append(words)
    elif "what" in step:
        details.append(_WHAT[step["what"]] + (f' "{step["name"]}"' if "name" in step else ""))
    if "count" in step:
        details.append("--count finds " + ("no number" if step["count"] is None else format_count(step["count"])))
    checks = step.get("checks", ())
    details += [f"--expect {check['check']} {'holds' if check['passed'] else 'FAILS'}" for check in checks]
    return name, f"{size}  {_payload(step)}", details


def _payload(step: Step) -> str:
    return str(step["payload"]) + (" …" if step["cut"] else "")


def _fault(step: Step) -> Words:
    text = step["text"]
    return "fault", (text if text.startswith("the ") else f"the target {text}"), ()


def _end(step: Step) -> Words:
    code = step["code"]
    return "end", f"closed with {code} {close_code_name(code)}" + ("" if step["ours"] else ", not by us"), ()


_WORDS: dict[str, Callable[[Step], Words]] = {
    "session": _session,
    "resolve": _resolve,
    "try": _try,
    "connect": _connect,
    "proxy": _proxy,
    "redirect": _redirect,
    "tls": _tls,
    "request": _head("request"),
    "response": _head("response"),
    "declined": _declined,
    "body": _body,
    "noise": _noise,
    "frame": _frame,
    "fault": _fault,
    "end": _end,
}
