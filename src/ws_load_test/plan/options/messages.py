"""Builds the messages of a plan from parsed option values: reads files and feeds, and checks fields and sizes."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from ws_load_test.common.errors import OptionProblem, cause_of, option_name
from ws_load_test.common.units import quoted_path
from ws_load_test.messages import (
    DEFAULT_PAYLOAD,
    Feed,
    FeedError,
    Kind,
    Message,
    SetupMessage,
    SizeDistribution,
    Template,
    filler_text,
)
from ws_load_test.messages.feed import count_rows_to, cycle_rows, inspect
from ws_load_test.messages.fields import PublishMarker, RoomName
from ws_load_test.messages.publication import SAMPLE_ROOM
from ws_load_test.messages.size_estimate import estimate_sizes
from ws_load_test.messages.template import template_text
from ws_load_test.messages.trace_context import DEFAULT_TRACE_SHARE, Traceparent
from ws_load_test.plan.codecs import CODECS
from ws_load_test.plan.options.contents import ContentFiles, why_no_text
from ws_load_test.plan.options.environment import values_of, variables_in
from ws_load_test.plan.options.rows.fan_out import is_fan_out
from ws_load_test.websocket.frames import LARGEST_CONTROL_PAYLOAD

PER_CONNECTION = ("url", "header", "subprotocol", "cookie", "origin", "user", "bearer")
"""Options whose template fields are filled in once for each connection."""


def read_message(values: Mapping[str, Any], problems: list[OptionProblem]) -> Message:
    """Returns the messages that the options describe; adds to `problems` what is wrong with them.

    Fields of the target's options and of first messages are checked as well, since all share one feed.
    """
    kind: Kind = "ping" if values.get("ping") else "binary" if values.get("binary") else "text"
    feed = read_feed(values, problems)
    sizes = values.get("size")
    if isinstance(sizes, SizeDistribution):
        _check_ping_sizes(kind, sizes, problems)
        message = Message(kind, round(sizes.mean_bytes), b"", sizes=sizes, largest_bytes=sizes.largest_bytes)
        contents: list[tuple[bytes, bool]] = []
    elif sizes is not None:
        contents = [(filler_text(sizes), False)]
        message = Message(kind, generated=True)
    else:
        contents = _read_contents(values, kind, problems) or [(DEFAULT_PAYLOAD, False)]
        message = Message(kind)
    templates = [
        Template(template_text(payload), feed.columns if feed is not None else None) if may_vary else None
        for payload, may_vary in contents
    ]
    others = [(option, Template(text, feed.columns if feed else None)) for option, text in connection_texts(values)]
    others += [(option, Template(text, feed.columns if feed else None)) for option, text in _publish_texts(values)]
    checked = [*(("message", template) for template in templates if template is not None), *others]
    if _fields_are_right(checked, values, problems) and feed is not None:
        feed = with_used_columns(feed, [template for _, template in checked], problems)
    environment = _environment(checked, problems)
    message = msgspec.structs.replace(message, feed=feed, environment=environment)
    message = _with_trace_share(message, [template for _, template in checked], values, problems)
    broken = any(problem.option in {"--message", "--feed"} for problem in problems)
    if (len(contents) > 1 or "weights" in values) and not broken:
        message = _with_weights(message, values, len(contents), problems)
    if not contents or broken:
        return message
    room = max(values.get("rooms", (SAMPLE_ROOM,)), key=lambda name: len(name.encode()))
    return _with_contents(message, [payload for payload, _ in contents], templates, room, problems)


def read_openings(
    values: Mapping[str, Any], feed: Feed | None, templates: Iterable[Template], problems: list[OptionProblem]
) -> Message:
    """Returns a message that has the feed and the environment alone, for sessions whose steps have the contents.

    Adds to `problems` what is wrong with the texts that open a session.

    Args:
        values: Parsed option values.
        feed: Feed, if there is one that can be read.
        templates: Templates of the steps, whose problems are known.
        problems: Problems found so far.
    """
    columns = feed.columns if feed is not None else None
    opening = [(option, Template(text, columns)) for option, text in connection_texts(values)]
    environment = _environment(opening, problems)
    every = [*templates, *(template for _, template in opening)]
    if _fields_are_right(opening, values, problems) and feed is not None:
        feed = with_used_columns(feed, every, problems)
    return _with_trace_share(Message(feed=feed, environment=environment), every, values, problems)


def check_row_count(
    message: Message, connections: int, values: Mapping[str, Any], problems: list[OptionProblem]
) -> tuple[str, ...]:
    """Checks that a feed has a row for each connection, where each is to have its own.

    Returns a warning where connections share rows for another reason: the rows of what opens a session are theirs.
    """
    feed = message.feed
    if feed is None or not feed.used or problems:
        return ()
    for_connections = any("{feed." in text for _, text in connection_texts(values))
    if feed.order == "connection-shared" or not (feed.order == "connection" or for_connections):
        return ()
    try:
        rows = count_rows_to(feed, connections)
    except FeedError as error:
        problems.append(OptionProblem("--feed", error.text))
        return ()
    if rows >= connections:
        return ()
    many = f'"{feed.path}" has {rows} row{"s" * (rows != 1)} for {connections} connections'
    if feed.order == "connection":
        text = (
            f"each connection has a row of its own, and {many}; add rows, open fewer connections, or write"
            " --feed-order connection-shared, by which they share rows"
        )
        problems.append(OptionProblem("--feed-order", text))
        return ()
    return (f"--feed: {many}, so that some are opened with the values of others",)


def read_first_messages(values: Mapping[str, Any], problems: list[OptionProblem]) -> tuple[SetupMessage, ...]:
    """Returns the first messages, with files read; adds to `problems` what is wrong with them."""
    found = []
    binary, files = bool(values.get("binary")), ContentFiles()
    for written in values.get("first_message", ()):
        if not written.startswith("@"):
            found.append(SetupMessage(written.encode(errors="surrogateescape"), is_template=True))
            continue
        try:
            payload = files.read(written[1:])
        except ValueError as error:
            problems.append(OptionProblem("--first-message", _unreadable(written[1:], error)))
            continue
        if not binary and (lack := why_no_text(payload)) is not None:
            problems.append(OptionProblem("--first-message", f"{quoted_path(written[1:])} {lack}"))
            continue
        if binary:
            found.append(SetupMessage(payload, is_template=_may_have_fields(payload, values)))
        else:
            found.append(SetupMessage(payload.removeprefix(BOM_UTF8), is_template=True))
    return tuple(found)


def message_warnings(message: Message, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns warnings about what is allowed and perhaps a mistake: ``{sequence}``, a feed that no field uses."""
    columns = message.feed.columns if message.feed is not None else None
    templated = message.is_template or (False,) * (1 + len(message.alternatives))
    texts = [("message", text) for text in _given_texts(message, templated)]
    found: dict[str, None] = {}
    for option, text in [*texts, *connection_texts(values), *_publish_texts(values)]:
        for suspect in Template(text, columns).suspicious:
            found[f"{option_name(option)}: {suspect}"] = None
    if message.feed is not None and not message.feed.used:
        found["--feed: no field uses it; write {feed." + message.feed.columns[0] + "} where a value belongs"] = None
    return tuple(found)


def _given_texts(message: Message, templated: tuple[bool, ...]) -> Iterator[str]:
    """The messages that may have been meant as templates."""
    for payload, has_fields in zip((message.payload, *message.alternatives), templated, strict=True):
        if has_fields or message.kind == "text":
            yield template_text(payload)


def _unreadable(path: str, error: OSError | ValueError) -> str:
    return f"cannot read {quoted_path(path)}: {cause_of(error)}"


def read_feed(values: Mapping[str, Any], problems: list[OptionProblem]) -> Feed | None:
    """Returns the feed; None without one, or where it cannot be read."""
    if "feed" not in values:
        return None
    try:
        return inspect(values["feed"], values.get("feed_order", "round-robin"))
    except FeedError as error:
        problems.append(OptionProblem("--feed", error.text))
        return None


def _read_contents(values: Mapping[str, Any], kind: Kind, problems: list[OptionProblem]) -> list[tuple[bytes, bool]]:
    """Each message's payload, and whether fields are looked for in it: in text, and in what the command line gives.

    Files of a binary run are sent as they are, since any bytes may stand in them, unless fields are of use there.
    """
    found: list[tuple[bytes, bool]] = []
    reader = ContentFiles()
    for written in values.get("message", ()):
        if not written.startswith("@"):
            try:
                found.append((written.encode(), True))
            except UnicodeEncodeError:
                text = "is not UTF-8 text; put it into a file, and write @FILE and --binary"
                problems.append(OptionProblem("--message", text))
            continue
        path = Path(written[1:])
        try:
            is_directory = bool(written[1:]) and path.is_dir()
            files = sorted(file for file in path.iterdir() if file.is_file()) if is_directory else [path]
            if not files:
                problems.append(OptionProblem("--message", f'there are no files in "{path}"'))
            for file in files:
                payload = reader.read(str(file))
                if kind == "binary":
                    found.append((payload, _may_have_fields(payload, values)))
                elif (lack := why_no_text(payload)) is None:
                    found.append((payload.removeprefix(BOM_UTF8), True))
                else:
                    which = quoted_path(file) if is_directory else "the file"
                    problems.append(OptionProblem("--message", f"{which} {lack}"))
                    break
        except (OSError, ValueError) as error:
            problems.append(OptionProblem("--message", _unreadable(written[1:], error)))
    return found


def _may_have_fields(payload: bytes, values: Mapping[str, Any]) -> bool:
    """True for a binary file whose fields are filled in: ids of a codec must vary, and so must rooms and markers."""
    if values.get("match", ("",))[0] in CODECS:
        return True
    return is_fan_out(values) and any(b"{%s}" % one.name.encode() in payload for one in (PublishMarker, RoomName))


def connection_texts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text that is filled once for each connection, and its option."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            for one in value:
                yield from texts(one)

    for option in PER_CONNECTION:
        yield from ((option, text) for text in texts(values.get(option)))
    yield from (
        ("first_message", template_text(one.payload)) for one in read_first_messages(values, []) if one.is_template
    )


def _publish_texts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text of a publish by HTTP, and its option."""
    if (publish := values.get("publish_url")) is not None:
        yield "publish_url", publish.url
    yield from (("publish_header", text) for _, text in values.get("publish_header", ()))


def _fields_are_right(
    checked: list[tuple[str, Template]], values: Mapping[str, Any], problems: list[OptionProblem]
) -> bool:
    """Returns True if no field has a problem. A feed with a problem of its own is not reported as missing."""
    known = len(problems)
    for option, template in checked:
        for text in template.problems:
            if "needs a feed" in text and "feed" in values:
                continue
            problem = OptionProblem(option_name(option), text)
            if problem not in problems:
                problems.append(problem)
    return len(problems) == known


def _environment(checked: list[tuple[str, Template]], problems: list[OptionProblem]) -> dict[str, str]:
    """Returns the variables that fields name, and their values; adds those that are missing to `problems`."""
    found: dict[str, str] = {}
    for option, template in checked:
        values, missing = values_of(variables_in((template,)))
        found |= values
        added = (OptionProblem(option_name(option), text) for text in missing)
        problems.extend(problem for problem in added if problem not in problems)
    return found


def with_used_columns(feed: Feed, templates: Iterable[Template], problems: list[OptionProblem]) -> Feed:
    """Returns the feed with the columns that templates name; adds to `problems` what is wrong with its first row."""
    named = {field.column for template in templates for field in template.fields}
    feed = msgspec.structs.replace(feed, used=tuple(column for column in feed.columns if column in named))
    try:
        for _ in islice(cycle_rows(feed), 1):
            pass
    except FeedError as error:
        problems.append(OptionProblem("--feed", error.text))
    return feed


def _with_trace_share(
    message: Message, templates: list[Template], values: Mapping[str, Any], problems: list[OptionProblem]
) -> Message:
    """Returns the message with the share of trace contexts that ask for a trace, where there are any."""
    if any(field.label == Traceparent.name for template in templates for field in template.fields):
        return msgspec.structs.replace(message, trace_share=values.get("trace", DEFAULT_TRACE_SHARE))
    if "trace" in values:
        example = """-m '{"traceparent": "{traceparent}"}' or -H 'traceparent: {traceparent}'"""
        problems.append(OptionProblem("--trace", f"nothing that is sent has {{traceparent}}; add it: {example}"))
    return message


def _with_weights(message: Message, values: Mapping[str, Any], count: int, problems: list[OptionProblem]) -> Message:
    given: tuple[int, ...] = values.get("weights", (1,) * count)
    if count < 2:
        problems.append(OptionProblem("--weights", "there is one message; give -m several times, or a directory"))
    elif len(given) != count:
        problems.append(OptionProblem("--weights", f"there are {len(given)} of them, but {count} messages"))
    else:
        return msgspec.structs.replace(message, weights=given)
    return message


def _with_contents(
    message: Message,
    payloads: list[bytes],
    templates: list[Template | None],
    room: str,
    problems: list[OptionProblem],
) -> Message:
    """The message with its payloads, and with what is known of their sizes."""
    largest, means = [], []
    for payload, template in zip(payloads, templates, strict=True):
        if template is None or not template.varies:
            largest.append(len(payload))
            means.append(float(len(payload)))
            continue
        try:
            feed = message.feed if _names_feed(template) else None
            most, mean = estimate_sizes(template, feed, room, message.environment)
        except FeedError as error:
            problems.append(OptionProblem("--feed", error.text))
            return message
        largest.append(most)
        means.append(mean)
        if message.kind == "ping" and template.max_bytes is None:
            # It may well fit, so a feed's value that is too long is an error only when its turn comes.
            largest[-1] = min(most, LARGEST_CONTROL_PAYLOAD)
    if message.kind == "ping" and max(largest) > LARGEST_CONTROL_PAYLOAD:
        text = f"a ping carries at most {LARGEST_CONTROL_PAYLOAD} bytes (RFC 6455, section 5.5), not {max(largest)}"
        problems.append(OptionProblem("--ping", text))
    parts = message.weights if len(message.weights) == len(means) else (1,) * len(means)
    mean_bytes = sum(part * mean for part, mean in zip(parts, means, strict=True)) / sum(parts)
    varying = [template is not None and template.varies for template in templates]
    fields = {field.label: None for template in templates if template for field in template.fields}
    return msgspec.structs.replace(
        message,
        size_bytes=round(mean_bytes),
        payload=payloads[0],
        alternatives=tuple(payloads[1:]),
        is_template=tuple(varying) if any(varying) else (),
        fields=tuple(fields),
        largest_bytes=max(largest) if message.is_dynamic or any(varying) else None,
    )


def _names_feed(template: Template) -> bool:
    return any(field.column for field in template.fields)


def _check_ping_sizes(kind: Kind, sizes: SizeDistribution, problems: list[OptionProblem]) -> None:
    if kind != "ping":
        return
    if sizes.shape != "uniform" or sizes.second_bytes > LARGEST_CONTROL_PAYLOAD:
        text = f"a ping carries at most {LARGEST_CONTROL_PAYLOAD} bytes (RFC 6455, section 5.5)"
        problems.append(OptionProblem("--ping", f"{text}; write for example --size 0..{LARGEST_CONTROL_PAYLOAD}"))
