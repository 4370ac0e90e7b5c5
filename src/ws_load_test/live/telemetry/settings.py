"""Options of live metrics: where the endpoint listens, where the collector is, and which protocol it speaks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.common.units import quoted
from ws_load_test.live.telemetry.served_names import is_host_name
from ws_load_test.plan.redaction import public_url
from ws_load_test.plan.values import duration, port, strings, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OtlpProtocol = Literal["grpc", "http/protobuf"]
OPTIONS = ("metrics_port", "metrics_host", "metrics_allow_host", "metrics_linger", "otlp")
LOOPBACK = "127.0.0.1"
HTTP_PORT = 4318
"""Port of OTLP over HTTP; 4317 is that of gRPC (https://opentelemetry.io/docs/specs/otlp)."""
HTTP_PATH = "/v1/metrics"
_PROTOCOL_NAMES = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""The variables of the environment that name the protocol; the first that is set decides."""


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """An OpenTelemetry collector."""

    url: str
    protocol: OtlpProtocol

    @property
    def label(self) -> str:
        """Its address without secrets."""
        return public_url(self.url)


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Settings of a run's live metrics; false if there are none."""

    port: int | None = None
    """Port of the endpoint; 0 is any that is free, None is no endpoint."""
    host: str = LOOPBACK
    linger_ns: int = 0
    """Time that the endpoint stays up after the run to be read once more."""
    collector: OtlpTarget | None = None
    allowed: tuple[str, ...] = ()
    """Names for which the endpoint answers besides its own."""

    def __bool__(self) -> bool:
        return self.port is not None or self.collector is not None


def read_settings(
    options: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[TelemetrySettings, list[OptionProblem]]:
    """Returns the settings, and the problems of the options."""
    problems: list[OptionProblem] = []
    values: dict[str, Any] = {}
    parsers: dict[str, Callable[[Any], Any]] = {
        "metrics_port": port,
        "metrics_host": _host,
        "metrics_allow_host": _allowed,
        "metrics_linger": duration,
        "otlp": lambda value: _collector(value, environ),
    }
    for name, parse in parsers.items():
        if name in options:
            try:
                values[name] = parse(options[name])
            except ValueError as error:
                problems.append(OptionProblem(option_name(name), str(error)))
    problems += [
        OptionProblem(option_name(name), "needs --metrics-port, the port to listen on")
        for name in ("metrics_host", "metrics_allow_host", "metrics_linger")
        if name in options and "metrics_port" not in options
    ]
    settings = TelemetrySettings(
        values.get("metrics_port"),
        values.get("metrics_host", LOOPBACK),
        values.get("metrics_linger", 0),
        values.get("otlp"),
        values.get("metrics_allow_host", ()),
    )
    return settings, problems


def _allowed(value: Any) -> tuple[str, ...]:
    names = tuple(name.strip() for one in strings(value) for name in one.split(","))
    for name in names:
        if not is_host_name(name):
            raise ValueError(f"{quoted(name)} is no name of a host; write one without a port, as Host headers have it")
    return names


def _host(value: Any) -> str:
    host = text(value).removeprefix("[").removesuffix("]")
    if not host or any(letter.isspace() or letter in "/@" for letter in host):
        raise ValueError("is no address; write for example 127.0.0.1, or 0.0.0.0 for all of this machine")
    return host


def _collector(value: Any, environ: Mapping[str, str]) -> OtlpTarget:
    url = text(value)
    # An empty variable counts as unset, by the specification of these variables.
    variables = ((name, environ.get(name, "").strip()) for name in _PROTOCOL_NAMES)
    variable, protocol = next(((name, value) for name, value in variables if value), ("", ""))
    hint = "write for example http://localhost:4317 (gRPC) or http://localhost:4318/v1/metrics (HTTP)"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # The URL is not repeated, here and below: it may hold a password.
        raise ValueError(f"is no URL; {hint}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"is no http:// or https:// URL; {hint}")
    if parts.username is not None:
        raise ValueError("has user info in its URL; put credentials into OTEL_EXPORTER_OTLP_HEADERS instead")
    if protocol not in {"", "grpc", "http/protobuf"}:
        raise ValueError(f"{variable} is neither grpc nor http/protobuf, which are spoken here")
    bare = parts.path in {"", "/"}
    if protocol == "grpc" or (not protocol and bare and port != HTTP_PORT):
        return OtlpTarget(url, "grpc")
    # The specification has this path for a URL without one.
    return OtlpTarget(parts._replace(path=HTTP_PATH).geturl() if bare else url, "http/protobuf")
