"""A plan file sends what its capture sent, in the same order, and takes every message that came."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.captures import capture
from factories.captures_of_protocols import PROTOCOLS
from factories.replay import replay
from ws_load_test.importing.import_capture import import_capture
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file

IDS = st.integers(0, 5) | st.sampled_from(
    ["a1b2c3", "x9y8z7w6", "1b4e28ba-2fa1-41d2-883f-0016d3cca427", "ok", "r-1", "r-2"]
)
OBJECTS = st.fixed_dictionaries(
    {"op": st.sampled_from(["a", "b", "c", "d"])},
    optional={"id": IDS, "n": st.integers(0, 3), "d": st.dictionaries(st.sampled_from(["id", "key"]), IDS, max_size=2)},
)
CONTENTS = (
    OBJECTS
    | st.lists(IDS | st.none(), max_size=3)
    | st.sampled_from(["hello", "hello 7", '42["a"]', "431[]", "A\nid:4\n\n\0", '{"t": "{seq}"}', "@x", "'''", "42"])
    | st.binary(max_size=3).map(lambda tail: b"\xc8" + tail)
)
MESSAGES = st.lists(
    st.tuples(st.sampled_from("><"), st.sampled_from([0.001, 0.2, 1, 3]), CONTENTS), min_size=1, max_size=14
)


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory):
    """A folder for plan files and what they name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("imported"))
        yield


def plan_of(captured):
    """Imports a capture, and reads the plan file."""
    imported = import_capture(captured)
    Path("scenario.toml").write_bytes(imported.text.encode())
    for name, data in imported.files.items():
        Path(name).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        for variable in imported.variables:
            patch.setenv(variable, "secret")
        return read_plan(read_plan_file("scenario.toml"))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_sessions_of_well_known_protocols(name):
    captured = capture(*PROTOCOLS[name]())
    session = replay(captured)
    assert session.place == session.due
    assert (session.pushed, session.pending) == ([], [])
    assert plan_of(captured).scenario is not None


@settings(max_examples=25)
@given(messages=MESSAGES, repeated=st.integers(1, 3))
def test_any_session(messages, repeated):
    captured = capture(*messages * repeated)
    session = replay(captured)
    assert session.place >= session.due
    assert session.pushed == []
    assert plan_of(captured).scenario.roles[0].name == "user"
