"""What must not be shown: which texts are secrets, and how they are taken out of what is written, shown or said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, unquote_plus

REDACTED = "***"
SHORTEST_BEGINNING = 12
SHORTEST_SECRET = 4
"""Characters; a shorter one would be found inside ordinary words."""
LONGEST_NAME = 40
FIELD = re.compile(r"\{(?:feed\.[^{}]+|seq|connection|uuid|now_ms|random:\d+|int:[+-]?\d+\.\.[+-]?\d+)\}")
"""A field of a template: a name, which is no secret, whatever it is filled with."""
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|session|api-?key|password|credential", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"auth|token|secret|key|password|passwd|pwd|sig|credential|session|jwt|code", re.IGNORECASE
)
_SECRET_FOLLOWS = re.compile(
    r"(?:access|auth|api|bearer|id|refresh|session|user)?[-_]?"
    r"(?:auth|token|tokens|key|keys|secret|secrets|session|sessions|jwt|password|ticket|credentials?)",
    re.IGNORECASE,
)
"""A path segment behind which the next one is a secret: ``/token/…``, ``/api-key/…``."""
_SCHEMES = re.compile(r"\b(?:basic|bearer|digest|token|apikey)\b", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9]+")
_KNOWN_TOKENS = re.compile(r"eyJ[A-Za-z0-9_-]{8}|(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{8}")


def is_secret_header(name: str) -> bool:
    """Whether a header of this name carries credentials."""
    return _SECRET_HEADER.search(name) is not None


def is_pure_template(text: str) -> bool:
    """Whether a text has fields and beside them nothing that could be a secret."""
    rest, fields = FIELD.subn("", text)
    return fields > 0 and not re.search(r"\w", _SCHEMES.sub("", rest))


def looks_like_token(text: str) -> bool:
    """Whether a text is more likely a random token than words: by its length, and how letters and digits mix in it.

    Words, numbers and versions joined by ``-``, ``_`` or ``.`` are none, however many: ``market-data-v2-2024``.
    """
    text = unquote(FIELD.sub("", text))
    if len(text) > LONGEST_NAME or _KNOWN_TOKENS.match(text):
        return True
    runs = _RUN.findall(text)
    return any(_is_random(run, shortest=6 if len(text) >= 16 else 12) for run in runs)


def _is_random(run: str, shortest: int) -> bool:
    """Whether letters and digits without a break look random."""
    if len(run) < shortest:
        return False
    if run.isdigit():
        return len(run) >= 16
    if any(character.isdigit() for character in run):
        # A word with a number behind it is a name: room2024, stream1.
        return re.fullmatch(r"[A-Za-z]+\d{1,4}", run) is None
    # Letters alone: capitals in the middle of what is no camelCase.
    return len(run) >= 16 and len(re.findall(r"[A-Z]{2}|[A-Z][^A-Z]?(?=[A-Z])", run)) >= 3


def redacted(text: str) -> str:
    """A secret text as it may be shown: not at all, unless it is a template of nothing but fields."""
    return text if is_pure_template(text) else REDACTED


def public_url(url: str) -> str:
    """An address without its secrets: user info, tokens in path and query."""
    before, slashes, rest = url.partition("://")
    if not slashes:
        return url
    match = re.match(r"[^/?#]*", rest)
    assert match is not None
    authority, rest = match.group(), rest[match.end() :]
    path, mark, query = rest.partition("?")
    user_info, at, host = authority.rpartition("@")
    if at:
        host = f"{redacted(user_info)}@{host}"
    pairs = "&".join(_public_pair(pair) for pair in query.split("&")) if query else query
    return f"{before}://{host}{_public_path(path)}{mark}{pairs}"


def public_location(location: str) -> str:
    """Where a redirect leads, as it may be told: without user info, query and fragment, and tokens in the path."""
    bare = re.sub(r"(?<=//)[^/?#]*@|[?#].*", "", location)
    return public_url(bare) if "://" in bare else _public_path(bare)


def _public_path(path: str) -> str:
    segments = path.split("/")
    shown = [
        redacted(segment)
        if segment and (_SECRET_FOLLOWS.fullmatch(unquote(before)) or looks_like_token(segment))
        else segment
        for before, segment in zip(["", *segments], segments, strict=False)
    ]
    return "/".join(shown)


def _public_pair(pair: str) -> str:
    name, value = _cut_pair(pair)
    if value and (_SECRET_PARAMETER.search(unquote_plus(name)) or looks_like_token(value)):
        return f"{name}={redacted(value)}"
    return redacted(pair) if not value and looks_like_token(name) else pair


def _cut_pair(pair: str) -> tuple[str, str]:
    """A parameter's name and value; what has only the padding of base64 behind its ``=`` is all name."""
    name, _, value = pair.partition("=")
    return (name, value) if value.strip("=") else (pair, "")


def public_header(name: str, value: str) -> tuple[str, str]:
    """A header as it may be shown."""
    return (name, redacted(value) if is_secret_header(name) or _holds_token(value) else value)


def _holds_token(value: str) -> bool:
    """Whether a header's value has a token among its words; addresses (Origin, Referer) are judged as such."""
    if "://" in value:
        return public_url(value) != value
    return any(looks_like_token(word) for word in re.split(r"[\s;,=\"/]+", value) if len(word) <= LONGEST_NAME) or any(
        len(word) > LONGEST_NAME for word in value.split()
    )


# --- Taking secrets out of what others say -------------------------------------------------------------------------


def secrets_in_header(name: str, value: str) -> set[str]:
    """What of a header must not be said: nothing, where it may be shown."""
    return set() if public_header(name, value)[1] == value else secret_parts(value)


def secrets_in_url(url: str) -> set[str]:
    """What of an address must not be said."""
    shown = public_url(url)
    if shown == url:
        return set()
    authority, _, rest = url.partition("://")[2].partition("/")
    found: set[str] = set()
    user_info, at, _ = authority.partition("?")[0].rpartition("@")
    if at:
        found.update(user_info.split(":", 1))
    query = url.partition("?")[2]
    for pair in query.split("&") if query else ():
        if _public_pair(pair) != pair:
            name, value = _cut_pair(pair)
            found.add(value or name)
    path = "/" + rest.partition("?")[0]
    pairs = zip(path.split("/"), _public_path(path).split("/"), strict=True)
    found.update(segment for segment, public in pairs if segment != public)
    return {piece for text in found for piece in secret_parts(text)}


def secret_parts(value: str) -> set[str]:
    """A secret and the parts of it that are secrets for themselves: of several cookies each, of a template the text."""
    words = [value, *re.split(r"[\s;,]+", value)]
    words += [word.partition("=")[2].strip('"') for word in words]
    texts = {text for word in words for text in FIELD.split(word)}
    return {text for text in texts if text and not _SCHEMES.fullmatch(text)}


class Redactor:
    """Takes known secrets out of texts that others had a hand in: reason phrases, close reasons, error messages."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Takes secrets of the whole run, as they are sent."""
        self._secrets = frozenset(secrets)
        self._pattern: re.Pattern[str] | None = None

    def redact(self, text: str, more: Iterable[str] = ()) -> str:
        """The text with each secret replaced by ``***``; `more` are those of one session, the values of its feed row.

        Costs nothing until a text is given; secrets of less than four characters are left, since words hold them.
        """
        if self._pattern is None:
            self._pattern = _pattern_of(self._secrets)
        text = self._pattern.sub(REDACTED, text)
        extra = tuple(more)
        if extra:
            text = _pattern_of(extra).sub(REDACTED, text)
        for secret in (*self._secrets, *extra):
            text = _redact_truncated(text, secret)
        return text


def _redact_truncated(text: str, secret: str) -> str:
    """The text without as much of a secret as it holds: a close reason has room for 123 bytes, and cuts long tokens."""
    start = text.find(secret[:SHORTEST_BEGINNING]) if len(secret) > SHORTEST_BEGINNING else -1
    if start < 0:
        return text
    end = start + SHORTEST_BEGINNING
    while end < len(text) and end - start < len(secret) and text[end] == secret[end - start]:
        end += 1
    return f"{text[:start]}{REDACTED}{text[end:]}"


def _pattern_of(secrets: Iterable[str]) -> re.Pattern[str]:
    """Finds any of the secrets in the forms in which they travel, the longest first."""
    forms = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""), quote(secret))}
    found = sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True)
    # (?!) matches nowhere.
    return re.compile("|".join(map(re.escape, found)) or "(?!)", re.IGNORECASE)
