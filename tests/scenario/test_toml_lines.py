"""Lines of keys in TOML documents, as errors of plan files name them."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.plan.options.scenario.toml_lines import lines_of

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.toml"))
DOCUMENT = r"""# a comment [[no.header]]
a = 1
"b.c" = "quoted \" ] # no comment"
d.'e f'.g = [
  1, # first
  "x", { h = [2,
    3] },
]

[[t.u]]
text = '''
[no.header]
key = 1
ends with a quotation mark''''
raw = MULTILINE
x = 1
MULTILINE
[[t.u]]
v = {i.j = 2}
[t.u.w]
k = -1e3 # [x]
[z]
""".replace("MULTILINE", '"' * 3)


def places(value, place=()):
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        yield from places(one, (*place, key))


def test_every_kind_of_key_and_value_has_its_line():
    found = lines_of(DOCUMENT)
    assert found.keys() == set(places(tomllib.loads(DOCUMENT))) - {()}
    assert found == {
        ("a",): 2,
        ("b.c",): 3,
        ("d",): 4,
        ("d", "e f"): 4,
        ("d", "e f", "g"): 4,
        ("d", "e f", "g", 0): 5,
        ("d", "e f", "g", 1): 6,
        ("d", "e f", "g", 2): 6,
        ("d", "e f", "g", 2, "h"): 6,
        ("d", "e f", "g", 2, "h", 0): 6,
        ("d", "e f", "g", 2, "h", 1): 7,
        ("t",): 10,
        ("t", "u"): 10,
        ("t", "u", 0): 10,
        ("t", "u", 0, "text"): 11,
        ("t", "u", 0, "raw"): 15,
        ("t", "u", 1): 18,
        ("t", "u", 1, "v"): 19,
        ("t", "u", 1, "v", "i"): 19,
        ("t", "u", 1, "v", "i", "j"): 19,
        ("t", "u", 1, "w"): 20,
        ("t", "u", 1, "w", "k"): 21,
        ("z",): 22,
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_key_of_an_example_stands_in_its_line(path):
    text = path.read_text()
    found, lines = lines_of(text), text.splitlines()
    assert found.keys() == set(places(tomllib.loads(text))) - {()}
    assert all(str(place[-1]) in lines[line - 1] for place, line in found.items() if isinstance(place[-1], str))


VALUES = st.sampled_from(
    [
        "1",
        '"a]"',
        "'b#'",
        '"""\n"x" [y]\n"""',
        "'''\nz = 1\n'''",
        "[1, [2,\n 3]]",
        "{ a = 1, 'b' = [{}] }",
        "1979-05-27",
    ]
)


@given(st.lists(st.tuples(st.sampled_from(["", "# c\n", "\n"]), VALUES), max_size=6), st.booleans())
def test_keys_stand_where_they_were_written(entries, in_tables):
    document, expected = "", {}
    for number, (before, value) in enumerate(entries):
        header = "[[t]]\n" if in_tables else ""
        document += f"{before}{header}k{number} = {value} # end\n"
        place = ("t", number, f"k{number}") if in_tables else (f"k{number}",)
        expected[place] = document.count("\n", 0, document.index(f"k{number} =")) + 1
    found = lines_of(document)
    assert found.keys() == set(places(tomllib.loads(document))) - {()}
    assert {place: found[place] for place in expected} == expected
