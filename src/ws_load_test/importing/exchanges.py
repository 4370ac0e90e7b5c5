"""Exchanges: pairs of a message of the client and its answer, by an id of both, else by kinds and their order."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ws_load_test.common.clock import NS_PER_S
from ws_load_test.importing.kinds import is_heartbeat
from ws_load_test.importing.own_values import OwnValue, is_id_name, slot_of
from ws_load_test.plan.correlation import parse_check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ws_load_test.importing.events import Event
    from ws_load_test.importing.values import Value

LONGEST_REPLY_NS = 10 * NS_PER_S
"""Time in which a message without an id is an answer; it is the time-out of a run."""
LONGEST_OVERTAKEN_NS = NS_PER_S
"""Time after the client's next message in which an answer is still awaited before that is sent."""
FEWEST_PARTS = 2
"""Messages before the end mark of an answer that make it a stream in at least one exchange."""


@dataclass(eq=False)
class Exchange:
    """A message of the client and what answers it; or a message of the target that was waited for."""

    sent: Event | None
    reply: Event | None = None
    """Message that completes it: the last one of a streamed answer."""
    is_subscription: bool = False
    """True if messages come under its id without an end: none of them is awaited."""
    reply_id: tuple[OwnValue | Value, Value] | None = None
    """The id in the message and in its reply."""
    parts: list[Event] = field(default_factory=list)
    """Messages of a streamed answer before its last one."""

    @property
    def done_ns(self) -> int:
        """Instant at which it was complete."""
        event = self.reply or self.sent
        assert event is not None
        return event.at_ns


def pair_exchanges(
    events: list[Event],
    sent: list[Event],
    own_values: Mapping[int, list[OwnValue]],
    taken: set[int],
    *,
    heartbeats: bool = False,
) -> list[Exchange]:
    """Returns an exchange for each of the messages `sent`; adds the messages that belong to them to `taken`.

    Those of `heartbeats` are one message each, which may be a heartbeat itself.
    """
    exchanges = [Exchange(event) for event in sent]
    _pair_by_id(events, exchanges, own_values, taken)
    _pair_by_kind(events, exchanges, taken, heartbeats=heartbeats)
    if not heartbeats:
        _find_streams(events, exchanges, taken)
    return exchanges


# --- By an id --------------------------------------------------------------------------------------------------------


def _pair_by_id(
    events: list[Event], exchanges: list[Exchange], own_values: Mapping[int, list[OwnValue]], taken: set[int]
) -> None:
    received: dict[tuple[str, str], list[Event]] = defaultdict(list)
    """Messages of the target by the slot and the text of each value, in order."""
    for event in events:
        if not event.is_sent and event.index not in taken:
            for value in event.content.values:
                same = received[slot_of(value), value.text]
                if not same or same[-1] is not event:
                    same.append(event)
    ids = _unique_ids(exchanges, own_values)
    slots = _reply_slots(exchanges, ids, received)
    candidates: dict[int, tuple[OwnValue | Value, str, list[Event]]] = {}
    for place, exchange in enumerate(exchanges):
        sent = exchange.sent
        assert sent is not None
        for own, value in ids[place]:
            there = slots.get(slot_of(value), "")
            found = received.get((there, value.text), []) if there else []
            later = [one for one in found if one.index > sent.index and one.index not in taken]
            if later:
                candidates[place] = own, there, later
                break
    usual = _usual_kinds(exchanges, candidates)
    for place, (own, there, later) in candidates.items():
        exchange = exchanges[place]
        assert exchange.sent is not None
        left = [one for one in later if one.index not in taken]
        kinds = usual[exchange.sent.kind.key]
        # A message of another kind may have the same number by chance.
        found = [one for one in left if one.kind.key in kinds] if len(left) <= FEWEST_PARTS and kinds else left
        if found:
            next_sent = exchanges[place + 1].sent if place + 1 < len(exchanges) else None
            taken.update(_take_reply(exchange, own, found, there, next_sent))


def _usual_kinds(
    exchanges: list[Exchange], candidates: Mapping[int, tuple[OwnValue | Value, str, list[Event]]]
) -> dict[tuple[str, ...], set[tuple[str, ...]]]:
    """Returns, for each kind of the client's messages, the kinds that have the id of each of them."""
    usual: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for place, (_, _, found) in candidates.items():
        sent = exchanges[place].sent
        assert sent is not None
        kinds = {one.kind.key for one in found}
        usual[sent.kind.key] = usual.get(sent.kind.key, kinds) & kinds
    return usual


def _unique_ids(
    exchanges: list[Exchange], own_values: Mapping[int, list[OwnValue]]
) -> list[list[tuple[OwnValue | Value, Value]]]:
    """Returns the ids of each message that no other of its kind has."""
    found = [_ids_of(exchange, own_values) for exchange in exchanges]
    counts = Counter(
        (exchange.sent.kind.key, slot_of(value), value.text)
        for exchange, ids in zip(exchanges, found, strict=True)
        for _, value in ids
        if exchange.sent is not None
    )
    return [
        [
            (own, value)
            for own, value in ids
            if exchange.sent is not None and counts[exchange.sent.kind.key, slot_of(value), value.text] == 1
        ]
        for exchange, ids in zip(exchanges, found, strict=True)
    ]


def _ids_of(exchange: Exchange, own_values: Mapping[int, list[OwnValue]]) -> list[tuple[OwnValue | Value, Value]]:
    """Returns the values of a message that a reply may repeat: those that the client made, then other identifiers."""
    assert exchange.sent is not None
    own = [one for one in own_values.get(exchange.sent.index, ()) if one.is_id]
    taken = {one.value.start for one in own}
    # Those called an id come first.
    own.sort(key=lambda one: not is_id_name(one.value.name))
    others = [one for one in exchange.sent.content.values if is_id_name(one.name) and one.start not in taken]
    return [*((one, one.value) for one in own), *((one, one) for one in others if one.kind != "literal")]


def _reply_slots(
    exchanges: list[Exchange],
    ids: list[list[tuple[OwnValue | Value, Value]]],
    received: Mapping[tuple[str, str], list[Event]],
) -> dict[str, str]:
    """Returns the slot of a reply at which the value of a message's slot comes back."""
    asked: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for exchange, found in zip(exchanges, ids, strict=True):
        assert exchange.sent is not None
        for _, value in found:
            asked[slot_of(value)].add((exchange.sent.index, value.text))
    by_text: dict[str, list[tuple[str, Event]]] = defaultdict(list)
    for (slot, text), messages in received.items():
        by_text[text] += [(slot, event) for event in messages]
    chosen = {}
    for slot, values in asked.items():
        counts: Counter[str] = Counter()
        for index, text in values:
            counts.update({there for there, event in by_text.get(text, ()) if event.index > index})
        fitting = [
            (there == slot, count, there)
            for there, count in counts.items()
            if count * 2 >= len(values)
            and (there == slot or len(values) > 1 or (is_id_name(there) and is_id_name(slot)))
        ]
        if fitting:
            chosen[slot] = max(fitting)[2]
    return chosen


def _take_reply(
    exchange: Exchange,
    own: OwnValue | Value,
    found: list[Event],
    slot: str,
    next_sent: Event | None,
) -> list[int]:
    """Takes the first of the messages with an id as the reply, or all as a stream if they end with a mark.

    Returns the places of those that were taken.
    """
    kinds = [one.kind for one in found]
    is_stream = len(found) > FEWEST_PARTS and kinds[-1].key not in {kind.key for kind in kinds[:-1]}
    if not is_stream and len(found) > FEWEST_PARTS and end_mark(found) is None:
        exchange.is_subscription = True
        return []
    is_stream = is_stream or len(found) > FEWEST_PARTS
    reply = found[-1] if is_stream else found[0]
    if next_sent is not None and reply.at_ns - next_sent.at_ns > LONGEST_OVERTAKEN_NS:
        return []
    value = next(one for one in reply.content.values if slot_of(one) == slot and one.text == _text_of(own))
    exchange.reply, exchange.reply_id = reply, (own, value)
    exchange.parts = found[:-1] if is_stream else []
    return [one.index for one in (*exchange.parts, reply)]


def _text_of(own: OwnValue | Value) -> str:
    return own.value.text if isinstance(own, OwnValue) else own.text


def end_mark(found: list[Event]) -> Value | None:
    """Returns the value that the last of several messages has and no other: ``"done": true``."""
    others = {(one.path, one.text) for event in found[:-1] for one in event.content.values}
    for value in found[-1].content.values:
        is_mark = value.kind == "literal" and value.text == "true"
        if value.path and is_mark and (value.path, value.text) not in others:
            return value
    return None


# --- By kind and order -----------------------------------------------------------------------------------------------


def _window(events: list[Event], exchanges: list[Exchange], place: int, taken: set[int]) -> list[Event]:
    """Returns what came after a message and before the next one of the client, and is no part of another exchange."""
    sent = exchanges[place].sent
    assert sent is not None
    following = exchanges[place + 1].sent if place + 1 < len(exchanges) else None
    end = len(events) if following is None else following.index
    return [
        one
        for one in events[sent.index + 1 : end]
        if not one.is_sent and one.index not in taken and one.at_ns - sent.at_ns <= LONGEST_REPLY_NS
    ]


def _pair_by_kind(events: list[Event], exchanges: list[Exchange], taken: set[int], *, heartbeats: bool) -> None:
    windows = {place: _window(events, exchanges, place, taken) for place, one in enumerate(exchanges) if not one.reply}
    windows = {place: window for place, window in windows.items() if not exchanges[place].is_subscription}
    totals = Counter(one.kind.key for one in events if not one.is_sent and one.index not in taken)
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place in windows:
        sent = exchanges[place].sent
        assert sent is not None
        groups[sent.kind.key].append(place)
    answered = {one.sent.kind.key for one in exchanges if one.sent is not None and one.reply is not None}
    for kind, places in groups.items():
        if kind in answered:
            # The others of its kind have an id, and this one's answer did not come.
            continue
        key = _reply_kind([windows[place] for place in places], totals, heartbeats=heartbeats)
        if key is None:
            continue
        for place in places:
            reply = next(one for one in windows[place] if one.kind.key == key)
            exchanges[place].reply = reply
            taken.add(reply.index)


def _reply_kind(
    windows: list[list[Event]], totals: Counter[tuple[str, ...]], *, heartbeats: bool
) -> tuple[str, ...] | None:
    """Returns the kind of message that answers one kind of the client's: it came each time, and seldom otherwise."""
    common = set.intersection(*({one.kind.key for one in window} for window in windows))
    ranked = []
    for key in common:
        places = [next(i for i, one in enumerate(window) if one.kind.key == key) for window in windows]
        share = len(windows) / totals[key]
        heartbeat = any(is_heartbeat(one.content) for window in windows for one in window if one.kind.key == key)
        # A kind that comes three times as often as the client asks comes by itself.
        if share * 3 >= 1 and (heartbeats or not heartbeat or len(totals) == 1):
            ranked.append((sum(places) / len(places), -share, key))
    return min(ranked)[2] if ranked else None


# --- Streams ---------------------------------------------------------------------------------------------------------


def _find_streams(events: list[Event], exchanges: list[Exchange], taken: set[int]) -> None:
    """Extends replies without ids to streams where the messages up to the next of the client end with a mark."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(exchanges):
        if one.sent is not None and one.reply is not None and one.reply_id is None:
            groups[one.sent.kind.key].append(place)
    for places in groups.values():
        windows = []
        for place in places:
            reply = exchanges[place].reply
            assert reply is not None
            windows.append([reply, *_window(events, exchanges, place, taken - {reply.index})[0:]])
            windows[-1] = sorted(set(windows[-1]), key=lambda one: one.index)
        ends = [_end_of(window) for window in windows]
        keys = {window[end].kind.key for window, end in zip(windows, ends, strict=True) if end is not None}
        if any(end is None or not _is_marked(window, end) for window, end in zip(windows, ends, strict=True)):
            continue
        if len(keys) != 1:
            continue
        for place, window, end in zip(places, windows, ends, strict=True):
            assert end is not None
            exchanges[place].reply, exchanges[place].parts = window[end], window[:end]
            taken.update(one.index for one in window[: end + 1])


def _is_marked(window: list[Event], end: int) -> bool:
    """Returns True if a check of the last message of an answer is not satisfied by one before it."""
    if end_mark(window[: end + 1]) is not None:
        return True
    test = parse_check(window[end].kind.checks[0]).test()
    return not any(test(one.content.payload) for one in window[:end])


def _end_of(window: list[Event]) -> int | None:
    """Returns the place of the message that ends a streamed answer; None if it is none."""
    counts = Counter(one.kind.key for one in window)
    repeated = [place for place, one in enumerate(window) if counts[one.kind.key] >= FEWEST_PARTS]
    if not repeated:
        return None
    last = repeated[-1]
    if end_mark(window[: last + 1]) is not None and len(window[: last + 1]) > FEWEST_PARTS:
        return last
    ends = [place for place in range(last + 1, len(window)) if counts[window[place].kind.key] == 1]
    # The last one that comes but once: what follows the parts may be an end in several messages.
    return ends[-1] if ends else None
