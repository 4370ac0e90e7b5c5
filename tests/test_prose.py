"""House style: docstrings start with a verb or a noun, words are plain, identifiers have US spelling."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ws_load_test"
HEADLESS = re.compile(r"(?:What|Whether|Which|How|Whose|Of|Who|Whom|Where|When|Why|As|From|By|Not there)\b")
"""Beginnings of a docstring without a verb or a noun."""
QUAINT = re.compile(
    r"\b(?:somebody|nobody|everybody|anybody|whoever|tells|hears|says"
    r"|(?:is|are|was|were|be|been|being) told|(?:what|that) came of (?:it|them))\b",
    re.IGNORECASE,
)
"""Words about people, where things act; and what a plainer word puts better."""
PEOPLE = re.compile(
    r"\b(?:somebody|nobody|everybody|anybody|whoever|(?:is|are|was|were|be|been|being) told)\b", re.IGNORECASE
)
"""Those of these words that have no good use in a message, a comment or a page either."""
BRITISH = re.compile(
    r"diall(?:er|ed|ing)|(?:summar|normal|serial|initial|organ|recogn|optim)is(?:e|ing|ation)|analys(?:e(?!s)|ing)"
    r"|behaviour|labell|colour|licence",
    re.IGNORECASE,
)
"""British spellings in identifiers, which are US English."""


@cache
def modules():
    """Returns the modules that the rules hold for, by the path within the package."""
    paths = sorted(SOURCE.rglob("*.py"))
    return [(path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def docstrings(tree):
    """Yields the line and the text of each docstring of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            text := ast.get_docstring(node)
        ):
            yield node.body[0].lineno, text


def attribute_docstrings(tree):
    """Yields the line and the text of each string that follows an assignment."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for before, after in pairwise(body) if isinstance(body, list) else ():
            if (
                isinstance(before, (ast.Assign, ast.AnnAssign))
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                yield after.lineno, after.value.value


def identifiers(tree):
    """Yields the line and the name of each class, function, parameter, variable, attribute, keyword and import."""
    for node in ast.walk(tree):
        for key in ("name", "id", "attr", "arg", "asname", "module"):
            if isinstance(name := getattr(node, key, None), str):
                yield getattr(node, "lineno", 0), name


def headless(tree):
    """Returns the lines of docstrings that begin without a verb or a noun, and how they begin."""
    texts = [*docstrings(tree), *attribute_docstrings(tree)]
    return [(line, text.split("\n")[0]) for line, text in texts if HEADLESS.match(text)]


def quaint(tree):
    """Returns the lines of docstrings with banned words, and these."""
    texts = [*docstrings(tree), *attribute_docstrings(tree)]
    return [(line, found[0]) for line, text in texts for found in QUAINT.finditer(text)]


def british(tree):
    """Returns the lines of identifiers with British spellings, and these."""
    return [(line, name) for line, name in identifiers(tree) if BRITISH.search(name)]


@pytest.mark.parametrize("rule", [headless, quaint, british])
def test_modules_keep_the_house_style(rule):
    found = [f"{name}:{line}: {text}" for name, tree in modules() for line, text in rule(tree)]
    assert not found, "\n".join(found)


def test_messages_comments_and_pages_name_no_people():
    root = SOURCE.parents[1]
    paths = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.js"), *(root / "docs").rglob("*.md"), root / "README.md"]
    lines = [(path, n, line) for path in paths for n, line in enumerate(path.read_text("utf-8").splitlines(), 1)]
    assert len(paths) > 250
    assert not [f"{path.name}:{n}: {line}" for path, n, line in lines if PEOPLE.search(line)]


def test_names_of_tests_name_no_people():
    names = re.compile(r"def (test_\w*(?:nobody|somebody|whoever|_told)\w*)")
    texts = {path: path.read_text("utf-8") for path in Path(__file__).parent.rglob("*.py")}
    assert not {path.name: found for path, text in texts.items() if (found := names.findall(text))}


def test_files_have_us_names():
    names = [path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")]
    assert not [name for name in names if BRITISH.search(name)]


def test_each_rule_finds_what_it_is_about():
    tree = ast.parse('''
"""Whether it is so."""
class Dialler:
    """How it is done: nobody knows."""
    limit = 1
    """The file says so."""
    end = 2
    """Where it ends."""
    def normalise(self, colour):
        """Normalizes; Of is no beginning here, and is told."""
        self.labelled, analyses = colour, 1
''')
    assert [text for _, text in headless(tree)] == [
        "Whether it is so.",
        "How it is done: nobody knows.",
        "Where it ends.",
    ]
    assert sorted(text for _, text in quaint(tree)) == ["is told", "nobody", "says"]
    assert sorted({name for _, name in british(tree)}) == ["Dialler", "colour", "labelled", "normalise"]
    assert not british(ast.parse("analysis = dialed = normalize_initials = cancelled = initials = 1"))
