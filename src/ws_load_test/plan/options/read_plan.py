"""From options to a plan: every value read, every problem found at once, each naming the option that caused it.

The same names serve the command line (``--in-flight``), a plan file (``in-flight = 4``) and scripts
(``in_flight=4``). A new option is one line in `READERS` (or a few in `read_plan`), a field of the plan, and a
parameter of the command line.
"""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ws_load_test.common.errors import (
    OptionProblem,
    PlanError,
    UsageError,
    option_name,
)
from ws_load_test.common.machine import default_workers
from ws_load_test.common.units import LONGEST_NS
from ws_load_test.plan import values as option_values
from ws_load_test.plan.load import ClosedLoop, Load, OpenLoop
from ws_load_test.plan.options import (
    correlation,
    messages,
    session_policy,
    thresholds,
)
from ws_load_test.plan.options import (
    target as target_options,
)
from ws_load_test.plan.options.correlation import read_correlation
from ws_load_test.plan.options.messages import message_warnings, read_first_messages, read_message
from ws_load_test.plan.options.session_policy import read_misbehaving, read_reconnect
from ws_load_test.plan.options.target import read_target
from ws_load_test.plan.options.thresholds import read_verdict
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.plan_warnings import threshold_warnings
from ws_load_test.plan.schedule import LoadProfile

DEFAULT_DURATION_NS = 10 * 10**9
LARGEST_IN_FLIGHT_BYTES = 1 << 30
"""Of one connection: a worker encodes that many messages ahead."""


PARSERS: dict[str, Callable[[Any], Any]] = {
    **target_options.PARSERS,
    **messages.PARSERS,
    **correlation.PARSERS,
    **session_policy.PARSERS,
    **thresholds.PARSERS,
    "bind": option_values.addresses,
    "connections": option_values.positive_int,
    "connection_stages": option_values.connection_stages,
    "connect_rate": option_values.rate,
    "ramp": option_values.duration,
    "in_flight": option_values.positive_int,
    "rate": option_values.rate_or_zero,
    "rate_per_connection": option_values.rate,
    "stages": option_values.rate_stages,
    "arrivals": option_values.arrivals,
    "seed": option_values.non_negative_int,
    "max_in_flight": option_values.positive_int,
    "duration": option_values.positive_duration,
    "messages": option_values.positive_int,
    "warmup": option_values.duration,
    "ping_interval": option_values.positive_duration,
    "timeout": option_values.positive_duration,
    "connect_timeout": option_values.positive_duration,
    "workers": option_values.positive_int,
}
"""Every option of a plan, and what reads its value."""

MUTUALLY_EXCLUSIVE: tuple[tuple[str, str, str], ...] = (
    ("messages", "duration", "the run ends either after a number of messages or after a time"),
    ("connect_rate", "ramp", "both say how fast connections open"),
    ("weights", "size", "generated contents have sizes, not weights"),
    ("message", "size", "the text is either given or generated"),
    ("binary", "ping", "a ping frame is neither text nor binary"),
    ("insecure", "cacert", "either any certificate is taken or those of an authority"),
    ("rate", "rate_per_connection", "both say how many messages fall due"),
    ("stages", "rate", "both say how many messages fall due"),
    ("stages", "rate_per_connection", "both say how many messages fall due"),
    ("stages", "duration", "the stages say how long the run takes"),
    ("stages", "messages", "the stages say when the run ends"),
    ("connection_stages", "connections", "both say how many connections there are"),
    ("connection_stages", "ramp", "both say how connections open"),
    ("connection_stages", "connect_rate", "both say how connections open"),
    ("connection_stages", "rate_per_connection", "the number of connections changes; give the whole --rate"),
    ("connection_stages", "warmup", "connections come and go from the first moment on"),
    ("feed_order", "size", "generated contents take nothing from a feed"),
    ("ping", "ping_interval", "both send pings, and a pong would answer either"),
)
"""Options that cannot stand beside each other, and why."""

OPEN_LOOP_ONLY = ("arrivals", "seed", "max_in_flight", "ping_interval", "connection_stages")
"""Options that have a meaning only where messages fall due on a schedule."""


def make_plan(url: str | None = None, **options: Any) -> Plan:
    """Returns a plan from options as the command line names them, dashes as underscores.

        make_plan("ws://localhost:3001", connections=100, duration="30s", in_flight=4)

    Values may be strings, as on a command line, or numbers, booleans and lists.

    Raises:
        PlanError: with every problem that the options have, each naming its option.
    """
    return read_plan({"url": url, **options})


def read_plan(options: Mapping[str, Any]) -> Plan:
    """The plan that these options describe; None stands for an option not given.

    Raises:
        PlanError: with every problem found.
    """
    values, problems = _read_values(
        {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    )
    get = values.get
    if options.get("url") is None:
        problems.append(OptionProblem("URL", "missing; say what to test, for example ws://localhost:3001"))
    for one, other, why in MUTUALLY_EXCLUSIVE:
        if _is_given(get(one)) and _is_given(get(other)):
            problems.append(OptionProblem(option_name(one), f"cannot stand beside {option_name(other)}: {why}"))
    target = read_target(values, problems)
    _check_schedule(values, problems)
    message = read_message(values, problems)
    matching = read_correlation(values, message, problems)
    shape = get("connection_stages")
    connections = int(shape.peak) if shape is not None else get("connections", 1)
    unkind = read_misbehaving(values, connections, problems)
    reconnect = read_reconnect(values, problems)
    first_messages = read_first_messages(values, problems)
    verdict = read_verdict(values, problems)
    in_flight = get("in_flight", 1)
    if in_flight * max(message.max_bytes, 64) > LARGEST_IN_FLIGHT_BYTES:
        problems.append(
            OptionProblem(
                "--in-flight",
                f"{in_flight} messages of {message.max_bytes} bytes are more than the 1 GiB that may be in flight",
            )
        )
    if problems:
        raise PlanError(tuple(problems))

    ramp_ns = get("ramp", 0)
    given = {
        f"{name}_ns": values[name]
        for name in ("warmup", "timeout", "connect_timeout", "ping_interval", "lifetime")
        if name in values
    }
    duration_ns = _duration_ns(values)
    plan = Plan(
        target=target,
        connections=connections,
        load=_read_load(values, connections, duration_ns),
        message=message,
        setup_messages=first_messages,
        correlation=matching,
        reconnect=reconnect,
        disconnect_storm=get("disconnect"),
        misbehaving=unkind,
        duration_ns=duration_ns,
        messages=get("messages"),
        connect_rate_per_s=connections * 1e9 / ramp_ns if ramp_ns else get("connect_rate"),
        connection_profile=shape,
        bind=get("bind", ()),
        warnings=message_warnings(message, values),
        workers=min(get("workers") or default_workers(connections), connections),
        **given,
        **verdict,
    )
    return msgspec.structs.replace(plan, warnings=plan.warnings + threshold_warnings(plan))


def _is_given(value: Any) -> bool:
    return value is not None and value is not False


def _is_open(values: Mapping[str, Any]) -> bool:
    return any(name in values for name in ("rate", "rate_per_connection", "stages"))


def _check_schedule(values: Mapping[str, Any], problems: list[OptionProblem]) -> None:
    """Options that belong to the one kind of load or to the other."""
    if _is_open(values):
        if "in_flight" in values:
            problems.append(
                OptionProblem(
                    "--in-flight",
                    "has no meaning on a schedule; did you mean --max-in-flight, which holds messages back?",
                )
            )
        if values.get("rate") == 0 and "messages" in values:
            problems.append(OptionProblem("--messages", "no message falls due at --rate 0"))
    else:
        problems.extend(
            OptionProblem(option_name(name), "needs a schedule; add --rate or --stages")
            for name in OPEN_LOOP_ONLY
            if name in values
        )
    if "seed" in values and values.get("arrivals") != "poisson":
        problems.append(OptionProblem("--seed", "only --arrivals poisson is random"))
    for name in ("stages", "connection_stages"):
        warmup_ns, shape = values.get("warmup", 0), values.get(name)
        if shape is not None and warmup_ns >= shape.duration_ns:
            problems.append(OptionProblem("--warmup", f"takes all the time of {option_name(name)}"))


def _duration_ns(values: Mapping[str, Any]) -> int | None:
    """How long is measured: the stages are the whole run, warm-up included; a duration is what comes after it."""
    if "messages" in values:
        return None
    if "stages" in values:
        return int(values["stages"].duration_ns - values.get("warmup", 0))
    if "duration" not in values and "connection_stages" in values:
        return int(values["connection_stages"].duration_ns)
    return int(values.get("duration", DEFAULT_DURATION_NS))


def _read_load(values: Mapping[str, Any], connections: int, duration_ns: int | None) -> Load:
    if not _is_open(values):
        return ClosedLoop(in_flight=values.get("in_flight", 1))
    rate = values.get("stages")
    if rate is None:
        per_s = values["rate"] if "rate" in values else values["rate_per_connection"] * connections
        # A number of messages takes as long as it takes.
        length_ns = LONGEST_NS if duration_ns is None else duration_ns + values.get("warmup", 0)
        rate = LoadProfile.constant(per_s, length_ns)
    arrivals = values.get("arrivals", "constant")
    # Chosen here and printed with the plan, so that any run can be repeated.
    seed = values.get("seed", secrets.randbelow(1 << 32)) if arrivals == "poisson" else 0
    return OpenLoop(rate=rate, arrivals=arrivals, seed=seed, max_in_flight=values.get("max_in_flight"))


def _read_values(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[OptionProblem]]:
    values: dict[str, Any] = {}
    problems: list[OptionProblem] = []
    for name, value in options.items():
        if name not in PARSERS:
            near = difflib.get_close_matches(name, PARSERS, n=1)
            meant = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
            problems.append(OptionProblem(name.replace("_", "-"), f"there is no such option{meant}"))
            continue
        try:
            values[name] = PARSERS[name](value)
        except ValueError as error:
            problems.append(OptionProblem(option_name(name), str(error)))
        except TypeError:
            problems.append(OptionProblem(option_name(name), f'"{value}" is not a value that this option takes'))
    return values, problems


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
