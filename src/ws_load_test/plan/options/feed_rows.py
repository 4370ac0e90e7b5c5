"""Check of a feed's rows against the parts of a request that their values become, before anything is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.messages import Feed, FeedError, Template
from ws_load_test.messages.feed import SMALL_BYTES, FeedReader
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.template_field import Row
from ws_load_test.plan.host_names import HostNameError
from ws_load_test.plan.target import Endpoint, render_url
from ws_load_test.plan.upgrade_headers import filled_problem

CHECKED_ROWS = 50_000
"""Rows of a large feed that are looked at, which takes a tenth of a second."""
_FILLED = ("subprotocol", "cookie", "origin", "user", "bearer")


@dataclass(frozen=True, slots=True)
class _Part:
    """One text of the target with fields of the feed."""

    option: str
    header: str
    """The header's name, of a header."""
    columns: tuple[str, ...]
    problem: Callable[[Row], str | None]
    """Returns why what a row makes of the text cannot be sent, as the rest of a sentence."""


def check_feed_rows(values: Mapping[str, Any], feed: Feed, connections: int, problems: list[OptionProblem]) -> None:
    """Adds a problem for the first row whose values cannot be a part of the request that they are put into.

    All rows of a small feed are looked at, of a larger one its beginning, with those that the run's connections take
    in turn. The text names the file, the line and the column, never the value, which can be a secret.
    """
    parts = list(_parts(values, feed))
    if not parts:
        return
    try:
        with FeedReader(feed) as reader:
            limit = None if reader.size_bytes <= SMALL_BYTES else max(connections, CHECKED_ROWS)
            for row in islice(reader.rows(), limit):
                for part in parts:
                    problem = part.problem(row)
                    if problem is not None:
                        what = f"the value of {part.header} {problem}" if part.header else f"it {problem}"
                        where = " and ".join(f"{{feed.{column}}}" for column in part.columns)
                        text = f'filled in from "{feed.path}", line {reader.line_number(row)} ({where}), {what}'
                        problems.append(OptionProblem(option_name(part.option), text))
                        return
    except FeedError as error:
        problems.append(OptionProblem("--feed", error.text))


def _parts(values: Mapping[str, Any], feed: Feed) -> Iterator[_Part]:
    """Yields the texts of the target that columns of the feed fill."""
    scope = FieldValues(Random(0), feed.columns)  # noqa: S311 - values that only stand in for others

    texts = [("header", name, text) for name, text in values.get("header", ())]
    for option in _FILLED:
        given = values.get(option, ())
        texts += [(option, "", text) for text in ((given,) if isinstance(given, str) else given)]
    for option, name, text in texts:
        template = Template(text, feed.columns)
        if columns := _columns(template):
            yield _Part(option, name, columns, _header_check(option, name, template.compile(scope)))
    names = [Template(text, feed.columns) for text in values.get("subprotocol", ())]
    if len(names) > 1 and (columns := tuple(dict.fromkeys(column for one in names for column in _columns(one)))):
        fills = [one.compile(scope) for one in names]
        yield _Part("subprotocol", "", columns, lambda row: _repeated([fill(0, 0, row) for fill in fills]))
    for url in values.get("url", ()):
        if columns := _columns(Template(url, feed.columns)):
            yield _Part("url", "", columns, _url_check(url, feed, scope))


def _header_check(option: str, name: str, fill: Callable[[int, int, Row], str]) -> Callable[[Row], str | None]:
    """Returns the check of a header's value, as a row fills it."""
    return lambda row: filled_problem(option, fill(0, 0, row), name)


def _url_check(url: str, feed: Feed, scope: FieldValues) -> Callable[[Row], str | None]:
    """Returns the check of a URL, as a row fills it."""

    def check(row: Row) -> str | None:
        return _url_problem(url, lambda text: Template(text, feed.columns).compile(scope)(0, 0, row))

    return check


def _columns(template: Template) -> tuple[str, ...]:
    return tuple(dict.fromkeys(field.column for field in template.fields if field.column))


def _repeated(names: list[str]) -> str | None:
    return "is the name of another subprotocol, too" if len(set(names)) < len(names) else None


def _url_problem(url: str, fill: Callable[[str], str]) -> str | None:
    """Returns why a URL is none once its fields are filled."""
    try:
        endpoint = Endpoint.of(render_url(url, fill))
    except (ValueError, KeyError) as error:
        # An error of the encodings quotes its text.
        return f"is no URL: {error if type(error) in {ValueError, HostNameError} else 'its host is malformed'}"
    return None if endpoint.host else "is no URL: it names no host"
