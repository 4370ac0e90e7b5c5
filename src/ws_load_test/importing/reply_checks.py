"""Checks by which a step recognizes the message that completes it, chosen so that nothing before it satisfies them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ws_load_test.importing.deliveries import MARKER
from ws_load_test.importing.exchanges import end_mark
from ws_load_test.importing.kinds import escaped
from ws_load_test.importing.own_values import TIMES, UUID, OwnValue
from ws_load_test.importing.places import check_of
from ws_load_test.plan.correlation import parse_check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ws_load_test.importing.events import Event
    from ws_load_test.importing.exchanges import Exchange

LONGEST_WHOLE = 80
"""Characters of a text that is compared as a whole: a line of a plan file has room for it."""
_SUCCESS = {"ok": "true", "success": "true", "status": "ok", "result": "success"}
"""Values that say that a request was carried out, by their keys."""


def reply_checks(
    exchange: Exchange,
    events: list[Event],
    *,
    start: int,
    fields: Mapping[int, str],
    hides: Callable[[str], bool],
    places: tuple[str, ...],
) -> tuple[str, ...]:
    """Returns the checks of the message that completes a step.

    Args:
        exchange: The message and its reply.
        events: Messages of the session.
        start: Place of the first one after the end of the step before.
        fields: What stands for the values of the message, by their places in it.
        hides: True for a text with a secret in it.
        places: Places of the values that are taken out of the message.
    """
    reply = exchange.reply
    assert reply is not None
    by_kind = [one for one in reply.kind.checks if not hides(one)] or list(reply.kind.checks)
    by_id = _id_check(exchange, fields, hides)
    choices: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    choices += [((concrete,), (written,)) for concrete, written in by_id]
    choices += [((*by_kind, concrete), (*by_kind, written)) for concrete, written in by_id]
    with_places = [one for one in places if one not in {*by_kind, *(f"{check.partition('=')[0]}" for check in by_kind)}]
    choices += [(tuple(checks), tuple(checks)) for checks in (by_kind, [*by_kind, *with_places])]
    start = start if exchange.sent is None else max(start, exchange.sent.index + 1)
    others = [one for one in events[start : reply.index] if not one.is_sent]
    for concrete, written in choices:
        if _is_only_of(reply, concrete, others):
            return written
    exact = _whole_text(reply, events, hides)
    return (exact,) if exact and _is_only_of(reply, (exact,), others) else tuple(by_kind)


def _is_only_of(reply: Event, checks: tuple[str, ...], others: list[Event]) -> bool:
    """Returns True if a message satisfies checks, and none of the others does."""
    tests = [parse_check(one).test() for one in checks]
    return all(test(reply.content.payload) for test in tests) and not any(
        all(test(one.content.payload) for test in tests) for one in others
    )


def _whole_text(reply: Event, events: list[Event], hides: Callable[[str], bool]) -> str:
    """Returns the check that a message is the same to the letter; empty if others of its kind are not."""
    text = reply.content.text
    if text is None or len(text) > LONGEST_WHOLE or hides(text):
        return ""
    same = all(one.content.text == text for one in events if not one.is_sent and one.kind.key == reply.kind.key)
    return f"regex:^{escaped(text)}$" if same else ""


def _id_check(exchange: Exchange, fields: Mapping[int, str], hides: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Returns the check of the id: as it was in the capture, and with a field; none if no field can say it."""
    if exchange.reply_id is None or exchange.reply is None:
        return []
    own, there = exchange.reply_id
    value = own.value if isinstance(own, OwnValue) else own
    written = fields.get(value.start, value.text)
    if any(drawn in written for drawn in (UUID, MARKER, *TIMES)) or hides(value.text):
        return []
    content = exchange.reply.content
    try:
        concrete = check_of(content, there, value.text)
        parse_check(concrete)
    except ValueError:
        return []
    return [(concrete, check_of(content, there, written))]


def stream_checks(exchange: Exchange) -> tuple[str, str]:
    """Returns the check of the first message of a streamed answer that counts, if one is needed, and of the last."""
    reply = exchange.reply
    assert reply is not None
    kinds = [one.kind for one in exchange.parts]
    first = kinds[-1].checks[0] if kinds[0].key != kinds[-1].key else ""
    mark = end_mark([*exchange.parts, reply])
    # A type of its own is the most telling end.
    has_type = reply.kind.key[0] == "type" and reply.kind.key not in {kind.key for kind in kinds}
    if mark is not None and not has_type:
        return first, f"json:{mark.path}={mark.text}"
    return first, reply.kind.checks[0]


def expectations(reply: Event) -> tuple[str, ...]:
    """Returns checks of the values by which a reply reports success."""
    found = []
    for value in reply.content.values:
        wanted = _SUCCESS.get(value.name)
        if value.path and wanted is not None and value.text == wanted:
            found.append(f"json:{value.path}={wanted}")
    if not found and "jsonrpc" in reply.content.keys and "result" in reply.content.keys:
        found.append("json:result")
    return tuple(found[:2])
