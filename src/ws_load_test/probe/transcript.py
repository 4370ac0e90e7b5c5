"""Steps of a probe's session: noted as they happen, put into words and redacted when there is time."""

from __future__ import annotations

import codecs
import os
import re
from typing import TYPE_CHECKING, Any

from ws_load_test.common.clock import monotonic_ns
from ws_load_test.messages.fields import FIELD
from ws_load_test.plan.redaction import (
    REDACTED,
    public_header,
    public_location,
    public_payload,
    public_url,
)
from ws_load_test.probe.certificate import certificate_facts
from ws_load_test.probe.tracing import attach_observed
from ws_load_test.websocket import frames

if TYPE_CHECKING:
    import asyncio
    import socket
    import ssl
    from collections.abc import Callable

    import h11

    from ws_load_test.engine.connect.dialed_session import DialedSession
    from ws_load_test.engine.connect.dialer import Dialer
    from ws_load_test.engine.connect.upgrade_request import Render, UpgradeRequest
    from ws_load_test.plan.target import Target
    from ws_load_test.probe.tracing import Frame, TrafficListener
    from ws_load_test.websocket.deflate import PerMessageDeflate

    Step = dict[str, Any]
    """One thing that happened: ``step`` names it, ``at_ns`` is when, from the start."""

LONGEST_PAYLOAD = 300
"""Characters of a payload that are shown: some lines of a terminal."""
MAX_FRAMES = 1000
"""Frames that are shown, the reply's apart; a target may send without end."""
REDACTED_BYTES = 1 << 16
"""Bytes of a payload that are redacted before it is cut to what is shown: a secret must not be cut in two."""
OPCODES = {
    frames.CONTINUATION: "continuation",
    frames.TEXT: "text",
    frames.BINARY: "binary",
    frames.CLOSE: "close",
    frames.PING: "ping",
    frames.PONG: "pong",
}
_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")
_OURS = {"sec-websocket-key", "sec-websocket-accept"}
"""Random by design, and no secrets."""
_SCHEME = re.compile(r"(Basic|Bearer|Digest) ", re.IGNORECASE)
_BEFORE_PATH = re.compile(r"^[^:]*://[^/?#]*")


class Transcript:
    """The steps of one session; the `TraceListener` of its opening."""

    def __init__(
        self,
        target: Target,
        redact: Callable[[str], str],
        *,
        traffic: TrafficListener,
        start_ns: int | None = None,
    ) -> None:
        """Takes what hides the secrets in a text, the observer of the open session, and the instant to count from."""
        self._traffic = traffic
        self.steps: list[Step] = []
        self.frames_left_out = 0
        """Frames that are not among the steps, because they were too many."""
        self._frames = 0
        self.resolved_ns: dict[str, int] = {}
        """Duration of each name's lookup, as the dialer knows it."""
        self._target = target
        self._redact = redact
        self._mark_ns = monotonic_ns()
        self._start_ns = self._mark_ns if start_ns is None else start_ns
        self._templates: dict[str, str] = {}
        self._requests = 0
        self._resolved: set[str] = set()
        self._flushed = 0

    def now_ns(self) -> int:
        """Returns the time since the start."""
        return monotonic_ns() - self._start_ns

    def add(self, step: str, later: Callable[[], dict[str, Any]] | None = None, **facts: Any) -> Step:
        """Notes that something happened now; `later` returns the facts that take longer to put into words."""
        noted = self._step(step, later, facts)
        self.steps.append(noted)
        return noted

    def _step(self, step: str, later: Callable[[], dict[str, Any]] | None, facts: Step) -> Step:
        noted: Step = {"step": step, "at_ns": self.now_ns(), **facts}
        if later is not None:
            noted["later"] = later
        return noted

    def keep(self, step: Step) -> None:
        """Shows a frame although it was left out."""
        if step.pop("left_out", False):
            self.frames_left_out -= 1
            self.steps.append(step)

    def flush(self) -> list[Step]:
        """Returns the steps since the last call, redacted."""
        new, self._flushed = self.steps[self._flushed :], len(self.steps)
        for step in new:
            later = step.pop("later", None)
            if later is not None:
                step.update(later())
        return new

    def filler(self, fill: Render | None) -> Render | None:
        """Returns the same filler, whose values are shown by the names of their fields from now on."""
        if fill is None:
            return None

        def remembering(text: str) -> str:
            filled = fill(text)
            if filled != text:
                self._templates[filled] = text
            return filled

        return remembering

    # --- Opening ----------------------------------------------------------------------------------------------------

    def follow(self, dialer: Dialer) -> None:
        """Takes the times of lookups from a dialer."""
        self.resolved_ns = dialer.resolved_ns

    def phase_done(self, phase: str, result: Any) -> None:
        """A dial has passed a phase."""
        took_ns = self._since_last_phase()
        if phase == "resolve":
            host, routes = result
            if host in self.resolved_ns and host not in self._resolved:
                self._resolved.add(host)
                shown = [route.address[0] for route in routes]
                self.add("resolve", lambda: self._shown(host=host, addresses=shown), took_ns=self.resolved_ns[host])
        elif phase == "try":
            address, error = result
            text = os.strerror(error.errno) if error.errno else str(error)
            self.add("try", lambda: self._shown(address=_address(address), text=text), took_ns=took_ns)
        elif phase in {"connect", "proxy"}:
            self.add(phase, lambda: self._shown(address=_address(result)), took_ns=took_ns)
        elif phase == "redirect":
            endpoint = result.endpoint
            url = f"{'wss' if endpoint.secure else 'ws'}://{endpoint.authority}{endpoint.resource}"
            left_out = list(result.left_out)
            self.add("redirect", lambda: self._shown(url=public_location(url), left_out=left_out))

    def tls_established(self, tls: ssl.SSLObject) -> None:
        """The TLS handshake is over."""
        took_ns, cipher = self._since_last_phase(), tls.cipher()
        facts = {"version": tls.version(), "cipher": cipher[0] if cipher else None, "resumed": tls.session_reused}
        facts["alpn"] = tls.selected_alpn_protocol()
        encoded = tls.getpeercert(binary_form=True)
        checked = tls.getpeercert()
        later = None if encoded is None else lambda: {"certificate": certificate_facts(encoded, checked)}
        self.add("tls", later, took_ns=took_ns, **facts)
        self._since_last_phase()

    def request_sent(self, request: UpgradeRequest, data: bytes) -> None:
        """The upgrade request is about to leave."""
        first, self._requests = not self._requests, self._requests + 1

        def words() -> dict[str, Any]:
            lines = data.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
            method, resource, version = lines[0].split(" ")
            pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
            shown = self._resource(resource, first=first and not request.moved)
            return {"line": f"{method} {shown} {version}", "headers": self._headers(pairs)}

        self.add("request", words)
        self._since_last_phase()

    def response_received(self, response: h11.Response | h11.InformationalResponse) -> None:
        """The head of its answer has come."""
        took_ns = self._since_last_phase()

        def words() -> dict[str, Any]:
            pairs = [(_text(name), _text(value)) for name, value in response.headers.raw_items()]
            reason = self._redact(response.reason.decode("latin-1"))
            line = f"HTTP/{response.http_version.decode()} {response.status_code} {reason}".rstrip()
            return {"line": line, "headers": self._headers(pairs)}

        self.add("response", words, status=response.status_code, took_ns=took_ns)

    def body_received(self, data: bytes, *, is_body: bool) -> None:
        """The body of a refusal has come, or what is no HTTP."""
        self.add("body" if is_body else "noise", lambda: self.payload(data), size_bytes=len(data))

    def session_upgraded(
        self,
        session: DialedSession,
        transport: asyncio.Transport,
        sock: socket.socket,
        *,
        secure: bool,
        early: bytes,
        deflate: PerMessageDeflate | None,
    ) -> None:
        """The upgrade was accepted."""
        attach_observed(self._traffic, session, transport, sock, secure=secure, early=early, deflate=deflate)

    def _since_last_phase(self) -> int:
        """Returns the time since the last phase ended; the next begins."""
        now_ns = monotonic_ns()
        took_ns, self._mark_ns = now_ns - self._mark_ns, now_ns
        return took_ns

    def _shown(self, **facts: Any) -> dict[str, Any]:
        """Returns facts without secrets."""
        return {
            name: [self._redact(one) for one in fact] if isinstance(fact, list) else self._redact(fact)
            for name, fact in facts.items()
        }

    # --- Secrets ----------------------------------------------------------------------------------------------------

    def payload(self, data: bytes) -> dict[str, Any]:
        """Returns a payload as it is shown: text without what looks like a secret, other bytes escaped."""
        part = data[:REDACTED_BYTES]
        try:
            text = _new_utf8_decoder().decode(part, final=len(part) == len(data))
        except UnicodeDecodeError:
            text = (
                public_payload(self._redact(part.decode("latin-1")))
                .encode("latin-1", "replace")
                .decode("ascii", "backslashreplace")
            )
        else:
            text = public_payload(self._redact(text))
        return {"payload": text[:LONGEST_PAYLOAD], "cut": len(text) > LONGEST_PAYLOAD or len(part) < len(data)}

    def frame(self, direction: str, frame: Frame, plain: bytes | None = None) -> Step:
        """Notes a frame, unless there are too many (`keep`).

        `plain` is its payload uncompressed, which can become known later (`decompressed`).
        """
        opcode = OPCODES.get(frame.opcode, f"reserved {frame.opcode:#x}")
        step = self._step("frame", None, {"direction": direction, "opcode": opcode, "size_bytes": len(frame.payload)})
        self._frames += 1
        if self._frames <= MAX_FRAMES or frame.opcode == frames.CLOSE:
            self.steps.append(step)
        else:
            self.frames_left_out += 1
            step["left_out"] = True
        if not frame.is_last:
            step["fragment"] = True
        if plain is not None:
            step["plain_bytes"] = len(plain)

        def words() -> dict[str, Any]:
            if frame.opcode == frames.CLOSE:
                return self._close(frame.payload)
            return self.payload(frame.payload if plain is None else plain)

        step["later"] = words
        return step

    def decompressed(self, step: Step, plain: bytes) -> None:
        """Notes the payload of a frame uncompressed."""
        step["plain_bytes"] = len(plain)
        step["later"] = lambda: self.payload(plain)

    def _close(self, payload: bytes) -> dict[str, Any]:
        code = int.from_bytes(payload[:2]) if len(payload) >= 2 else None
        return {"code": code, "reason": public_payload(self._redact(payload[2:].decode(errors="replace")))}

    def _resource(self, resource: str, *, first: bool) -> str:
        if first and FIELD.search(self._target.url):
            # Fields by their names, since their values may be secret.
            return self._redact(_BEFORE_PATH.sub("", public_url(self._target.url)) or "/")
        return self._redact(_BEFORE_PATH.sub("", public_url(f"ws://host{resource}")))

    def _headers(self, pairs: list[tuple[str, str]]) -> list[list[str]]:
        return [[name, self._header(name, value)] for name, value in pairs]

    def _header(self, name: str, value: str) -> str:
        if name.lower() in _OURS:
            return value
        if name.lower() == "location":
            return self._redact(public_location(value))
        template = self._templates.get(value)
        if template is not None:
            return public_header(name, template)[1]
        shown = public_header(name, value)[1]
        scheme = _SCHEME.match(value) if shown == REDACTED else None
        return f"{scheme[1]} {REDACTED}" if scheme else self._redact(shown)


def _address(address: Any) -> str:
    if isinstance(address, str):
        return address
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")
