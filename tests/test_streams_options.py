"""Options of answers that are many messages: what they read, what they refuse, and how a plan describes them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import PlanError, make_plan
from ws_load_test.plan.correlation import LARGEST_NUMBER, Check, Stream, any_of, number_reader, parse_number_place
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.plan import Plan

URL = "ws://127.0.0.1:1"


def stream_of(**options):
    return make_plan(URL, **options).correlation.stream


def problems(**options):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    return str(caught.value)


def test_without_an_end_mark_an_answer_is_one_message():
    assert stream_of() is None
    assert not make_plan(URL).correlation.needs_payload


def test_what_the_options_come_to():
    found = stream_of(
        until=["json:type=done", "json:type=error"], first="json:delta", stall="250ms", count="json:usage.tokens"
    )
    assert found == Stream(
        until=(Check("json", "type", "done"), Check("json", "type", "error")),
        first=(Check("json", "delta"),),
        stall_ns=250_000_000,
        count="json:usage.tokens",
    )
    usual = make_plan(URL, until="contains:end")
    assert usual.correlation.stream == Stream(until=(Check("contains", "end"),), stall_ns=1_000_000_000)
    assert usual.correlation.needs_payload
    assert msgspec.json.decode(msgspec.json.encode(usual), type=Plan) == usual


@pytest.mark.parametrize("name", ["first", "stall", "count"])
def test_the_others_need_an_end_mark(name):
    value = {"first": "contains:x", "stall": "1s", "count": "json:n"}[name]
    assert "add --until CHECK" in problems(**{name: value})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ping": True}, "the answer to a ping is one pong"),
        ({"match": "echo", "message": "{seq}"}, "an echo is one message"),
        ({"match": "none", "rate": 1}, "there are no answers to wait for"),
        ({"subscribers": 5, "message": "{marker}", "rate": 1}, "a fan-out is measured by its deliveries"),
        ({"stall": "0s"}, "too short"),
        ({"count": "usage.tokens"}, "protobuf:NUMBERS or regex:PATTERN with a group"),
        ({"count": "contains:7"}, "no place of a number"),
        ({"count": "regex:tokens"}, "put parentheses around the number"),
        ({"count": "json:a..b"}, "is no path"),
        ({"count": "regex:("}, "no regular expression"),
        ({"first": "word"}, "is no check"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(options, words):
    assert words in problems(until="contains:end", **options)


def test_a_plan_describes_them():
    plan = make_plan(URL, until=["contains:a", "contains:b"], first="json:t", count="json:n", expect="json:ok=true")
    (words,) = [text for label, text in describe_plan(plan) if label == "replies"]
    assert "an answer is all messages up to one that satisfies contains:a or contains:b" in words
    assert "its first one that satisfies json:t" in words
    assert "a gap of more than 1 s in it is a stall" in words
    assert "json:n of its last message is a count" in words
    assert words.endswith("its last must satisfy json:ok=true")


@pytest.mark.parametrize(
    ("place", "payload", "number"),
    [
        ("json:n", b'{"n": 12}', 12),
        ("json:n", b'{"n": "12"}', 12),
        ("json:n", b'{"n": 12.6}', 13),
        ("json:n", b'{"n": 1e3}', 1000),
        ("json:a[1].n", b'{"a": [0, {"n": 7}]}', 7),
        ("json:n", b'{"n": -1}', None),
        ("json:n", b'{"n": null}', None),
        ("json:n", b'{"n": "many"}', None),
        ("json:n", b'{"n": true}', None),
        ("json:n", b'{"n": 1e300}', None),
        ("json:n", b"no JSON", None),
        (r"regex:tokens=(\d+)", b"x tokens=45;", 45),
        (r"regex:tokens=(\w+)", b"tokens=nan", None),
        (r"regex:tokens=(x)?", b"tokens=", None),
        ("regex:(.)", b"", None),
    ],
)
def test_numbers_are_read_where_they_stand(place, payload, number):
    assert number_reader(parse_number_place(place))(payload) == number


@given(st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.booleans(), st.none()))
def test_whatever_stands_there_is_a_number_or_none(value):
    found = number_reader("json:n")(msgspec.json.encode({"n": value}))
    assert found is None or (isinstance(found, int) and 0 <= found <= LARGEST_NUMBER)


def test_one_test_of_several_is_enough():
    tests = [lambda payload: b"a" in payload, lambda payload: b"b" in payload]
    assert any_of(tests)(b"xb")
    assert not any_of(tests)(b"xc")
    assert any_of(tests[:1]) is tests[0]
