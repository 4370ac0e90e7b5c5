"""From options to a plan: every value read, every problem found at once, each naming the option that caused it.

The same names serve the command line (``--in-flight``), a plan file (``in-flight = 4``) and scripts
(``in_flight=4``). A new option is one line in `READERS` (or a few in `read_plan`), a field of the plan, and a
parameter of the command line.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ws_load_test.errors import PlanError, Problem, UsageError
from ws_load_test.message import DEFAULT_PAYLOAD, Kind, Message, generated_text
from ws_load_test.plan import DEFAULT_PORTS, ClosedLoad, Target, default_workers
from ws_load_test.units import parse_bytes, parse_duration_ns, parse_rate_per_s
from ws_load_test.wire import LARGEST_CONTROL_PAYLOAD

if TYPE_CHECKING:
    from ws_load_test.plan import Plan

T = TypeVar("T")
P = TypeVar("P", bound="Plan")
DEFAULT_DURATION_NS = 10 * 10**9
LARGEST_PAYLOAD = 1 << 30
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OURS = {
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "content-length",
}


def _number(value: Any) -> int:
    text = str(value).strip().replace("_", "").replace(",", "")
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise ValueError(f'"{value}" is not a whole number')
    return int(text)


def _at_least_one(value: Any) -> int:
    number = _number(value)
    if number < 1:
        raise ValueError(f"{number} is too few; it takes at least 1")
    return number


def _duration(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(f'"{value}" is not a duration; write for example 10s, 500ms or 2m')  # noqa: TRY004 - collected as a problem
    return parse_duration_ns(str(value))


def _some_duration(value: Any) -> int:
    duration_ns = _duration(value)
    if not duration_ns:
        raise ValueError("0 is too short; write for example 10s, 500ms or 2m")
    return duration_ns


def _rate(value: Any) -> float:
    per_s = parse_rate_per_s(str(value))
    if not per_s:
        raise ValueError("0 opens nothing; write for example 500, 2k/s or 90/m")
    return per_s


def _size(value: Any) -> int:
    size_bytes = parse_bytes(str(value))
    if size_bytes > LARGEST_PAYLOAD:
        raise ValueError(f'"{value}" is larger than the 1 GiB that one message may have')
    return size_bytes


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f'"{value}" is neither true nor false')  # noqa: TRY004 - collected as a problem
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f'"{value}" is not text')  # noqa: TRY004 - collected as a problem
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(_text(one) for one in value)


def _file(value: Any) -> str:
    path = Path(_text(value))
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise ValueError(f'cannot read "{path}": {error.strerror}') from None


def _url(value: Any) -> str:
    text = _text(value).strip()
    hint = "write ws://host:port/path or wss://…"
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"a URL holds no spaces or control characters; {hint}")
    try:
        parts = urlsplit(text)
        port = parts.port
        if parts.hostname:
            parts.hostname.encode("idna")
    except ValueError as error:
        # The error's text may quote the URL's password, so only what is known to be harmless is told.
        reason = "its port is not a number from 1 to 65535" if "ort" in str(error) else "its host is malformed"
        raise ValueError(f"not a URL: {reason}; {hint}") from None
    if parts.scheme.lower() not in DEFAULT_PORTS:
        wrong = f'"{parts.scheme}://"' if parts.scheme and "://" in text else f'"{text}" without a scheme'
        raise ValueError(f"{wrong} is not a WebSocket URL; {hint}")
    if not parts.hostname or port == 0:
        raise ValueError(f"the URL names no {'usable port' if parts.hostname else 'host'}; {hint}")
    if parts.fragment:
        raise ValueError("a WebSocket URL has no fragment (RFC 6455, section 3); write %23 for a #")
    return text


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(value, Mapping):
        pairs = [(str(name), str(text)) for name, text in value.items()]
    else:
        pairs = []
        for line in _texts(value):
            name, colon, text = line.partition(":")
            if not colon:
                raise ValueError('a header without a colon; write for example "Authorization: Bearer …"')
            pairs.append((name.strip(), text.strip()))
    for name, text in pairs:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f'"{name}" is not the name of a header')
        if not text.isprintable() or not text.isascii():
            raise ValueError(f"the value of {name} holds characters that a header cannot carry")
        if name.lower() in _OURS - {"host"}:
            raise ValueError(f"{name} is set by the WebSocket handshake itself")
    return tuple(pairs)


def _subprotocols(value: Any) -> tuple[str, ...]:
    names = tuple(name.strip() for text in _texts(value) for name in text.split(","))
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f'"{name}" is not the name of a subprotocol')
    if len(set(names)) != len(names):
        raise ValueError("a subprotocol is named twice (RFC 6455, section 4.1 wants them distinct)")
    return names


READERS: dict[str, Callable[[Any], Any]] = {
    "url": _url,
    "connections": _at_least_one,
    "duration": _some_duration,
    "messages": _at_least_one,
    "in_flight": _at_least_one,
    "message": _text,
    "size": _size,
    "binary": _flag,
    "ping": _flag,
    "header": _headers,
    "subprotocol": _subprotocols,
    "insecure": _flag,
    "cacert": _file,
    "timeout": _some_duration,
    "connect_timeout": _some_duration,
    "connect_rate": _rate,
    "ramp": _duration,
    "workers": _at_least_one,
    "warmup": _duration,
}
"""Every option of a plan, and what reads its value."""


def option_name(name: str) -> str:
    """An option as the user writes it on the command line."""
    return "URL" if name == "url" else "--" + name.replace("_", "-")


def read_plan(plan_type: type[P], options: Mapping[str, Any]) -> P:
    """The plan that these options describe; None stands for an option not given.

    Raises:
        PlanError: with every problem found.
    """
    values, problems = _read_values(
        {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    )
    get = values.get

    def clash(one: str, other: str, why: str) -> None:
        if get(one) and get(other):
            problems.append(Problem(option_name(one), f"cannot stand beside {option_name(other)}: {why}"))

    if "url" not in options or options["url"] is None:
        problems.append(Problem("URL", "missing; say what to test, for example ws://localhost:3001"))
    clash("messages", "duration", "the run ends either after a number of messages or after a time")
    clash("connect_rate", "ramp", "both say how fast connections open")
    clash("message", "size", "the text is either given or generated")
    clash("binary", "ping", "a ping frame is neither text nor binary")
    clash("insecure", "cacert", "either any certificate is taken or those of an authority")
    for option in ("insecure", "cacert"):
        if get(option) and get("url") and urlsplit(get("url", "")).scheme.lower() == "ws":
            problems.append(
                Problem(option_name(option), "has no meaning for ws://, which has no TLS; did you mean wss://?")
            )
    message = _read_message(values, problems)
    if problems:
        raise PlanError(tuple(problems))

    connections = get("connections", 1)
    ramp_ns = get("ramp", 0)
    given = {f"{name}_ns": values[name] for name in ("warmup", "timeout", "connect_timeout") if name in values}
    return plan_type(
        target=Target(
            url=values["url"],
            headers=get("header", ()),
            subprotocols=get("subprotocol", ()),
            insecure=get("insecure", False),
            cacert=get("cacert"),
        ),
        connections=connections,
        load=ClosedLoad(in_flight=get("in_flight", 1)),
        message=message,
        duration_ns=None if get("messages") else get("duration", DEFAULT_DURATION_NS),
        messages=get("messages"),
        connect_rate_per_s=connections * 1e9 / ramp_ns if ramp_ns else get("connect_rate"),
        workers=min(get("workers") or default_workers(), connections),
        **given,
    )


def _read_values(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in options.items():
        if name not in READERS:
            near = difflib.get_close_matches(name, READERS, n=1)
            meant = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
            problems.append(Problem(name.replace("_", "-"), f"there is no such option{meant}"))
            continue
        try:
            values[name] = READERS[name](value)
        except ValueError as error:
            problems.append(Problem(option_name(name), str(error)))
        except TypeError:
            problems.append(Problem(option_name(name), f'"{value}" is not a value that this option takes'))
    return values, problems


def _read_message(values: Mapping[str, Any], problems: list[Problem]) -> Message:
    text: str | None = values.get("message")
    payload = DEFAULT_PAYLOAD if text is None else text.encode()
    if "size" in values:
        payload = generated_text(values["size"])
    elif text and text.startswith("@"):
        try:
            payload = Path(text[1:]).read_bytes()
        except OSError as error:
            problems.append(Problem("--message", f'cannot read "{text[1:]}": {error.strerror}'))
    kind: Kind = "ping" if values.get("ping") else "binary" if values.get("binary") else "text"
    if kind == "ping" and len(payload) > LARGEST_CONTROL_PAYLOAD:
        problems.append(
            Problem(
                "--ping",
                f"a ping carries at most {LARGEST_CONTROL_PAYLOAD} bytes (RFC 6455, section 5.5), not {len(payload)}",
            )
        )
    if kind == "text":
        try:
            payload.decode()
        except UnicodeDecodeError:
            problems.append(Problem("--message", "the file is not UTF-8 text; add --binary to send it as it is"))
    return Message(kind=kind, size_bytes=len(payload), payload=payload)


def read_plan_file(path: str) -> dict[str, Any]:
    """The options in a TOML plan file, named as on the command line without the dashes.

    Raises:
        UsageError: the file cannot be read, or is not TOML.
    """
    import tomllib  # noqa: PLC0415 - most runs have no plan file

    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f'--plan: cannot read "{path}": {error.strerror}') from None
    except UnicodeDecodeError:
        raise UsageError(f'--plan: "{path}" is not UTF-8 text') from None
    try:
        return {name.replace("-", "_"): value for name, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f'--plan: "{path}" is not TOML: {error}') from None
