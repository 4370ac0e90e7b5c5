"""Redaction: recognizes secrets in URLs and headers, and removes them from texts that are shown or written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote, unquote_plus

from ws_load_test.messages.fields import FIELD

REDACTED = "***"
SHORTEST_BEGINNING = 12
"""Characters of a truncated secret that are enough to redact it; fewer could be the beginning of a word."""
SHORTEST_SECRET = 4
"""Characters of the shortest secret that is searched for; a shorter one would be found inside ordinary words."""
LONGEST_NAME = 40
"""Characters of the longest text that counts as a name; few names and most tokens are longer."""
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|session|api-?key|password|credential", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"auth|token|secret|key|password|passwd|pwd|sig|credential|session|jwt|code", re.IGNORECASE
)
_SECRET_FOLLOWS = re.compile(
    r"(?:access|auth|api|bearer|id|refresh|session|user)?[-_]?"
    r"(?:auth|token|tokens|key|keys|secret|secrets|session|sessions|jwt|password|ticket|credentials?)",
    re.IGNORECASE,
)
"""Path segments that are followed by a secret: ``/token/…``, ``/api-key/…``."""
_SCHEMES = re.compile(r"\b(?:basic|bearer|digest|token|apikey)\b", re.IGNORECASE)
_NO_COUNT = r"""(?!s["']?\s{0,8}:\s{0,8}\d{1,7}(?![\w.]))"""
"""Not followed by what makes ``token`` a count, as language models report: ``"output_tokens": 20``."""
_TELLING_NAME = (
    rf"auth(?!ors?(?:[\W_]|$))|token{_NO_COUNT}|secret|api[-_]?key|pass(?:w|phrase|code)|pwd|signature|credential|session[-_]?id"
    r"|jwt|cookie"
)
_IN_PAYLOAD = re.compile(
    rf"""(?ix)
    (?P<field> \{{(?:env|my)\.[\w-]+:json\}} )
    | (?P<name> (?<![\w-]) ["']? [\w-]{{0,30}}? (?:{_TELLING_NAME}) [\w-]{{0,30}} ["']? \s{{0,8}} [:=] \s{{0,8}} )
    (?P<value>
        "(?:[^"\\]|\\.)*"?
        | '[^']*'?
        | (?:(?:basic|bearer|token)\s+)? (?!(?:true|false|null)\b) [^\s,;&"'\[\]{{}}]+
    )
    | \bbearer\s{{1,8}}[\w.~+/-]{{8,}}=*
    | (?<![\w-]) eyJ[\w-]{{8,}}(?:\.[\w-]+){{0,4}}
    | (?<![\w-]) (?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{{12,}}
    """
)
"""Secrets in a payload, which is otherwise shown as it is: values behind a telling name, tokens of known forms."""
_RUN = re.compile(r"[A-Za-z0-9]+")
_KNOWN_TOKENS = re.compile(r"eyJ[A-Za-z0-9_-]{8}|(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{8}")


def is_secret_header(name: str) -> bool:
    """True if headers of this name carry credentials."""
    return _SECRET_HEADER.search(name) is not None


def is_pure_template(text: str) -> bool:
    """True if a text has fields, and nothing besides them that could be a secret."""
    rest, fields = FIELD.subn("", text)
    return fields > 0 and not re.search(r"\w", _SCHEMES.sub("", rest))


def looks_like_token(text: str) -> bool:
    """True if a text is more likely a random token than words, by its length and its mix of letters and digits.

    Words, numbers and versions joined by ``-``, ``_`` or ``.`` are no token: ``market-data-v2-2024``.
    """
    text = unquote(FIELD.sub("", text))
    if len(text) > LONGEST_NAME or _KNOWN_TOKENS.match(text):
        return True
    runs = _RUN.findall(text)
    return any(_is_random(run, shortest=6 if len(text) >= 16 else 12) for run in runs)


def _is_random(run: str, shortest: int) -> bool:
    """True if a run of letters and digits looks random."""
    if len(run) < shortest:
        return False
    if run.isdigit():
        return len(run) >= 16
    if any(character.isdigit() for character in run):
        # A word followed by a number is a name: room2024, stream1.
        return re.fullmatch(r"[A-Za-z]+\d{1,4}", run) is None
    # Only letters: a token has capitals where camelCase has none.
    return len(run) >= 16 and len(re.findall(r"[A-Z]{2}|[A-Z][^A-Z]?(?=[A-Z])", run)) >= 3


def redacted(text: str) -> str:
    """Returns ``***``, or the text itself if it is a template of nothing but fields."""
    return text if is_pure_template(text) else REDACTED


def public_url(url: str) -> str:
    """Returns a URL without its secrets: user info, tokens in path and query."""
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


def public_payload(text: str) -> str:
    """Returns a payload without what looks like a secret: by the name that stands before it, or by its form.

    Random letters alone are none here: payloads are often generated.
    """

    def hide(found: re.Match[str]) -> str:
        if found["field"] is not None:
            # The name of a secret is none.
            return found["field"]
        name, value = found["name"], found["value"]
        if name is None:
            return REDACTED
        quote_mark = value[0] if value[:1] in {'"', "'"} else ""
        return value and f"{name}{quote_mark}{redacted(value.strip(quote_mark) or value)}{quote_mark}"

    return _IN_PAYLOAD.sub(hide, text)


def public_location(location: str) -> str:
    """Returns the destination of a redirect without user info, query, fragment, and tokens in the path."""
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
    """Splits a parameter into name and value; if only base64 padding follows the first ``=``, all of it is the name."""
    name, _, value = pair.partition("=")
    return (name, value) if value.strip("=") else (pair, "")


def public_header(name: str, value: str) -> tuple[str, str]:
    """Returns a header with its value redacted if it is a secret."""
    return (name, redacted(value) if is_secret_header(name) or _holds_token(value) else value)


def _holds_token(value: str) -> bool:
    """True if one of the words of a header's value looks like a token; URLs (Origin, Referer) are checked as URLs."""
    if "://" in value:
        return public_url(value) != value
    return any(looks_like_token(word) for word in re.split(r"[\s;,=\"/]+", value) if len(word) <= LONGEST_NAME) or any(
        len(word) > LONGEST_NAME for word in value.split()
    )


# --- Removing secrets from texts of the target and of libraries ----------------------------------------------------


def secrets_in_header(name: str, value: str) -> set[str]:
    """Returns the secrets in a header; none if it can be shown."""
    return set() if public_header(name, value)[1] == value else secret_parts(value)


def secrets_in_url(url: str) -> set[str]:
    """Returns the secrets in a URL."""
    shown = public_url(url)
    if shown == url:
        return set()
    authority, _, rest = url.partition("://")[2].partition("/")
    secrets: set[str] = set()
    user_info, at, _ = authority.partition("?")[0].rpartition("@")
    if at:
        secrets.update(user_info.split(":", 1))
    query = url.partition("?")[2]
    for pair in query.split("&") if query else ():
        if _public_pair(pair) != pair:
            name, value = _cut_pair(pair)
            secrets.add(value or name)
    path = "/" + rest.partition("?")[0]
    pairs = zip(path.split("/"), _public_path(path).split("/"), strict=True)
    secrets.update(segment for segment, public in pairs if segment != public)
    return {part for secret in secrets for part in secret_parts(secret)}


def secret_parts(value: str) -> set[str]:
    """Returns a secret and its parts that are secrets too: each of several cookies, the literals of a template."""
    words = [value, *re.split(r"[\s;,]+", value)]
    words += [word.partition("=")[2].strip('"') for word in words]
    texts = {text for word in words for text in FIELD.split(word)}
    return {text for text in texts if text and not _SCHEMES.fullmatch(text)}


class Redactor:
    """Removes known secrets from texts of foreign origin: reason phrases, close reasons, error messages."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Takes the secrets of the whole run, as they are sent."""
        self._secrets = frozenset(secrets)
        self._pattern: re.Pattern[str] | None = None

    def redact(self, text: str, more: Iterable[str] = ()) -> str:
        """Returns the text with each secret replaced by ``***``; `more` are the values of a session's feed row.

        The pattern is compiled by the first call. Secrets of less than `SHORTEST_SECRET` characters are kept.
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
    """Removes the beginning of a secret: a close reason holds at most 123 bytes, and so truncates long tokens."""
    start = text.find(secret[:SHORTEST_BEGINNING]) if len(secret) > SHORTEST_BEGINNING else -1
    if start < 0:
        return text
    end = start + SHORTEST_BEGINNING
    while end < len(text) and end - start < len(secret) and text[end] == secret[end - start]:
        end += 1
    return f"{text[:start]}{REDACTED}{text[end:]}"


def _pattern_of(secrets: Iterable[str]) -> re.Pattern[str]:
    """Compiles a pattern of all secrets, plain and percent-encoded, the longest first."""
    forms = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""), quote(secret))}
    patterns = sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True)
    # (?!) matches nowhere.
    return re.compile("|".join(map(re.escape, patterns)) or "(?!)", re.IGNORECASE)
