"""TOML that is written reads back as it was, and looks as people write it."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.importing import toml_text

ANY = st.text(st.characters(exclude_categories=["Cs"]))
AWKWARD = st.text("'\"\\\n\r\t\0\x1f\x7f{}# é\x1e", max_size=12)


@given(text=ANY | AWKWARD)
def test_any_text_reads_back(text):
    assert tomllib.loads(f"a = {toml_text.string(text)}")["a"] == text


@given(items=st.lists(ANY | AWKWARD, max_size=4), name=ANY | AWKWARD)
def test_lists_tables_keys_and_comments_read_back(items, name):
    line = f"{toml_text.key(name)} = {toml_text.value(items)}  {toml_text.comment(name)}\n"
    line += f"table = {toml_text.value({name: name})}\n"
    found = tomllib.loads(line if name != "table" else line.replace("table =", "other =", 1))
    assert found[name] == items or name == "table"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", '"plain"'),
        ('{"a": 1}', "'{\"a\": 1}'"),
        ("a\\d", "'a\\d'"),
        ('it\'s "x"', '"it\'s \\"x\\""'),
        ("one\ntwo", "'''\none\ntwo'''"),
        ("HEAD\n\n\0", '"HEAD\\n\\n\\u0000"'),
        ("\n", '"\\n"'),
    ],
)
def test_strings_are_written_with_few_escapes(text, written):
    assert toml_text.string(text) == written
