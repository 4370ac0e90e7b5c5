"""A plan file sends what its capture sent, in the same order, and takes every message that came."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.captures import capture
from factories.captures_of_protocols import PROTOCOLS
from factories.replay import replay

IDS = st.integers(0, 5) | st.sampled_from(
    ["a1b2c3", "x9y8z7w6", "1b4e28ba-2fa1-41d2-883f-0016d3cca427", "ok", "r-1", "r-2"]
)
OBJECTS = st.fixed_dictionaries(
    {"op": st.sampled_from(["a", "b", "c", "ping", "pong"])},
    optional={"id": IDS, "n": st.integers(0, 3), "d": st.dictionaries(st.sampled_from(["id", "key"]), IDS, max_size=2)},
)
CONTENTS = (
    OBJECTS
    | st.lists(IDS | st.none(), max_size=3)
    | st.sampled_from(
        ["", "2", "3", "hello", "hello 7", '42["a"]', "431[]", "A\nid:4\n\n\0", '{"t": "{seq}"}', "@x", "'''", "42"]
    )
    | st.binary(max_size=3).map(lambda tail: b"\xc8" + tail)
)
MESSAGES = st.lists(
    st.tuples(st.sampled_from("><"), st.sampled_from([0.001, 0.2, 1, 3]), CONTENTS), min_size=1, max_size=14
)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_sessions_of_well_known_protocols(name):
    session = replay(capture(*PROTOCOLS[name]()))
    assert session.place == len(session.choices)
    assert (session.pushed, session.pending) == ([], [])


@settings(max_examples=60)
@given(messages=MESSAGES, repeated=st.integers(1, 3))
def test_any_session(messages, repeated):
    session = replay(capture(*messages * repeated))
    assert session.place >= len(session.choices) - len(session.role.get("steps", ()))
    assert session.pushed == []
