"""The number of source files that one thing touches: a new one of its kind needs edits in as many.

docs/design.md says under "Where does a new thing go?" how few it takes. Each bound here is what an existing example
touches. Lower it when a place goes; a number that grows means that something is stated twice.
"""

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ws_load_test"

MOST_FILES = {
    # An option whose value is a field of the plan, used in one place: row, field, use.
    ("option", "tls_resume"): 3,
    # An option of one load model of two engines, which the analysis and the search for a capacity take into account.
    ("option", "max_in_flight"): 10,
    ("message field", "now_ms"): 1,
    ("count", "deliveries_foreign"): 3,
    ("time", "tls_time_ns"): 4,
    ("export", "hgrm"): 2,
    ("fault", "TLS_TIMEOUT"): 3,
    ("finding", "TOO_FAST"): 2,
}
"""Files that name an example, by kind and name; dashes and underscores are the same."""
GENERATED = {"cli/help_pages.py", "cli/help_topics.py"}
"""Modules that a program writes, and the prose of `ws-load-test help TOPIC`, which needs no edit for a new thing."""


def files_that_name(name: str, source: Path = SOURCE) -> list[str]:
    """Returns the modules that a name stands in, whether as an identifier, in a string or in a comment."""
    word = re.compile(rf"(?<![A-Za-z0-9]){name.replace('_', '[_-]')}(?![A-Za-z0-9])")
    return sorted(
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if path.relative_to(source).as_posix() not in GENERATED and word.search(path.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize(("kind", "name"), MOST_FILES)
def test_a_thing_is_stated_in_few_files(kind, name):
    found = files_that_name(name)
    assert found, f"{name} is no {kind} any more: name another example"
    assert len(found) <= MOST_FILES[kind, name], found


def test_each_file_that_names_a_thing_counts(tmp_path):
    (tmp_path / "a.py").write_text("tls_min = 1\n")
    (tmp_path / "b.py").write_text('"""See --tls-min."""\n')
    (tmp_path / "c.py").write_text("tls_minimum = my_tls_mint\n")
    assert files_that_name("tls_min", tmp_path) == ["a.py", "b.py"]
