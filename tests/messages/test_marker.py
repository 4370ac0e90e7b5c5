"""Markers: what is written is read, wherever it stands, and what was damaged or is another run's is not."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.messages.marker import (
    DIGITS,
    MARKER_BYTES,
    MAX_DUE_NS,
    MAX_LAG_NS,
    MAX_NUMBERS,
    MAX_PUBLISHERS,
    Marker,
    MarkerCodec,
    new_tag,
)

TAGS = st.text(DIGITS.decode(), min_size=3, max_size=3).map(str.encode)
FIELDS = st.tuples(
    st.integers(0, MAX_PUBLISHERS - 1),
    st.integers(0, MAX_NUMBERS - 1),
    st.integers(0, MAX_DUE_NS),
    st.integers(0, MAX_LAG_NS),
)
MARKERS = st.builds(lambda tag, fields: MarkerCodec(tag).encode(*fields), TAGS, FIELDS)
AROUND = st.binary(max_size=40)
CODEC = MarkerCodec(b"a0Z")
OTHER = MarkerCodec(b"a1Z")


def own_heads(payload):
    return payload.count(CODEC.head)


@given(TAGS, FIELDS)
def test_what_is_written_is_read(tag, fields):
    codec = MarkerCodec(tag)
    marker = codec.encode(*fields)
    assert re.fullmatch(rb"w[0-9A-Za-z]{28}", marker)
    assert len(marker) == MARKER_BYTES
    publisher, number, due_ns, lag_ns = fields
    assert list(codec.find(marker)) == [Marker(publisher, number, due_ns, due_ns + lag_ns)]


@given(st.lists(st.tuples(AROUND, FIELDS), max_size=4), AROUND)
def test_every_marker_of_a_message_is_found_whatever_stands_around_it(parts, rest):
    payload = b"".join(before + CODEC.encode(*fields) for before, fields in parts) + rest
    found = list(CODEC.find(payload))
    expected = [Marker(publisher, number, due, due + lag) for _, (publisher, number, due, lag) in parts]
    if own_heads(payload) == len(parts):
        assert found == expected


@pytest.mark.parametrize("lag_ns", [-1, MAX_LAG_NS + 1, 10**15])
def test_a_lag_that_no_marker_has_room_for_is_cut(lag_ns):
    (marker,) = CODEC.find(CODEC.encode(0, 0, 5, lag_ns))
    assert marker.sent_ns - marker.due_ns == (0 if lag_ns < 0 else MAX_LAG_NS)


@given(FIELDS, st.integers(0, MARKER_BYTES - 1), st.sampled_from([b"", b'"}', b" more", b"\0"]))
def test_a_marker_that_was_cut_is_none(fields, length, rest):
    assert list(CODEC.find(CODEC.encode(*fields)[:length] + rest)) == []


def look_alike(one, other):
    return abs(one - other) == 61


@given(FIELDS, st.integers(4, MARKER_BYTES - 1), st.sampled_from(DIGITS))
def test_a_changed_digit_is_noticed_unless_the_two_lie_61_apart(fields, place, digit):
    marker = CODEC.encode(*fields)
    changed = marker[:place] + bytes([digit]) + marker[place + 1 :]
    same = digit == marker[place]
    in_body = place < MARKER_BYTES - 1
    passes = same or (in_body and look_alike(digit, marker[place]))
    assert len(list(CODEC.find(changed))) == passes


def test_look_alikes_are_ten_pairs_of_digits():
    pairs = [(one, other) for one in DIGITS for other in DIGITS if one < other and look_alike(one, other)]
    assert bytes(one for one, _ in pairs) + bytes(other for _, other in pairs) == b"0123456789mnopqrstuv"


@given(FIELDS, st.integers(4, MARKER_BYTES - 3))
def test_two_neighbors_exchanged_are_noticed_unless_they_lie_61_apart(fields, place):
    marker = CODEC.encode(*fields)
    one, other = marker[place], marker[place + 1]
    changed = marker[:place] + bytes([other, one]) + marker[place + 2 :]
    assert len(list(CODEC.find(changed))) == (one == other or look_alike(one, other))


def test_of_random_digits_one_in_62_passes():
    drawn = random.Random(1)
    texts = [CODEC.head + bytes(drawn.choices(DIGITS, k=MARKER_BYTES - 4)) for _ in range(20_000)]
    passed = sum(bool(list(CODEC.find(text))) for text in texts)
    # 322.6 are expected, with a standard deviation of 17.8.
    assert 240 < passed < 410


@given(FIELDS, st.sampled_from([b"", b'{"text":"', b"\x01", b"-"]), st.sampled_from([b"", b'"}', b"\x00"]))
def test_the_marker_of_another_run_is_foreign(fields, before, after):
    payload = before + OTHER.encode(*fields) + after
    assert CODEC.has_foreign(payload)
    assert not OTHER.has_foreign(payload)
    assert not list(CODEC.find(payload))
    assert CODEC.has_foreign(OTHER.encode(*fields) + b" " + CODEC.encode(*fields))


@given(FIELDS, st.sampled_from(DIGITS))
def test_what_only_looks_like_a_part_of_a_word_is_not_foreign(fields, letter):
    marker = OTHER.encode(*fields)
    assert not CODEC.has_foreign(bytes([letter]) + marker)
    assert not CODEC.has_foreign(marker + bytes([letter]))
    assert not CODEC.has_foreign(marker[:-1])


def test_tags_are_drawn_anew():
    tags = {new_tag() for _ in range(50)}
    assert len(tags) > 45
    assert all(re.fullmatch(rb"[0-9A-Za-z]{3}", tag) for tag in tags)
