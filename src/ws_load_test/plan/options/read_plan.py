"""Builds a plan from options: parses every value and finds every problem at once, each with its option's name."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from ws_load_test.common.errors import (
    OptionProblem,
    PlanError,
    UsageError,
    cause_of,
    option_name,
)
from ws_load_test.common.machine import default_workers
from ws_load_test.common.text_files import read_text
from ws_load_test.common.units import LONGEST_NS, format_duration, format_rate, quoted_path
from ws_load_test.messages import Message
from ws_load_test.plan.correlation import Correlation
from ws_load_test.plan.fan_out import FanOut
from ws_load_test.plan.load import ClosedLoop, Load, OpenLoop, RoleLoad
from ws_load_test.plan.options.catalog import (
    ALIASES,
    FORMER_NAMES,
    PARSERS,
    PlanOptions,
    conflicts,
    fields_of,
    missing_companions,
    owned_by,
    parse_options,
)
from ws_load_test.plan.options.correlation import read_correlation
from ws_load_test.plan.options.fan_out import check_fan_out, most_workers, read_fan_out
from ws_load_test.plan.options.feed_rows import check_environment, check_feed_rows
from ws_load_test.plan.options.messages import (
    check_row_count,
    connection_texts,
    message_warnings,
    read_first_messages,
    read_message,
)
from ws_load_test.plan.options.presets import named_by_preset, with_preset
from ws_load_test.plan.options.rows.load import SCHEDULE
from ws_load_test.plan.options.scenario.one_role import named_by_option, with_one_role
from ws_load_test.plan.options.scenario.problems import FILE_KEYS, PlanSource, WrittenRoles, located, source_of
from ws_load_test.plan.options.session_policy import check_commands_and_node, read_misbehaving, read_reconnect
from ws_load_test.plan.options.spec import Owner, Texts
from ws_load_test.plan.options.target import proxy_hint, read_target, unused_names
from ws_load_test.plan.options.thresholds import bounded_by_conditions, check_condition_parts, read_thresholds
from ws_load_test.plan.other_tools import OPTION_NAMES
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.plan_warnings import room_warnings, threshold_warnings
from ws_load_test.plan.presets import Preset
from ws_load_test.plan.schedule import LoadProfile, round_half_down
from ws_load_test.plan.target import is_on_this_machine
from ws_load_test.plan.values import check_rate

if TYPE_CHECKING:
    from ws_load_test.plan.options.scenario.read import ReadScenario

DEFAULT_DURATION_NS = 10 * 10**9
LARGEST_IN_FLIGHT_BYTES = 1 << 30
"""Bound on what one connection has in flight, since a worker encodes that much ahead."""
LARGEST_PLAN_FILE_BYTES = 16 << 20
"""Bytes of a plan file: payloads of some size belong in files of their own."""
SMALLEST_FRAME_BYTES = 64
"""Memory that a message takes at least, however short its payload."""


def make_plan(url: Texts = None, **options: Unpack[PlanOptions]) -> Plan:
    """Returns a plan from options as the command line names them, dashes as underscores.

        make_plan("ws://localhost:3001", connections=100, duration="30s", in_flight=4)

    Values can be strings, as on a command line, or numbers, booleans and lists.

    Raises:
        PlanError: with every problem that the options have, each naming its option.
    """
    return read_plan({"url": url, **options})


def read_plan(options: Mapping[str, Any]) -> Plan:
    """Returns the plan that these options describe; None stands for an option not given.

    Raises:
        PlanError: with every problem found.
    """
    given, preset, of_given = _expanded(options)
    values, problems = parse_options(given, owned_by(Owner.PLAN))
    problems += [*of_given, *unknown_options(given, {*PARSERS, *FILE_KEYS})]
    if "url" not in given:
        problems.append(OptionProblem("URL", "missing; say what to test, for example ws://localhost:3001"))
    problems += conflicts(values)
    problems += missing_companions(values, given)
    target = read_target(values, problems)
    _check_schedule(values, problems)
    scenario = _read_scenario(given, values, problems, preset) if "role" in given else None
    if scenario is None:
        message = read_message(values, problems)
        correlation = read_correlation(values, message, problems)
        fan_out = read_fan_out(values, message, connection_texts(values), problems)
        connections = _connections(values) if fan_out is None else fan_out.sessions
    else:
        message, fan_out = scenario.message, scenario.scenario.fan_out
        correlation = Correlation(check_utf8=values.get("check_utf8", False))
        connections = scenario.scenario.sessions
    feed_warnings = check_row_count(message, connections, values, problems)
    misbehaving = read_misbehaving(values, connections, problems)
    reconnect = read_reconnect(values, problems)
    check_commands_and_node(values, problems)
    setup_messages = read_first_messages(values, problems)
    thresholds = read_thresholds(values, problems, scenario=None if scenario is None else scenario.scenario)
    _check_in_flight(values, message, problems)
    if not problems:
        _check_rates(values, connections, _senders(fan_out, connections), problems)
        _check_open_timeout(values, connections, problems)
    if message.environment and not problems:
        check_environment(values, message, problems)
    if message.feed is not None and not problems:
        check_feed_rows(values, message, message.feed, connections, problems)
    if problems:
        problems = list(named_by_option(named_by_preset(problems, preset, options), given))
        raise PlanError(located(problems, source_of(given), given))

    duration_ns = _duration_ns(values)
    load = RoleLoad() if scenario is not None else _read_load(values, _senders(fan_out, connections), duration_ns)
    if duration_ns is not None and load.requested_rate is not None:
        _check_any_message(load.requested_rate, duration_ns, values)
    plan = Plan(
        target=target,
        connections=connections,
        load=load,
        message=message,
        setup_messages=setup_messages,
        correlation=correlation,
        fan_out=fan_out,
        scenario=None if scenario is None else bounded_by_conditions(scenario.scenario, thresholds),
        reconnect=reconnect,
        misbehaving=misbehaving,
        duration_ns=duration_ns,
        connect_rate_per_s=_connect_rate_per_s(values, connections),
        warnings=message_warnings(message, values) + feed_warnings + (() if scenario is None else scenario.warnings),
        workers=min(
            values.get("workers") or default_workers(connections, beside_target=is_on_this_machine(target)),
            most_workers(values) or connections,
            connections,
        ),
        **thresholds,
        **fields_of(values),
    )
    check_condition_parts(plan)
    if plan.fan_out is not None:
        check_fan_out(plan)
    hint = "" if plan.target.unix_socket or given.get("proxy", "env") != "env" else proxy_hint(plan.target, os.environ)
    hints = [hint] * bool(hint)
    if plan.fan_out is None or plan.fan_out.publish is None:
        hints += unused_names(plan.target)
    hints += room_warnings(plan)
    return msgspec.structs.replace(plan, warnings=plan.warnings + threshold_warnings(plan) + tuple(hints))


def _read_scenario(
    given: Mapping[str, Any], values: Mapping[str, Any], problems: list[OptionProblem], preset: Preset | None
) -> ReadScenario:
    """Reads the roles of a plan; one without any starts without the reader of roles."""
    from ws_load_test.plan.options.scenario.read import read_scenario  # noqa: PLC0415 - of use here alone

    return read_scenario(given, values, problems, preset)


def _expanded(options: Mapping[str, Any]) -> tuple[dict[str, Any], Preset | None, list[OptionProblem]]:
    """Returns the options with those that `--scenario` and `--protocol` stand for, the preset, and what is wrong."""
    given = {name.replace("-", "_"): value for name, value in options.items() if value is not None}
    given, of_scenario = with_one_role(given)
    given, preset, of_preset = with_preset(given)
    return given, preset, of_scenario + of_preset


def unknown_options(names: Iterable[str], known: Collection[str]) -> Iterator[OptionProblem]:
    """Yields the names that no option has, with the present name of an option that was renamed, or the nearest."""
    for name in names:
        if name in known:
            continue
        written = name.replace("_", "-")
        if name in FORMER_NAMES:
            yield OptionProblem(written, f"was renamed; write {FORMER_NAMES[name].replace('_', '-')}")
            continue
        near = [OPTION_NAMES[name]] if OPTION_NAMES.get(name) in known else difflib.get_close_matches(name, known, n=1)
        meant = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
        yield OptionProblem(written, f"there is no such option{meant}")


def _connections(values: Mapping[str, Any]) -> int:
    """Returns the largest number of connections of the run."""
    profile: LoadProfile | None = values.get("connection_stages")
    return int(profile.peak) if profile is not None else int(values.get("connections", 1))


def _senders(fan_out: FanOut | None, connections: int) -> int:
    """Returns the number of those to which a rate per connection applies: in a fan-out, its publishers."""
    return connections if fan_out is None else fan_out.publishers


def _connect_rate_per_s(values: Mapping[str, Any], connections: int) -> float | None:
    ramp_ns: int = values.get("ramp", 0)
    per_s: float | None = values.get("connect_rate")
    return connections * 1e9 / ramp_ns if ramp_ns else per_s


def _check_in_flight(values: Mapping[str, Any], message: Message, problems: list[OptionProblem]) -> None:
    in_flight = values.get("in_flight", 1)
    if in_flight * max(message.max_bytes, SMALLEST_FRAME_BYTES) > LARGEST_IN_FLIGHT_BYTES:
        text = f"{in_flight} messages of {message.max_bytes} bytes are more than the 1 GiB that may be in flight"
        problems.append(OptionProblem("--in-flight", text))


def _check_rates(values: Mapping[str, Any], connections: int, senders: int, problems: list[OptionProblem]) -> None:
    """Finds rates that are in range for one connection, and not for all of them."""
    in_all = {
        "rate_per_connection": values.get("rate_per_connection", 0.0) * senders,
        "ramp": _connect_rate_per_s(values, connections) or 0.0,
    }
    for name, per_s in in_all.items():
        try:
            if name in values:
                check_rate(per_s, f"{format_rate(per_s)} over {connections} connections")
        except ValueError as error:
            problems.append(OptionProblem(option_name(name), str(error)))


def _check_open_timeout(values: Mapping[str, Any], connections: int, problems: list[OptionProblem]) -> None:
    """Finds an opening that is over before its last connection is due."""
    per_s, limit_ns = _connect_rate_per_s(values, connections), values.get("open_timeout")
    last_ns = (connections - 1) * 1e9 / per_s if per_s else 0.0
    if limit_ns is not None and limit_ns <= last_ns:
        last = format_duration(last_ns)
        text = f"is over before the last of {connections} connections is due, after {last}; make it longer"
        problems.append(OptionProblem("--open-timeout", text))


def _check_any_message(rate: LoadProfile, duration_ns: int, values: Mapping[str, Any]) -> None:
    """Raises PlanError if a rate is so low that no message falls due in the measured time."""
    warmup_ns = values.get("warmup", 0)
    early, whole = rate.cumulative(warmup_ns), rate.cumulative(warmup_ns + duration_ns)
    # Message k is due when the integral of the rate reaches k + 1/2.
    if not rate.peak or round_half_down(whole) > round_half_down(early):
        return
    name = next(option_name(name) for name in SCHEDULE if name in values)
    amount = float(f"{whole - early:.2g}")
    text = (
        f"sends nothing: {rate.describe(format_rate)} is {amount:g} of a message in the measured"
        f" {format_duration(duration_ns)}; make the run longer, or the rate higher"
    )
    raise PlanError((OptionProblem(name, text),))


def _is_open(values: Mapping[str, Any]) -> bool:
    return any(name in values for name in SCHEDULE)


def _check_schedule(values: Mapping[str, Any], problems: list[OptionProblem]) -> None:
    """Finds options that do not fit the kind of load, or the time that it takes."""
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
    if "seed" in values and values.get("arrivals") != "poisson":
        problems.append(OptionProblem("--seed", "only --arrivals poisson is random"))
    for name in ("stages", "connection_stages"):
        warmup_ns, shape = values.get("warmup", 0), values.get(name)
        if shape is not None and warmup_ns >= shape.duration_ns:
            problems.append(OptionProblem("--warmup", f"takes all the time of {option_name(name)}"))


def _duration_ns(values: Mapping[str, Any]) -> int | None:
    """Returns the measured time: stages are the whole run, warm-up included; a duration begins after the warm-up."""
    if "messages" in values:
        return None
    if "stages" in values:
        return int(values["stages"].duration_ns - values.get("warmup", 0))
    if "duration" not in values and "connection_stages" in values:
        return int(values["connection_stages"].duration_ns)
    return int(values.get("duration", DEFAULT_DURATION_NS))


def _read_load(values: Mapping[str, Any], senders: int, duration_ns: int | None) -> Load:
    if not _is_open(values):
        return ClosedLoop(in_flight=values.get("in_flight", 1))
    rate = values.get("stages")
    if rate is None:
        per_s = values["rate"] if "rate" in values else values["rate_per_connection"] * senders
        # A number of messages takes as long as it takes.
        length_ns = LONGEST_NS if duration_ns is None else duration_ns + values.get("warmup", 0)
        rate = LoadProfile.constant(per_s, length_ns)
    arrivals = values.get("arrivals", "constant")
    # Chosen here and printed with the plan, so that any run can be repeated.
    seed = values.get("seed", secrets.randbelow(1 << 32)) if arrivals == "poisson" else 0
    return OpenLoop(rate=rate, arrivals=arrivals, seed=seed, max_in_flight=values.get("max_in_flight"))


def read_plan_file(path: str) -> dict[str, Any]:
    """Returns the options in a TOML plan file, where they are named as on the command line without the dashes.

    Raises:
        UsageError: the file cannot be read, or is not TOML.
    """
    import tomllib  # noqa: PLC0415 - most runs have no plan file

    try:
        text = read_text(path, LARGEST_PLAN_FILE_BYTES)
        written = {name.replace("-", "_"): value for name, value in tomllib.loads(text).items()}
        if "role" in written:
            written["role"] = WrittenRoles(written["role"], PlanSource(path, text, dict(written)))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--plan: {quoted_path(path)} is not TOML: {error}") from None
    except ValueError as error:
        # A number of thousands of digits is a ValueError of int, too.
        raise UsageError(f"--plan: cannot read {quoted_path(path)}: {cause_of(error)}") from None
    except RecursionError:
        raise UsageError(f"--plan: {quoted_path(path)} is not TOML: its lists or tables are nested too deep") from None
    return {ALIASES.get(name, name): value for name, value in written.items()}
