"""HTML page made from its parts: one file that opens without a network, and works aloud, in print and in the dark.

Every text is escaped here, so that foreign text is shown as it is and steers nothing. A Content Security Policy lets
the browser run the scripts of this module and no others, and blocks every request.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from ws_load_test.common.sanitize import sanitize
from ws_load_test.report.content.labeled import unbroken
from ws_load_test.report.html.plotly import script

Severity = Literal["good", "doubt", "bad", "plain"]
_SIGNS: dict[Severity, str] = {"good": "✓", "doubt": "!", "bad": "✗", "plain": ""}
"""Sign of each severity, so that a reader who sees no colors can distinguish them."""
_NUMBER = re.compile(r"[<>]?-?[\d.,]*(?: ?(?:[nµm]?s|[kMGT]?B|%|/s))?(?: \*)?|–|\d+ (?:min|h)(?: \d+ (?:min|s))?")
_DIGIT = re.compile(r"\d")
_PRODUCT = "ws-load-test"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    tone: Severity = "plain"


@dataclass(frozen=True, slots=True)
class KeyValueRows:
    """Labels and texts beside them; several rows can share a label."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under heads: a first column of labels, and others that are aligned right where they are numbers."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure, a description in words, and the same numbers as a table for readers who cannot see it."""

    key: str
    """Id, unique in the page: small letters, digits and hyphens."""
    title: str
    text: str
    """One or two sentences: what the figure shows and how to read it."""
    figure: dict[str, Any]
    """Data and layout as Plotly has them, made with `figures`; colors are names such as ``var(--series-1)``."""
    table: Table | None = None
    height: int = 320
    """Height in CSS pixels."""
    wide: bool = False
    """True where it takes the whole width, not one of two columns."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure with its name and what it is of."""

    name: str
    value: str
    note: str
    tone: Severity = "plain"


@dataclass(frozen=True, slots=True)
class Tiles:
    """Figures side by side, the most important first."""

    tiles: Sequence[Tile]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions of a run: whether each passed, the condition, and the value found."""

    rows: Sequence[tuple[bool, str, str]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, with a button that copies it."""

    line: str
    note: str = ""
    """Sentence about what to do before it runs; empty for nothing."""


Part = Chart | Table | Text | KeyValueRows | Tiles | Conditions | Command


@dataclass(frozen=True, slots=True)
class Section:
    """Parts under a heading."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Head:
    """Top of the page: the verdict, the target, and all that a reader must know before the rest."""

    verdict: str
    tone: Severity
    lines: Sequence[str] = ()
    parts: Sequence[Part] = ()


def document(title: str, head: Head, sections: Sequence[Section]) -> Iterator[str]:
    """Yields the page; sections without parts are left out.

    Raises:
        OutputError: The library that draws the charts is not installed.
    """
    filled = [section for section in sections if section.parts]
    charts = [part for part in _all_parts(head, filled) if isinstance(part, Chart)]
    style, ours = _file("page.css"), _file("page.js")
    scripts = [_file("copy.js")] if any(isinstance(part, Command) for part in _all_parts(head, filled)) else []
    scripts += [script(), ours] if charts else []
    yield "<!DOCTYPE html>\n" + '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield f"<title>{_text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    yield '<a class="skip" href="#content">To the results</a>\n'
    yield from _head(head)
    yield from _contents(filled)
    yield '<main id="content">\n'
    for number, section in enumerate(filled, 1):
        yield f'<section aria-labelledby="section-{number}">\n<h2 id="section-{number}">{_text(section.title)}</h2>\n'
        yield from _columns(section.parts)
        yield "</section>\n"
    yield f"</main>\n<footer>\n<p>Made by {_PRODUCT}. This file is complete: it needs no network.</p>\n</footer>\n"
    if charts:
        figures = {chart.key: chart.figure for chart in charts}
        yield f'<script type="application/json" id="figures">{as_json(figures)}</script>\n'
    # Last, so that everything else is on the screen while a browser still reads the library.
    yield from (f"<script>{source}</script>\n" for source in scripts)
    yield "</body>\n</html>\n"


def as_json(data: Any) -> str:
    """Returns data as JSON that may stand inside a script element, in ASCII.

    Escaped are also the letters that could end the element or begin a comment (HTML, section 13.2.5.15 on), and what
    JavaScript once took for the end of a line.

    Raises:
        ValueError: A number is not finite.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(scripts: Sequence[str]) -> str:
    """Returns the Content Security Policy (level 3): nothing is fetched, no script but these runs.

    The library sets styles on elements, and makes pictures (blob:, data:) of a chart that is saved.
    """
    hashes = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _all_parts(head: Head, sections: Sequence[Section]) -> Iterator[Part]:
    yield from head.parts
    for section in sections:
        yield from section.parts


def _head(head: Head) -> Iterator[str]:
    sign = f'<span class="sign" aria-hidden="true">{_SIGNS[head.tone]}</span> ' if _SIGNS[head.tone] else ""
    yield f'<header>\n<h1 class="verdict {head.tone}">{sign}{_text(head.verdict)}</h1>\n'
    yield from (f'<p class="about">{_text(line)}</p>\n' for line in head.lines)
    for part in head.parts:
        yield from _part(part, "h2")
    yield "</header>\n"


def _contents(sections: Sequence[Section]) -> Iterator[str]:
    yield '<nav aria-label="Contents">\n<ul>\n'
    for number, section in enumerate(sections, 1):
        yield f'<li><a href="#section-{number}">{_text(section.title)}</a></li>\n'
    yield "</ul>\n</nav>\n"


def _columns(parts: Sequence[Part]) -> Iterator[str]:
    """Yields parts in two columns where there is room; texts, and the last of an odd number, take the whole width."""
    yield '<div class="columns">\n'
    for _, run in itertools.groupby(parts, key=_is_wide):
        group = list(run)
        for number, part in enumerate(group):
            alone = len(group) % 2 and number == len(group) - 1
            yield f'<div class="{"wide" if alone or _is_wide(part) else "half"}">\n'
            yield from _part(part, "h3")
            yield "</div>\n"
    yield "</div>\n"


def _is_wide(part: Part) -> bool:
    return part.wide if isinstance(part, Chart) else not isinstance(part, Table | KeyValueRows)


def _part(part: Part, level: str) -> Iterator[str]:
    if isinstance(part, Text):
        sign = f'<span class="sign" aria-hidden="true">{_SIGNS[part.tone]}</span> ' if _SIGNS[part.tone] else ""
        yield f'<p class="{part.tone}">{sign}{_text(part.text)}</p>\n'
    elif isinstance(part, KeyValueRows):
        yield "<dl>\n"
        yield from (f"<dt>{_text(label)}</dt><dd>{_text(words)}</dd>\n" for label, words in part.rows)
        yield "</dl>\n"
    elif isinstance(part, Table):
        yield from _table(part)
    elif isinstance(part, Tiles):
        yield from _tiles(part)
    elif isinstance(part, Conditions):
        yield from _conditions(part)
    elif isinstance(part, Command):
        yield from _command(part)
    else:
        yield from _chart(part, level)


def _tiles(part: Tiles) -> Iterator[str]:
    yield '<dl class="tiles">\n'
    for tile in part.tiles:
        yield f'<div class="tile {tile.tone}"><dt>{_text(tile.name)}</dt><dd class="value">{_text(tile.value)}</dd>'
        yield f'<dd class="note">{_text(tile.note)}</dd></div>\n'
    yield "</dl>\n"


def _conditions(part: Conditions) -> Iterator[str]:
    yield '<ul class="conditions" aria-label="Conditions">\n'
    for passed, condition, found in part.rows:
        tone: Severity = "good" if passed else "bad"
        sign = f'<span class="sign" aria-hidden="true">{_SIGNS[tone]}</span>'
        outcome = f"<strong>{_text(found)}</strong>" if found else ""
        word = "passed" if passed else "failed"
        yield f'<li class="{tone}">{sign} <span class="outcome">{word}</span> {outcome} '
        yield f"<span>{_text(condition)}</span></li>\n"
    yield "</ul>\n"


def _command(part: Command) -> Iterator[str]:
    yield '<div class="command" role="group" aria-label="Command line of this run">\n'
    # Moved where it is too long, with the keyboard as well; without scripts there is no button.
    # Words break the line between them, and within only where they are longer than it.
    words = "</span> <span>".join(html.escape(word) for word in sanitize(part.line).split(" "))
    yield f'<code tabindex="0"><span>{words}</span></code>'
    yield '<button type="button" class="copy" hidden>Copy</button>\n</div>\n'
    if part.note:
        yield f'<p class="note">{_text(part.note)}</p>\n'


def _chart(chart: Chart, level: str) -> Iterator[str]:
    key = _text(chart.key)
    yield f'<figure id="{key}">\n<{level} id="{key}-title">{_text(chart.title)}</{level}>\n'
    yield f"<figcaption>{_text(chart.text)}</figcaption>\n"
    yield (
        f'<div class="plot" role="img" aria-label="{_text(f"Chart: {chart.title}. {chart.text}")}"'
        f' data-figure="{key}" data-height="{chart.height}" style="height:{chart.height}px"></div>\n'
    )
    yield "<noscript><p>The chart needs scripts; the table below has its numbers.</p></noscript>\n"
    if chart.table is not None:
        yield "<details>\n<summary>The same as a table</summary>\n"
        yield from _table(chart.table, chart.title)
        yield "</details>\n"
    yield "</figure>\n"


def _table(table: Table, title: str = "") -> Iterator[str]:
    label = table.caption or title or ", ".join(table.heads)
    # What is too wide for the page is moved sideways, with the keyboard as well.
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{_text(f"Table: {label}")}">\n'
    numbers = [_are_numbers([row[place] for row in table.rows]) for place in range(1, len(table.heads))]
    # Most tables are all numbers, and of those over time there are thousands of cells.
    right = "" if all(numbers) else ' class="number"'
    kind = ' class="numbers"' if all(numbers) else ""
    yield f"<table{kind}>\n"
    if table.caption:
        yield f"<caption>{_text(table.caption)}</caption>\n"
    marks = ["", *(right if is_number else "" for is_number in numbers)]
    named = zip(table.heads, marks, strict=True)
    heads = (f'<th scope="col"{mark}>{_text(head)}</th>' if head else f"<td{mark}></td>" for head, mark in named)
    yield f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n"
    for first, *rest in table.rows:
        cells = (f"<td{mark}>{_text(cell)}</td>" for cell, mark in zip(rest, marks[1:], strict=True))
        yield f'<tr><th scope="row">{_text(first)}</th>{"".join(cells)}</tr>\n'
    yield "</tbody>\n</table>\n</div>\n"


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(map(_NUMBER.fullmatch, cells)) and any(map(_DIGIT.search, cells))


def _text(text: str) -> str:
    # Cleaned first: a space that does not break is one of those that are not printable.
    return html.escape(unbroken(sanitize(text)))


def _file(name: str) -> str:
    return resources.files("ws_load_test.report.html").joinpath(name).read_text(encoding="utf-8")
