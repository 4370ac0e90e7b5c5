"""Secrets in use: whatever a target, a proxy, a feed or a mistake makes of them, nobody else is told.

Every place takes a token of its own, in each of the looks that tokens have, and all that the program writes is searched
for all of them, plain, percent-encoded and in base64.
"""

import base64
import os
import pty
import random
import string
import threading
from contextlib import suppress
from urllib.parse import quote, unquote

import pytest

from ws_load_test import PlanError
from ws_load_test.cli import main
from ws_load_test.plan.options.read_plan import read_plan, read_plan_file
from ws_load_test.testing import Certificates, FaultyServer, behaviors
from ws_load_test.websocket import frames

chance = random.Random(2)
certificates = Certificates()
QUICK = ("-w", 1, "--timeout", "400ms", "--connect-timeout", "1s")


def letters(count, alphabet=string.ascii_letters):
    return "".join(chance.choices(alphabet, k=count))


LOOKS = {
    "JWT": lambda: f"eyJhbGciOiJIUzI1NiJ9.eyJ{letters(15)}.{letters(20)}-_{letters(5)}",
    "hex": lambda: letters(32, "0123456789abcdef"),
    "letters": lambda: letters(24),
    "short": lambda: f"s3cr3t-{letters(4, string.digits)}",
}
looks = pytest.mark.parametrize("look", LOOKS)


class Tokens:
    """A token for each place, made when it is asked for."""

    def __init__(self, look):
        self._look, self._known = LOOKS[look], {}

    def __getattr__(self, place):
        if place.startswith("_"):
            raise AttributeError(place)
        return self._known.setdefault(place, self._look())

    def assert_hidden_in(self, *texts):
        assert self._known
        for text in texts:
            assert text
            for place, token in self._known.items():
                for form in forms(token):
                    assert form.lower() not in text.lower(), f"the token of {place} is told: {text}"


def forms(token):
    """A token as it may travel; of base64, what does not depend on what comes behind it."""
    encoded = [base64.b64encode(before + token.encode()).decode() for before in (b"", b"joe:", b"x")]
    return {token, quote(token, safe=""), *(text.rstrip("=")[4:-2] for text in encoded)}


def test_the_search_finds_every_form():
    tokens = Tokens("short")
    for text in (tokens.here, f"?t={quote(tokens.here)}", base64.b64encode(f"joe:{tokens.here}".encode()).decode()):
        with pytest.raises(AssertionError, match="the token of here is told"):
            tokens.assert_hidden_in(f"closed with 1008 {text}!")
    tokens.assert_hidden_in("closed with 1008 ***!")


# --- a run with a secret in every place --------------------------------------------------------------------------


def everywhere(url, tokens, look, feed):
    """A command line with a token wherever one can be."""
    feed.write_text(f'{{"token": "{tokens.feed}", "word": "{tokens.feed_word}", "key": "{tokens.feed_key}"}}\n')
    url = f"{url}token/{tokens.path}/{{feed.key}}?room=7&access_token={tokens.query}"
    who = {
        "JWT": ["--bearer", tokens.bearer],
        "hex": ["--user", f"joe:{tokens.user}"],
        "letters": ["-H", f"Authorization: Token {tokens.header}"],
        "short": [],
    }[look]
    if look == "short":
        url = url.replace("://", f"://joe:{tokens.user_info}@")
    else:
        # A short one may be the name of a subprotocol.
        who += ["--subprotocol", f"v1,{tokens.subprotocol}"]
    secrets = ["-H", f"X-Api-Key: {tokens.key}", "-H", "X-Auth: {feed.token}", "--cookie", f"sid={tokens.cookie}"]
    login = ["--first-message", '{"login": "{feed.word}"}']
    return [url, *who, *secrets, *login, "--feed", feed, "--expect-first", "contains:login", *QUICK, "-v", "debug"]


def overheard(peer):
    """All that a target knows, word by word."""
    headers = peer.request.headers
    path, _, query = peer.request.target.partition("?")
    told = [path, unquote(path), query, unquote(query)]
    told += [headers[name] for name in ("x-api-key", "x-auth", "cookie", "sec-websocket-protocol") if name in headers]
    kind, _, credentials = headers.get("authorization", "").partition(" ")
    told += [f"{kind} {credentials}", credentials]
    with suppress(ValueError):
        told.append(base64.b64decode(credentials, validate=True).decode())
    return [text for text in told if text.strip()]


async def refuses_and_tells(peer):
    await peer.read_request()
    told = " ".join(overheard(peer))
    location = "https://elsewhere.example" + peer.request.target + "#" + quote(told)
    await peer.send_raw(f"HTTP/1.1 302 No: {told}\r\nLocation: {location}\r\nX-Told: {told}\r\n\r\n{told}".encode())


def closes_and_tells():
    turn = iter(range(1000))

    async def behave(peer):
        await peer.upgrade()
        async for message in peer.messages():
            told = [*overheard(peer), message.payload.decode()]
            reason = told[next(turn) % len(told)]
            await peer.send_frame(frames.CLOSE, frames.close_payload(4001, f"no {reason}"[:123]))
            await peer.until_gone()

    return behave


async def repeats(peer):
    """Answers everything with all that it knows."""
    await peer.upgrade()
    async for _ in peer.messages():
        await peer.send_frame(frames.TEXT, " ".join(["login", *overheard(peer)]).encode())


CHANNELS = {
    "refused, with reason and Location": lambda: refuses_and_tells,
    "closed, with a reason": closes_and_tells,
    "repeated in replies": lambda: repeats,
}


@pytest.mark.parametrize(
    ("channel", "look"),
    # Each look once, and each channel with a long one and a short one.
    [
        (channel, look)
        for channel in CHANNELS
        for look in (LOOKS if channel == next(iter(CHANNELS)) else ("JWT", "short"))
    ],
)
def test_a_run_shows_credentials_to_the_target_alone(look, channel, program, tmp_path, capsys):
    tokens, path = Tokens(look), tmp_path / "run.jsonl"
    with FaultyServer(CHANNELS[channel]()) as server:
        arguments = everywhere(server.url, tokens, look, tmp_path / "feed.jsonl")
        done = program(*arguments, "-c", 12, "-d", "200ms", "-o", path)
        requests = list(server.seen.requests)
    # Where every session is refused or lost, the run has failed.
    assert done.returncode == (0 if channel.startswith("repeated") else 3), done.stderr
    assert len(requests) == 12
    assert f"access_token={tokens.query}" in requests[0].target, "the target is told"
    assert requests[0].headers["x-auth"] == tokens.feed
    recording = path.read_text()
    assert main(["report", str(path)]) == done.returncode
    assert main(["report", str(path), "--json"]) == done.returncode
    again = capsys.readouterr()
    tokens.assert_hidden_in(done.stdout, done.stderr, recording, again.out)
    if channel.startswith("closed"):
        assert "4001 no " in recording, "what is no secret is told"
    if channel.startswith("refused"):
        assert "302 No: " in recording
        assert "elsewhere.example" in recording


@looks
def test_a_plan_is_explained_without_them(look, tmp_path, capsys):
    tokens = Tokens(look)
    arguments = everywhere("ws://127.0.0.1:9/", tokens, look, tmp_path / "feed.jsonl")
    proxy = ["--proxy", f"http://joe:{tokens.proxy}@127.0.0.1:9"]
    assert main([*map(str, arguments), *proxy, "--explain"]) == 0
    told = capsys.readouterr()
    tokens.assert_hidden_in(told.out)
    assert "room=7" in told.out
    assert not told.err


@pytest.mark.parametrize("look", ["JWT", "short"])
def test_a_proxy_that_echoes_its_credentials(look, program, tmp_path):
    tokens, path = Tokens(look), tmp_path / "run.jsonl"

    async def echoes_credentials(peer):
        request = await peer.read_request()
        credentials = request.headers["proxy-authorization"]
        plain = base64.b64decode(credentials.partition(" ")[2]).decode()
        said = f"{credentials} is not {plain}"
        await peer.send_raw(f"HTTP/1.1 407 {said}\r\nProxy-Authenticate: Basic realm={said}\r\n\r\n{said}".encode())

    with FaultyServer(echoes_credentials) as proxy:
        url = f"http://joe:{tokens.proxy}@127.0.0.1:{proxy.port}"
        done = program("ws://service.example/", "--proxy", url, *QUICK, "-v", "debug", "-o", path)
    assert done.returncode == 3
    assert "407" in done.stdout
    tokens.assert_hidden_in(done.stdout, done.stderr, path.read_text())


@pytest.mark.parametrize("tls", [False, True], ids=["no TLS", "not trusted"])
def test_a_tls_that_fails(tls, program, tmp_path):
    tokens, path = Tokens("short"), tmp_path / "run.jsonl"
    behaviour = behaviors.echoes if tls else behaviors.talks_something_else()
    with FaultyServer(behaviour, tls=certificates.self_signed() if tls else None) as server:
        url = f"wss://joe:{tokens.user_info}@127.0.0.1:{server.port}/token/{tokens.path}?key={tokens.query}"
        done = program(url, "--cookie", f"a={tokens.cookie}", *QUICK, "-v", "debug", "-o", path)
        assert not server.seen.requests
    assert done.returncode == 3
    assert "tls" in done.stdout
    tokens.assert_hidden_in(done.stdout, done.stderr, path.read_text())


def test_the_live_view(start):
    tokens = Tokens("short")
    mine, theirs = pty.openpty()
    shown = []

    def watch():
        with suppress(OSError):
            while data := os.read(mine, 1 << 16):
                shown.append(data.decode())

    watching = threading.Thread(target=watch)
    try:
        with FaultyServer(behaviors.closes_after(3, 4001, tokens.cookie), behaviors.echoes) as server:
            url = f"{server.url}?token={tokens.query}"
            options = ["--cookie", f"a={tokens.cookie}", "-c", 2, "-d", "1100ms", *QUICK, "--live"]
            process = start(url, *options, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
            os.close(theirs)
            watching.start()
            assert process.wait(60) == 0
    finally:
        watching.join()
        os.close(mine)
    text = "".join(shown)
    assert "measured" in text
    assert "1 fault" in text
    tokens.assert_hidden_in(text)


# --- what goes wrong on this side --------------------------------------------------------------------------------


def test_a_feed_whose_value_no_header_can_carry(program, tmp_path):
    tokens, feed, path = Tokens("short"), tmp_path / "feed.jsonl", tmp_path / "run.jsonl"
    feed.write_text(f'{{"token": "{tokens.first}"}}\n{{"token": "{tokens.second}\\r\\nX-Evil: {tokens.evil}"}}\n')
    with FaultyServer(behaviors.echoes) as server:
        header = "Authorization: Bearer {feed.token}"
        done = program(server.url, "-H", header, "--feed", feed, "-c", 2, *QUICK, "-v", "debug", "-o", path)
    assert done.returncode == 2
    assert "line 2" in done.stderr
    assert "Authorization" in done.stderr
    tokens.assert_hidden_in(done.stderr)
    assert not path.exists()


BROKEN_LINES = {
    "ragged": ("csv", "token,name\n{0},a\n{1},b,{2}\n"),
    "a quote": ("csv", 'token,name\n{0},a\n"{1}"{2},b\n'),
    "no JSON": ("jsonl", '{{"token": "{0}"}}\n{{"token": "{1}", {2}\n'),
    "no object": ("jsonl", '{{"token": "{0}"}}\n["{1}", "{2}"]\n'),
    "a column missing": ("jsonl", '{{"token": "{0}"}}\n{{"{1}": "{2}"}}\n'),
}


@pytest.mark.parametrize(("suffix", "text"), BROKEN_LINES.values(), ids=BROKEN_LINES)
def test_a_broken_line_of_a_feed(suffix, text, tmp_path, capsys):
    tokens, path = Tokens("short"), tmp_path / f"feed.{suffix}"
    path.write_text(text.format(tokens.first, tokens.second, tokens.third))
    assert main(["ws://127.0.0.1:9/", "--feed", str(path), "-H", "X-Auth: {feed.token}", "-n", "2"]) == 2
    told = capsys.readouterr()
    assert "line" in told.err
    tokens.assert_hidden_in(told.out + told.err)


def test_a_feed_that_breaks_in_mid_run(program, tmp_path):
    tokens, feed, path = Tokens("short"), tmp_path / "feed.csv", tmp_path / "run.jsonl"
    # More than is looked at beforehand.
    rows = "".join(f"{tokens.good},{'x' * 1000}\n" for _ in range(1100))
    feed.write_text(f"token,filler\n{rows}{tokens.bad}\n")
    with FaultyServer(behaviors.echoes) as server:
        done = program(
            server.url, "-m", "{feed.token}", "--feed", feed, "-n", 1200, "--in-flight", 50, *QUICK, "-o", path
        )
    assert done.returncode == 4
    assert "line 1102 has 1 value" in done.stdout
    tokens.assert_hidden_in(done.stdout, path.read_text())


CRASH = """
import sys
if any("ws_load_test.worker" in word for word in sys.orig_argv):
    from ws_load_test.engine.connection_factory import ConnectionFactory
    begin = ConnectionFactory.__init__
    def fails(self, *arguments, **options):
        begin(self, *arguments, **options)
        raise LookupError(f"{self._plan.target.headers} {self._row(0)}")
    ConnectionFactory.__init__ = fails
"""


def test_the_last_words_of_a_worker(program, tmp_path):
    tokens, feed, path = Tokens("short"), tmp_path / "feed.csv", tmp_path / "run.jsonl"
    feed.write_text(f"token\n{tokens.feed}\n")
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    options = ["-H", f"X-Api-Key: {tokens.key}", "-H", "X-Auth: {feed.token}", "--feed", feed, *QUICK, "-v", "debug"]
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = program("ws://127.0.0.1:9/", *options, "-o", path, env=environment)
    assert done.returncode == 4
    assert "LookupError" in done.stdout, "it crashed as it was meant to"
    tokens.assert_hidden_in(done.stdout, done.stderr, path.read_text())


# --- plans that cannot be used -----------------------------------------------------------------------------------

WRONG = {
    "no scheme, user info": ("url", "joe:{}@h/x"),
    "no scheme, path": ("url", "h/token/{}"),
    "no scheme, a URL in the query": ("url", "joe:{}@h/?next=https://h/"),
    "another scheme": ("url", "https://joe:{0}@h/token/{0}?key={0}"),
    "a bad port": ("url", "ws://joe:{0}@h:x/token/{0}?key={0}"),
    "a token for a port": ("url", "ws://h:{}/"),
    "a bad host": ("url", "ws://joe:{}@[h/"),
    "a fragment": ("url", "ws://h/#{}"),
    "a space": ("url", "ws://joe:{} @h/"),
    "no colon": ("header", "Authorization {}"),
    "a bad name": ("header", "Authorization {}: x"),
    "a bad value": ("header", "Authorization: {}\u0001"),
    "a bad subprotocol": ("subprotocol", "v1,token={}"),
    "the same subprotocol": ("subprotocol", "{0},{0}"),
    "a bad cookie": ("cookie", "{}"),
    "two cookies in one": ("cookie", "a=1; b={}"),
    "a cookie in other letters": ("cookie", "a=\u00e9{}"),
    "no password": ("user", "{}"),
    "a token with a space": ("bearer", "{0} {0}"),
    "an origin in other letters": ("origin", "https://{}\u00e9/"),
    "a proxy without a scheme": ("proxy", "joe:{}@h:1"),
    "a proxy of another kind": ("proxy", "ftp://joe:{}@h:1"),
    "a proxy with a path": ("proxy", "http://joe:{0}@h:1/{0}"),
    "a proxy with a bad port": ("proxy", "http://joe:{}@h:x"),
    "SOCKS without a user": ("proxy", "socks5://{}@h"),
    "an address with user info": ("address", "joe:{}@h"),
}


@looks
@pytest.mark.parametrize(
    ("option", "text"),
    [pytest.param(*case, id=name) for name, case in WRONG.items()],
)
def test_a_value_that_cannot_be_used(option, text, look, capsys):
    tokens = Tokens(look)
    value = text.format(tokens.here)
    arguments = [value] if option == "url" else ["ws://h/", f"--{option}={value}"]
    assert main(arguments) == 2
    told = capsys.readouterr()
    tokens.assert_hidden_in(told.out + told.err)


IN_A_FILE = {
    "a table of cookies": 'cookie = {{ sid = "{}" }}',
    "a list for a token": 'bearer = ["{}"]',
    "a table for a user": 'user = {{ joe = "{}" }}',
    "pairs of headers": 'header = [["Authorization", "{}"]]',
    "a table for a proxy": 'proxy = {{ password = "{}" }}',
}


@pytest.mark.parametrize("line", IN_A_FILE.values(), ids=IN_A_FILE)
def test_a_value_of_another_kind_in_a_plan_file(line, tmp_path):
    tokens, path = Tokens("short"), tmp_path / "plan.toml"
    path.write_text(f'url = "ws://h/"\n{line.format(tokens.here)}\n')
    with pytest.raises(PlanError) as caught:
        read_plan(read_plan_file(str(path)))
    tokens.assert_hidden_in(str(caught.value))


def test_a_plan_file_that_is_broken(tmp_path, capsys):
    for line in ('bearer = "{}', "bearer = {}", 'user = "joe:{}" x', "[{}", 'a = "{}\\q"'):
        tokens, path = Tokens("short"), tmp_path / "plan.toml"
        path.write_text(line.format(tokens.here) + "\n")
        assert main(["--plan", str(path)]) == 2
        tokens.assert_hidden_in(capsys.readouterr().err)


def test_a_misspelt_option(capsys):
    tokens = Tokens("short")
    assert main(["ws://h/", f"--bearrer={tokens.here}"]) == 2
    tokens.assert_hidden_in(capsys.readouterr().err)


# --- what a hider must know --------------------------------------------------------------------------------------


def closes_with(words):
    """Says something of a message, and of its request, by closing."""

    async def behave(peer):
        await peer.upgrade()
        messages = [message.payload.decode() async for message in first(peer, 3)]
        reason = words(peer.request.headers, messages).encode()[:123].decode(errors="ignore")
        await peer.send_frame(frames.CLOSE, frames.close_payload(4003, reason))
        await peer.until_gone()

    return behave


async def first(peer, count):
    """The first messages, echoed but for the last."""
    async for message in peer.messages():
        yield message
        count -= 1
        if not count:
            return
        await peer.reply(message)


def told_of(tokens, server, program, tmp_path, *options):
    path = tmp_path / "run.jsonl"
    done = program(server.url, *options, "-d", "300ms", *QUICK, "-o", path)
    assert done.returncode == 3, done.stderr
    assert "4003 " in path.read_text()
    tokens.assert_hidden_in(done.stdout, path.read_text())


def test_the_feeds_value_in_a_message_that_is_refused(program, tmp_path):
    tokens, feed = Tokens("short"), tmp_path / "feed.csv"
    feed.write_text(f"token\n{tokens.first}\n{tokens.second}\n{tokens.third}\n")
    with FaultyServer(closes_with(lambda _, messages: f"bad token {messages[2]}"), behaviors.echoes) as server:
        told_of(tokens, server, program, tmp_path, "-m", "{feed.token}", "--feed", feed)


def test_credentials_of_a_feed_as_they_travel(program, tmp_path):
    tokens, feed = Tokens("short"), tmp_path / "feed.csv"
    feed.write_text(f"password\n{tokens.password}\n")
    with FaultyServer(closes_with(lambda headers, _: f"no {headers['authorization']}")) as server:
        told_of(tokens, server, program, tmp_path, "--user", "joe:{feed.password}", "--feed", feed)


def test_a_token_that_a_close_reason_had_no_room_for(program, tmp_path):
    tokens = Tokens("short")
    jwt = f"eyJhbGciOiJIUzI1NiJ9.{base64.urlsafe_b64encode(tokens.claim.encode() * 3).decode()}.{letters(86)}"
    with FaultyServer(closes_with(lambda headers, _: f"invalid token {headers['authorization'][7:]}")) as server:
        path = tmp_path / "run.jsonl"
        done = program(server.url, "--bearer", jwt, "-d", "300ms", *QUICK, "-o", path)
        assert done.returncode == 3
    assert "invalid token" in path.read_text()
    assert jwt[:60] not in path.read_text() + done.stdout
