"""Check of a feed's rows, and of the environment, against the parts of a request that their values become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from ws_load_test.common.errors import OptionProblem, option_name
from ws_load_test.messages import Feed, FeedError, Message, Template
from ws_load_test.messages.feed import SMALL_BYTES, FeedReader
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.template_field import Row
from ws_load_test.plan.host_names import HostNameError
from ws_load_test.plan.options.environment import variables_in
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
    """Columns of the feed in it."""
    variables: tuple[str, ...]
    """Variables of the environment in it."""
    problem: Callable[[Row], str | None]
    """Returns why what a row makes of the text cannot be sent, as the rest of a sentence."""


def check_environment(values: Mapping[str, Any], message: Message, problems: list[OptionProblem]) -> None:
    """Adds a problem for each text of the target that the environment makes none that a request can carry.

    The text names the variables, never their values.
    """
    for part in _parts(values, message):
        if part.columns or not part.variables:
            continue
        if (problem := part.problem(())) is not None:
            what = f"the value of {part.header} {problem}" if part.header else f"it {problem}"
            where = " and ".join(f"{{env.{name}}}" for name in part.variables)
            problems.append(
                OptionProblem(option_name(part.option), f"filled in from the environment ({where}), {what}")
            )


def check_feed_rows(
    values: Mapping[str, Any], message: Message, feed: Feed, connections: int, problems: list[OptionProblem]
) -> None:
    """Adds a problem for the first row whose values cannot be a part of the request that they are put into.

    All rows of a small feed are looked at, of a larger one its beginning, with those that the run's connections take
    in turn. The text names the file, the line and the column, never the value, which can be a secret.
    """
    parts = [part for part in _parts(values, message) if part.columns]
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


def _parts(values: Mapping[str, Any], message: Message) -> Iterator[_Part]:
    """Yields the texts of the target that columns of the feed or variables fill."""
    columns = () if message.feed is None else message.feed.columns
    scope = FieldValues(Random(0), columns, message.environment)  # noqa: S311 - values that only stand in for others

    texts = [("header", name, text) for name, text in values.get("header", ())]
    for option in _FILLED:
        given = values.get(option, ())
        texts += [(option, "", text) for text in ((given,) if isinstance(given, str) else given)]
    for option, name, text in texts:
        template = Template(text, columns)
        if names := _names(template):
            yield _Part(option, name, *names, _header_check(option, name, template.compile(scope)))
    offered = [Template(text, columns) for text in values.get("subprotocol", ())]
    if len(offered) > 1 and (names := _names(*offered)):
        fills = [one.compile(scope) for one in offered]
        yield _Part("subprotocol", "", *names, lambda row: _repeated([fill(0, 0, row) for fill in fills]))
    for url in values.get("url", ()):
        if names := _names(Template(url, columns)):
            yield _Part("url", "", *names, _url_check(url, columns, scope))


def _header_check(option: str, name: str, fill: Callable[[int, int, Row], str]) -> Callable[[Row], str | None]:
    """Returns the check of a header's value, as a row fills it."""
    return lambda row: filled_problem(option, fill(0, 0, row), name)


def _url_check(url: str, columns: Sequence[str], scope: FieldValues) -> Callable[[Row], str | None]:
    """Returns the check of a URL, as a row fills it."""

    def check(row: Row) -> str | None:
        return _url_problem(url, lambda text: Template(text, columns).compile(scope)(0, 0, row))

    return check


def _names(*templates: Template) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Returns the columns and the variables that fields of templates name; None where they name neither."""
    columns = tuple(dict.fromkeys(field.column for one in templates for field in one.fields if field.column))
    variables = tuple(variables_in(templates))
    return (columns, variables) if columns or variables else None


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
