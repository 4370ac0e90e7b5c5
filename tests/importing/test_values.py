"""Values are found where they stand, in JSON and in other text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.importing.places import place_of
from ws_load_test.importing.values import DEEPEST_JSON, Content, nested_values, values_of
from ws_load_test.plan.codecs.json_path import json_extractor

LEAVES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(tree=st.dictionaries(st.text("abc_.[=", max_size=4), TREES, max_size=4), spaces=st.booleans())
def test_each_scalar_of_json_is_found_once_at_its_place(tree, spaces):
    text = json.dumps(tree, indent=1 if spaces else None, ensure_ascii=False)
    found = values_of(text) if tree else []

    def scalars(node):
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
        return [node] if inner is None else [leaf for one in inner for leaf in scalars(one)]

    written = [one.text if one.kind != "string" else f'"{one.text}"' for one in found]
    assert [json.loads(one) for one in written] == scalars(tree)
    for one in found:
        assert text[one.start : one.end] == one.text
        if one.path is not None and one.kind == "number":
            assert json_extractor(one.path)(text.encode()) == one.text


@given(text=st.text(max_size=60) | st.text('{}[]":, 0123456789ab\n=', max_size=40))
def test_no_text_is_too_odd(text):
    taken = [(one.start, one.end) for one in values_of(text)]
    assert all(text[start:end] for start, end in taken if start != end)
    assert taken == sorted(taken)


def test_json_behind_a_prefix_and_records():
    names = [(one.name, one.text, one.path) for one in values_of('42/chat,17["join",{"room":"a"}]')]
    assert names == [("ack", "17", None), ("[0]", "join", None), ("room", "a", None)]
    assert [one.text for one in values_of('{"type":1}\x1e{"type":3}\x1e')] == ["1", "3"]


def test_headers_pairs_and_words():
    found = values_of("SEND\ndestination:/topic/a\nreceipt:7\n\nbody id=9\0")
    assert [(one.name, one.text) for one in found] == [
        ("", "SEND"), ("destination", "/topic/a"), ("receipt", "7"), ("", "body"), ("id", "9"),
    ]  # fmt: skip


def test_json_in_a_string_has_places_in_the_whole():
    text = json.dumps({"data": json.dumps({"socket_id": "12.34", "n": 1})})
    outer = values_of(text)[0]
    inner = nested_values(outer)
    assert [(one.name, text[one.start : one.end]) for one in inner] == [("socket_id", "12.34"), ("n", "1")]


def test_a_pattern_finds_a_value_that_no_path_reaches():
    content = Content.of(b'0{"sid":"Ab3dEf6","n":5}', binary=False)
    assert place_of(content, content.values[0]) == 'regex:"sid":"([^"\\\\]+)'
    assert place_of(content, content.values[1]) == 'regex:"n":(\\d+)'
    stomp = Content.of(b"CONNECTED\nsession:abc-1\n\n\0", binary=False)
    assert place_of(stomp, stomp.named("session")[0]) == "regex:\\nsession:([^\\s,;\\x00]+)"


def test_json_nested_deeper_than_any_is_text():
    text = "[" * (DEEPEST_JSON + 5) + "]" * (DEEPEST_JSON + 5)
    assert not Content.of(text.encode(), binary=False).is_json
