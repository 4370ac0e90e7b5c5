"""Which reply answers which message: rules, checks, paths."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ws_load_test.common.errors import OptionProblem, PlanError
from ws_load_test.messages import Message
from ws_load_test.plan.codecs.json_path import json_extractor
from ws_load_test.plan.correlation import (
    AutoReply,
    Check,
    Correlation,
    parse_answer,
    parse_check,
    parse_rule,
    regex_extractor,
)
from ws_load_test.plan.options.catalog import PARSERS
from ws_load_test.plan.options.correlation import read_correlation
from ws_load_test.plan.options.read_plan import make_plan

# --- paths -----------------------------------------------------------------------------------------------------------

NOTHING = object()
names = st.text(st.characters(exclude_characters='.[]"\\', exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
documents = st.recursive(
    leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=3), max_leaves=12
)


def walk(document, steps):
    """What Python finds at a path; NOTHING if it leads nowhere."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(document, dict) or step not in document:
                return NOTHING
        elif not isinstance(document, list) or step >= len(document):
            return NOTHING
        document = document[step]
    return document


def written(value):
    """An id as text."""
    if value is NOTHING or value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def path_of(steps):
    return "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in steps).removeprefix(".")


@st.composite
def ways(draw):
    """A document and a path, which leads somewhere more often than not."""
    document = draw(documents)
    steps, at = [], document
    for _ in range(draw(st.integers(1, 4))):
        if isinstance(at, dict) and at and draw(st.integers(0, 5)):
            steps.append(draw(st.sampled_from(sorted(at))))
        elif isinstance(at, list) and at and draw(st.integers(0, 5)):
            steps.append(draw(st.integers(0, len(at) - 1)))
        else:
            steps.append(draw(st.one_of(names, st.integers(0, 3))))
        at = walk(at, steps[-1:])
    return document, steps


@given(ways(), st.booleans(), st.sampled_from([None, 1]))
@example(({"a": {"b": None}}, ["a", "b"]), True, None)
@example(({"a": 5}, ["a", "b"]), True, None)
@example(({"a": [{"b": {"c": [7]}}]}, ["a", 0, "b", "c", 0]), True, None)
@settings(deadline=None, max_examples=300)
def test_a_path_leads_where_python_finds_it(way, ascii_only, indent):
    document, steps = way
    payload = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert json_extractor(path_of(steps))(payload) == written(walk(document, steps))


@given(st.one_of(st.binary(max_size=30), documents.map(lambda one: json.dumps(one).encode()[:-1] + b"?")))
@settings(deadline=None, max_examples=100)
def test_what_is_not_json_has_no_id(payload):
    reader = json_extractor("a")
    try:
        document = json.loads(payload)
    except ValueError:
        assert reader(payload) is None
    else:
        assert reader(payload) == written(walk(document, ["a"]))


DOCUMENTS = {
    "a number and its text are the same": ("id", b'{"id": 7}', "7"),
    "the text of a number": ("id", b'{"id": "7"}', "7"),
    "what JSON writes shorter": ("id", b'{"id": [1, {"b": 2}]}', '[1,{"b":2}]'),
    "a number too large for 64 bits": ("id", b'{"id": 12345678901234567890123}', "12345678901234567890123"),
    "no fewer digits than a fraction has": ("id", b'{"id": 0.1}', "0.1"),
    "true": ("id", b'{"id": true}', "true"),
    "false": ("id", b'{"id": false}', "false"),
    "zero": ("id", b'{"id": 0}', "0"),
    "an empty text": ("id", b'{"id": ""}', ""),
    "null is no id": ("id", b'{"id": null}', None),
    "null behind a place": ("[0]", b"[null]", None),
    "a leading point": (".data.id", b'{"data": {"id": 1}}', "1"),
    "an array at the top": ("[1].id", b'[5, {"id": 6}]', "6"),
    "places behind each other": ("a[1][0]", b'{"a": [0, ["x"]]}', "x"),
    "a place that is too far": ("a[2]", b'{"a": [0, 1]}', None),
    "a place no list has": ("a[99999999999999999999]", b'{"a": [0, 1]}', None),
    "a place in an object": ("a[0]", b'{"a": {"0": 1}}', None),
    "a place in a text": ("a[0]", b'{"a": "xyz"}', None),
    "a place in a text within a list": ("[0][1]", b'["xyz"]', None),
    "a name in a list": ("a.b", b'{"a": [1]}', None),
    "a name in a list behind a place": ("a[0].b", b'{"a": [[1]]}', None),
    "a name that Python has": ("value.value", b'{"value": {"value": 3}}', "3"),
    "a name that no identifier is": ("a b.1-é", '{"a b": {"1-é": 3}}'.encode(), "3"),
    "text behind it": ("id", b'{"id": 1} 2', None),
    "not UTF-8": ("id", b'{"id": "\xff"}', None),
    "half a surrogate pair": ("id", b'{"id": "\\ud800"}', None),
    "nothing": ("id", b"", None),
    "beside the path anything may be": ("id", b'{"x": [1, {"y": 2}], "id": 3, "z": {"id": 4}}', "3"),
    "nested too deep beside the path": ("id", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"id":1}', None),
    "nested too deep": ("id", b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
}


@pytest.mark.parametrize(("path", "payload", "found"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_a_path_finds(path, payload, found):
    assert json_extractor(path)(payload) == found


@pytest.mark.parametrize(
    "path", ["", ".", "a..b", "a.", "a.[0]", "a[0]b", "a[x]", "a[-1]", "a[]", "[", "a[0", "..a", 'a"', "a\\b"]
)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="is no path; write for example json:id") as raised:
        json_extractor(path)
    assert f'"{path}"' in str(raised.value)


# --- patterns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "payload", "found"),
    [
        (r'"id":(\d+)', b'{"id":17}', b"17"),
        (r"\d+", b"reply 17 of 18", b"17"),
        (r"(a)(b)", b"ab", b"a"),
        (r"(?:a)(b)", b"ab", b"b"),
        (r"a(b)?", b"a", None),
        (r"é(.)", "éx".encode(), b"x"),
        (r"(x)", b"\xff\x00x", b"x"),
        (r"\d", b"none", None),
    ],
)
def test_what_a_pattern_finds(pattern, payload, found):
    assert regex_extractor(pattern)(payload) == found


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "check", "passes", "fails"),
    [
        ("contains:ok", Check("contains", "ok"), [b"ok", b"it is ok."], [b"", b"OK", b"o k"]),
        ("contains:a=b:c", Check("contains", "a=b:c"), [b"a=b:c"], [b"a"]),
        ("contains:é", Check("contains", "é"), ["é".encode()], [b"e"]),
        ("regex:^2$", Check("regex", "^2$"), [b"2"], [b"22", b"12"]),
        ("json:type=pong", Check("json", "type", "pong"), [b'{"type":"pong"}'], [b'{"type":"ping"}', b"pong", b"{}"]),
        ("json:n=7", Check("json", "n", "7"), [b'{"n":7}', b'{"n":"7"}'], [b'{"n":77}', b'{"n":7.0}']),
        ("json:ok=true", Check("json", "ok", "true"), [b'{"ok":true}'], [b'{"ok":false}']),
        ("json:q=a=b", Check("json", "q", "a=b"), [b'{"q":"a=b"}'], [b'{"q":"a"}']),
        ("json:e=", Check("json", "e", ""), [b'{"e":""}'], [b'{"e":null}', b'{"e":"x"}', b"{}"]),
        ("json:a.b", Check("json", "a.b"), [b'{"a":{"b":0}}', b'{"a":{"b":""}}'], [b'{"a":{"b":null}}', b'{"a":1}']),
    ],
)
def test_a_check_is_read_and_written_and_tells_payloads_apart(text, check, passes, fails):
    assert parse_check(text) == check
    assert str(check) == text
    test = check.test()
    assert [test(payload) for payload in passes] == [True] * len(passes)
    assert [test(payload) for payload in fails] == [False] * len(fails)


@given(st.sampled_from(["contains", "json"]), names, st.one_of(st.none(), st.text(max_size=5)))
def test_what_a_check_is_written_as_reads_back_as_the_same(kind, what, value):
    what = what.replace("=", "-").replace(":", "-")
    check = Check(kind, what, value if kind == "json" else None)
    assert parse_check(str(check)) == check


@pytest.mark.parametrize(
    "text", ["", "ok", "contains", "contains:", "regex:", "json:", "says:ok", ":ok", "Contains:ok"]
)
def test_what_is_no_check_is_refused(text):
    with pytest.raises(ValueError, match="is no check; write contains:TEXT, regex:PATTERN, json:PATH=VALUE"):
        parse_check(text)


def test_a_check_that_looks_nowhere_is_refused():
    with pytest.raises(ValueError, match=r'"a\.\.b" is no path'):
        parse_check("json:a..b=3")
    with pytest.raises(ValueError, match=r'"\(" is no regular expression'):
        parse_check("regex:(")


# --- answers and rules -----------------------------------------------------------------------------------------------


def test_an_answer_is_a_check_and_a_text():
    assert parse_answer("regex:^2$=>3") == AutoReply(Check("regex", "^2$"), "3")
    assert parse_answer('json:type=ping=>{"type":"pong"}') == AutoReply(
        Check("json", "type", "ping"), '{"type":"pong"}'
    )
    assert parse_answer("contains:a=>b=>c") == AutoReply(Check("contains", "a"), "b=>c")
    assert parse_answer("contains:a=>") == AutoReply(Check("contains", "a"), "")


def test_what_is_no_answer_is_refused():
    with pytest.raises(ValueError, match="is no answer; write CHECK=>TEXT"):
        parse_answer("contains:a")
    with pytest.raises(ValueError, match="is no check"):
        parse_answer("a=>b")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("order", ("order", "")),
        ("ping", ("ping", "")),
        ("echo", ("echo", "")),
        ("none", ("none", "")),
        ("json:data.id", ("json", "data.id")),
        (r"regex:id:(\d+)", ("regex", r"id:(\d+)")),
    ],
)
def test_a_rule_and_where_it_looks(text, rule):
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no rule; write order, ping, echo, json:PATH, msgpack:PATH, protobuf:NUMBERS, regex:PATTERN or none"),
        ("orders", "is no rule"),
        ("order:", '"order" takes nothing behind it'),
        ("echo:x", '"echo" takes nothing behind it'),
        ("none:x", '"none" takes nothing behind it'),
        ("ping:x", '"ping" takes nothing behind it'),
        ("json", "is no path"),
        ("json:", "is no path"),
        ("json:a..b", "is no path"),
        ("regex:(", "is no regular expression"),
        # It would find the same id in every message.
        ("regex", "regex"),
        ("regex:", "regex"),
    ],
)
def test_what_is_no_rule_is_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_rule(text)


def test_what_is_read_whole_and_what_is_paired_by_id():
    check = parse_check("contains:x")
    assert not Correlation().needs_payload
    assert not Correlation(rule="ping").needs_payload
    for matching in (
        Correlation(rule="none"),
        Correlation(expect=(check,)),
        Correlation(ignore=(check,)),
        Correlation(auto_replies=(AutoReply(check, "y"),)),
        Correlation(check_utf8=True),
    ):
        assert matching.needs_payload
        assert not matching.by_id
    for matching in (Correlation(rule="echo"), Correlation("json", "id"), Correlation("regex", "(.)")):
        assert matching.needs_payload
        assert matching.by_id


def test_the_id_is_found_by_the_rule():
    payload = b'{"id": 7}'
    assert Correlation("echo").reply_id_extractor()(payload) == payload
    assert Correlation("json", "id").reply_id_extractor()(payload) == "7"
    assert Correlation("regex", r"\d").reply_id_extractor()(payload) == b"7"


def test_a_matching_in_words():
    assert Correlation().describe() == "in order"
    assert Correlation("json", "a.id").describe() == 'the id at "a.id" of a reply is that of its message'
    words = Correlation(
        "echo",
        expect=(parse_check("contains:a"), parse_check("json:b")),
        ignore=(parse_check("regex:c"),),
        greetings=2,
    ).describe()
    assert words == (
        "a reply equals its message; the first 2 of a session answer nothing;"
        " each must satisfy contains:a and json:b; pushes: regex:c"
    )


# --- options ---------------------------------------------------------------------------------------------------------


def matching_of(kind="text", text="{}", **given):
    problems: list[OptionProblem] = []
    values = {name: PARSERS[name](value) if name in PARSERS else value for name, value in given.items()}
    return read_correlation(values, Message(kind, len(text), text.encode()), problems), [
        str(problem) for problem in problems
    ]


def test_options_become_a_matching():
    matching, problems = matching_of(
        text='{"id": 1}',
        match="json:id",
        expect="contains:a",
        ignore=["contains:b", "regex:c"],
        auto_reply="contains:d=>e",
        skip_first=1,
        check_utf8=True,
    )
    assert problems == []
    assert matching == Correlation(
        "json",
        "id",
        expect=(Check("contains", "a"),),
        ignore=(Check("contains", "b"), Check("regex", "c")),
        auto_replies=(AutoReply(Check("contains", "d"), "e"),),
        greetings=1,
        check_utf8=True,
    )


def test_without_options_replies_come_in_order_and_pongs_are_those_of_pings():
    assert matching_of() == (Correlation(), [])
    assert matching_of("ping") == (Correlation("ping"), [])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"match": "none"}, "--match: none: without replies a closed loop never sends again"),
        ({"match": "none", "rate": 1, "expect": "contains:a"}, "--expect: cannot stand beside --match none"),
        ({"kind": "ping", "match": "order"}, "--match: order does not fit --ping"),
        ({"kind": "ping", "match": "json:id"}, "--match: json does not fit --ping"),
        ({"kind": "ping", "expect": "contains:a"}, "--expect: cannot stand beside --ping"),
        (
            {"first_message": "x", "first_wait": "1s", "expect_first": "json:ok"},
            "--expect-first: cannot stand beside --first-wait here",
        ),
        ({"match": "ping"}, "--match: ping takes pongs for replies; add --ping"),
        ({"match": "json:id", "text": "PING"}, "--match: json:id finds no id in the message that is sent"),
        ({"match": "json:id", "text": '{"id": null}'}, "--match: json:id finds no id"),
        ({"match": r"regex:\d", "text": "PING"}, r"--match: regex:\d finds no id"),
    ],
)
def test_what_does_not_fit_is_a_problem(given, words):
    _, problems = matching_of(**given)
    assert len(problems) == 1
    assert problems[0].startswith(words)


@pytest.mark.parametrize(
    "given",
    [
        {"match": "none", "rate": 1},
        {"match": "none", "rate_per_connection": 1},
        {"match": "none", "stages": "1s:1"},
        {"kind": "ping", "match": "echo"},
        {"kind": "ping", "match": "ping"},
        {"match": "echo", "text": "PING"},
        {"match": r"regex:\d", "text": "PING 7"},
    ],
)
def test_what_fits_is_none(given):
    assert matching_of(**given)[1] == []


def test_every_one_of_several_messages_needs_an_id():
    target = {"url": "ws://127.0.0.1:1/", "match": "json:id"}
    with pytest.raises(PlanError, match=r"^--match: json:id finds no id"):
        make_plan(**target, message=['{"id": {seq}}', '{"no": {seq}}'])
    assert make_plan(**target, message=['{"id": {seq}}', '{"id": "b{seq}"}']).correlation == Correlation("json", "id")


def test_the_id_of_a_reply_may_be_elsewhere():
    rule, where = parse_rule("json:id=data.items[0].id")
    matching = Correlation(rule=rule, selector=where)
    assert matching.message_id_extractor()(b'{"id": 7}') == "7"
    assert matching.reply_id_extractor()(b'{"id": 8, "data": {"items": [{"id": 7}]}}') == "7"
    assert matching.describe() == 'the id at "data.items[0].id" of a reply is that at "id" of its message'
    with pytest.raises(ValueError, match="no path"):
        parse_rule("json:id=")
