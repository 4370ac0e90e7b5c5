"""Secrets of a capture: values that must not stand in the plan file, and the names of the environment for them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_plus

from ws_load_test.importing.values import Content, is_uuid, nested_values
from ws_load_test.plan.redaction import (
    REDACTED,
    is_secret_header,
    looks_like_token,
    public_header,
    public_payload,
    public_url,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ws_load_test.importing.capture import Capture
    from ws_load_test.importing.values import Value

SHORTEST_FOUND = 6
"""Characters of a secret that is replaced wherever it stands; a shorter one could be a part of an ordinary word, and is
replaced where it is a value by itself."""
SHORTEST_LETTERS = 12
"""The same of a secret of nothing but letters: ``example`` is a word in many places."""
PATH_NAME, PATH_ORIGIN = "PATH_TOKEN", "the path of the URL"
"""Name and origin of a secret in the path of the URL."""
_TAKEN_NAMES = frozenset(
    {"PATH", "HOME", "USER", "SHELL", "LANG", "TERM", "PWD", "OLDPWD", "LOGNAME", "HOSTNAME", "TMPDIR", "DISPLAY"}
)
"""Variables that every environment has, with another meaning."""
_WORD_OF_FORM = re.compile(r"(?i)(?:type|method|kind|mode|scheme|provider|required|enabled|status|state|level)$")
"""Ends of names whose value is a word, although the name speaks of a secret: ``tokenType``, ``auth_method``."""
_PLAIN_WORD = re.compile(r"[A-Za-z]{1,16}")
_AFTER_WORD = re.compile(
    r"(?i)(?:^|[\s,;])(?P<name>auth|authenticate|token|pass|passwd|password|bearer|basic|apikey)\s+(?P<value>[^\s,;\x00]+)"
)
"""Secrets behind a word and a space, as line protocols have them: ``AUTH abc``."""
_SCHEME = re.compile(r"(?i)(?P<scheme>basic|bearer|digest|token|apikey)\s+")


class Secrets:
    """Secret values, each with the variable of the environment that takes its place."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        """Value -> variable."""
        self.origins: dict[str, str] = {}
        """Variable -> the place at which the capture has its value."""
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str, name: str, origin: str) -> str:
        """Notes a secret; returns its variable, that of the same value seen before if there is one.

        Of secrets that are hidden in the capture already, those of one origin are taken for the same.
        """
        known = self.names.get(value)
        if known is not None:
            return known
        variable, number = _variable(name), 2
        while variable in self.origins and not (value == REDACTED and self.origins[variable] == origin):
            variable, number = f"{_variable(name)}_{number}", number + 1
        self.origins[variable] = origin
        if value != REDACTED:
            self.names[value] = variable
            self._pattern = None
        return variable

    def field(self, value: str) -> str:
        """Returns the field that stands for a secret."""
        return f"{{env.{self.names[value]}}}"

    def field_of(self, value: str, name: str, origin: str) -> str:
        """Returns the field that stands for a secret, which may have been hidden in the capture already."""
        return self.field(value) if value in self.names else f"{{env.{self.add(value, name, origin)}}}"

    def spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yields the places of secrets in a text, whatever is around them, and their fields."""
        for found in self._found(text):
            yield found.start(), found.end(), self._field_of(found[0])

    def occur_in(self, text: str) -> bool:
        """Returns True if a secret stands in a text, or is all of it."""
        return text in self.names or any(True for _ in self._found(text))

    def replaced(self, text: str) -> str:
        """Returns a text with a field in place of each secret."""
        if text in self.names:
            return self.field(text)
        return self.scrubbed(text)

    def scrubbed(self, text: str) -> str:
        """Returns a text without any secret that stands out, wherever it came in."""
        return "".join(self._pieces(text))

    def _pieces(self, text: str) -> Iterator[str]:
        at = 0
        for start, end, field in self.spans(text):
            yield text[at:start]
            yield field
            at = end
        yield text[at:]

    def _found(self, text: str) -> Iterable[re.Match[str]]:
        if self._pattern is None:
            forms = {form for secret in self.names for form in forms_of(secret) if _stands_out(form)}
            longest_first = sorted(forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_bounded, longest_first)) or "(?!)")
        return self._pattern.finditer(text)

    def _field_of(self, form: str) -> str:
        return next(self.field(secret) for secret in self.names if form in forms_of(secret))


def forms_of(secret: str) -> set[str]:
    """Returns the texts that a secret has in URLs and in JSON."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    try:
        unescaped = json.loads(f'"{secret}"')
    except ValueError:
        unescaped = secret
    plain.add(unescaped)
    written = {json.dumps(one)[1:-1] for one in plain} | {json.dumps(one, ensure_ascii=False)[1:-1] for one in plain}
    return plain | written | {quote(one, safe="") for one in plain} | {one.replace("/", "\\/") for one in written}


def _stands_out(form: str) -> bool:
    """Returns True for a text that is a secret wherever it stands."""
    return len(form) >= (SHORTEST_LETTERS if form.isalpha() else SHORTEST_FOUND)


def _bounded(form: str) -> str:
    """Returns a pattern of a secret; one of digits is no part of a longer number."""
    return rf"(?<!\d){form}(?!\d)" if form.isdigit() else re.escape(form)


def add_secrets(capture: Capture, contents: list[Content], secrets: Secrets) -> None:
    """Adds the secrets of a session: of its URL, its headers, and the messages of both directions."""
    _of_url(capture.url, secrets)
    for name, value in capture.headers:
        for secret, variable in header_secrets(name, value):
            secrets.add(secret, variable, f"the header {name}")
    for offered in capture.subprotocols:
        if looks_like_token(offered):
            secrets.add(offered, "TOKEN", "a subprotocol")
    for content in contents:
        # Values received may be secrets as well; most of them are captured where they come, and need no variable.
        for one in secret_values(content):
            secrets.add(one.text, one.name or "SECRET", f'"{one.name}"' if one.name else "a message")


def header_secrets(name: str, value: str) -> list[tuple[str, str]]:
    """Returns the secrets in a header, each with a name for it."""
    if name.lower() == "cookie":
        return [(value, "COOKIE")]
    scheme = _SCHEME.match(value)
    if scheme is not None:
        return [(value[scheme.end() :], "BASIC_AUTH" if scheme["scheme"].lower() == "basic" else "TOKEN")]
    if is_secret_header(name) or public_header(name, value)[1] != value:
        return [(value, name)]
    return []


def secret_values(content: Content) -> list[Value]:
    """Returns the secrets in a message, with their places."""
    found = []
    for value in content.values:
        inner = nested_values(value)
        secret = [one for one in inner if is_secret(one.name, one.text)]
        if secret:
            found += secret
        elif is_secret(value.name, value.text) and value.kind != "literal":
            found.append(value)
    if content.text is not None and not content.is_json:
        found += _behind_words(content, {(one.start, one.end) for one in found})
    return found


def is_secret(name: str, text: str) -> bool:
    """Returns True if a value is a secret: by the name that it has, or by its own form."""
    if not text or text in {"true", "false", "null"}:
        return False
    if _WORD_OF_FORM.search(name) and _PLAIN_WORD.fullmatch(text):
        return False
    if text == REDACTED:
        return True
    quoted = text.replace('"', "").replace("\\", "")
    by_name = bool(name) and not name.startswith("[") and public_payload(f'{name}: "x"') != f'{name}: "x"'
    # Counts of tokens are numbers of some digits, and no secrets.
    is_count = name.lower().endswith("s") and text.isdigit() and len(text) < 8
    return (by_name and not is_count) or public_payload(quoted) != quoted


def _behind_words(content: Content, taken: set[tuple[int, int]]) -> list[Value]:
    """Returns secrets of lines such as ``AUTH abc``."""
    words = {(one.start, one.end): one for one in content.values}
    found = []
    for match in _AFTER_WORD.finditer(content.text or ""):
        word = words.get(match.span("value"))
        if word is not None and match.span("value") not in taken and not word.name:
            found.append(word)
    return found


def _of_url(url: str, secrets: Secrets) -> None:
    before, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user_info, at, _ = authority.rpartition("@")
    if at:
        user, _, password = user_info.partition(":")
        secrets.add(user, "WS_USER", "the URL")
        if password:
            secrets.add(password, "WS_PASSWORD", "the URL")
    path, _, query = (slash + path).partition("?")
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        # A UUID is a secret by its name alone: most are numbers of clients.
        shown = f"{before}://h/?{name}=x" if is_uuid(value) else f"{before}://h/?{pair}"
        if value and public_url(shown) != shown:
            secrets.add(value, name, url_origin(name))
    shown = public_url(f"ws://h{path}").removeprefix("ws://h")
    for segment, public in zip(path.split("/"), shown.split("/"), strict=False):
        if segment != public:
            secrets.add(segment, PATH_NAME, PATH_ORIGIN)


def url_origin(name: str) -> str:
    """Returns the origin of a secret in a parameter of the URL."""
    return f'"{name}" of the URL'


def _variable(name: str) -> str:
    """Returns the name of a variable for a key: ``accessToken`` is ``ACCESS_TOKEN``."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    variable = re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_")
    if not variable or not variable[0].isalpha():
        variable = f"SECRET_{variable}".rstrip("_")
    return f"WS_{variable}" if variable in _TAKEN_NAMES else variable
