"""Credentials reach the target, and nothing that is written, shown or said."""

import asyncio
import base64
import json
import sys
import time

import msgspec
import pytest

from ws_load_test import PlanError, make_plan
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.redaction import (
    REDACTED,
    Redactor,
    looks_like_token,
    public_payload,
    public_url,
)
from ws_load_test.plan.target import Target
from ws_load_test.testing import FaultyServer, behaviors

SECRETS = ("pa55word", "t0ken", "k3y", "b3arer", "c00kie", "h3ader", "pa%35word")
HEADERS = ["Authorization: Bearer b3arer", "Cookie: id=c00kie", "X-Api-Key: h3ader", "X-Colour: red"]


def url_with_secrets(url):
    return url.replace("ws://", "ws://joe:pa55word@") + "?room=7&access_token=t0ken&Api-Key=k3y"


def assert_no_secret(text):
    for secret in SECRETS:
        assert secret not in text, f"{secret} in {text}"


def test_a_public_plan_has_no_secrets():
    plan = make_plan(url_with_secrets("ws://h/x"), header=HEADERS, message="payl0ad").redacted()
    for text in (msgspec.json.encode(plan).decode(), repr(plan), str(describe_plan(plan))):
        assert_no_secret(text)
        assert "payl0ad" not in text
        assert "room=7" in text
    assert plan.target.url == f"ws://{REDACTED}@h/x?room=7&access_token={REDACTED}&Api-Key={REDACTED}"
    hidden = tuple((name, REDACTED) for name in ("Authorization", "Cookie", "X-Api-Key"))
    assert plan.target.headers == (*hidden, ("X-Colour", "red"))
    assert plan.message.size_bytes == 7


@pytest.mark.parametrize(
    "query",
    [
        "token=t0ken",
        "TOKEN=t0ken",
        "access%5Ftoken=t0ken",
        "a=1&sig=t0ken&sig=k3y",
        "password=t0ken",
        "jwt=t0ken",
        "X-Amz-Signature=t0ken",
    ],
)
def test_tokens_in_a_query_are_hidden(query):
    assert_no_secret(Target(url=f"wss://h/?{query}").redacted().url)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "PROXY-AUTHORIZATION", "cookie", "X-Auth", "X-CSRF-Token", "Api-Key", "ApiKey", "X-Secret"],
)
def test_headers_that_carry_credentials_are_hidden(name):
    assert Target(url="ws://h", headers=((name, "h3ader"),)).redacted().headers == ((name, REDACTED),)


def test_what_is_no_secret_stays_as_it_was():
    target = Target(url="wss://h:8/a/b?room=7&q=a%20b", headers=(("Origin", "http://x"),), subprotocols=("p",))
    assert target.redacted() == target


TOKENS = [
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmN",
    "550e8400-e29b-41d4-a716-446655440000",
    "9f86d081884c7d659a2feaa0c55ad015",
    "sk_live_51HbXQ2eZvKYlo2C",
    "AKIAIOSFODNN7EXAMPLE",
    "dGhpcyBpcyBhIHNlY3JldA==",
    "1234567890123456",
    "hQvLkPzXwTrNbMsDfGjK",
    "x" * 41,
]
HARMLESS = [
    "",
    "7",
    "red",
    "blue-room-2024",
    "market-data-stream-v2-2024",
    "notifications",
    "internationalization",
    "subscribeToMarketDataStream",
    "graphql-transport-ws",
    "mqtt",
    "v12.stomp",
    "room2024",
    "2024-01-31T10:00:00Z",
    "application/json",
    "Mozilla/5.0 (X11; Linux x86_64)",
    "{feed.token}",
    "{random:8}-{uuid}",
    "https://app.example:8443/path",
]


@pytest.mark.parametrize("token", TOKENS)
def test_what_looks_like_a_token_is_hidden_wherever_it_stands(token):
    assert looks_like_token(token)
    target = Target(
        url=f"wss://h/live/{token}/x?room=7&q={token}&{token}",
        headers=(("X-Anything", token), ("X-Other", f"v1 {token}"), ("Origin", f"https://h/{token}")),
        subprotocols=("v1", token),
    )
    text = repr(target.redacted()) + str(target.describe())
    assert token not in text
    assert "/live/***/x?room=7&q=***" in text
    assert Redactor(target.secrets()).redact(f"bad token {token}!") == "bad token ***!"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_short_or_made_of_words_is_shown(text):
    target = Target(url=f"wss://h/a/{text}?q={text}", headers=(("X-Colour", text), ("Origin", "http://x")))
    assert target.redacted() == target
    assert not target.secrets()


@pytest.mark.parametrize("before", ["token", "tokens", "api-key", "access_token", "sessions", "jwt", "secret", "Key"])
def test_what_follows_a_telling_segment_is_hidden(before):
    assert public_url(f"wss://h/v1/{before}/t0ken/x") == f"wss://h/v1/{before}/***/x"


def test_credentials_are_hidden_however_short():
    target = Target(
        url="ws://h/", cookies=("a=c00kie", "b={feed.id}"), user="joe:k3y", bearer="t0ken", proxy="http://joe:k3y@p:1"
    )
    assert_no_secret(repr(target.redacted()))
    assert_no_secret(str(target.describe()))
    assert target.redacted().cookies == ("a=***", "b={feed.id}")
    assert target.redacted().proxy == "http://***@p:1"


@pytest.mark.parametrize(
    ("field", "shown"),
    [("Bearer {feed.token}", True), ("{feed.token}", True), ("{feed.token}-b3arer", False), ("{b3arer}", False)],
)
def test_fields_are_names_and_shown(field, shown):
    target = Target(url="ws://h/", headers=(("Authorization", field),), bearer=field)
    assert target.redacted().headers == (("Authorization", field if shown else REDACTED),)
    assert target.redacted().bearer == (field if shown else REDACTED)


# --- what others say ---------------------------------------------------------------------------------------------


def test_secrets_that_a_target_echoes_are_taken_out():
    target = Target(
        url="wss://joe:pa%35word@h/token/p4th?access_token=t0ken%2F1",
        headers=(("Authorization", "Bearer b3arer"), ("Cookie", "id=c00kie; x=y"), ("X-Colour", "mauve")),
        cookies=("sid=c00kie2",),
        user="ann:h3ader",
        proxy="http://prox:pr0xy@p",
    )
    hider = Redactor(target.secrets())
    credentials = base64.b64encode(b"joe:pa5word").decode()
    for secret in ("pa%35word", "pa5word", "p4th", "t0ken%2F1", "t0ken/1", "b3arer", "c00kie", "c00kie2", "h3ader"):
        assert hider.redact(f"said {secret}.") == "said ***.", secret
    for secret in ("B3ARER", credentials, "pr0xy", base64.b64encode(b"ann:h3ader").decode()):
        assert hider.redact(f"said {secret}.") == "said ***.", secret
    assert hider.redact("mauve Bearer id y") == "mauve Bearer id y"


def test_values_of_a_feed_are_taken_out_and_short_ones_left():
    hider = Redactor()
    assert hider.redact("closed with 1008 t0ken-9 7", ["t0ken-9", "7", "", "close"]) == "***d with 1008 *** 7"
    assert hider.redact("nothing known") == "nothing known"
    assert hider.redact("GET /a%20b%2fc", ["a b/c"]) == "GET /***", "as it stands in a URL"
    assert Redactor(["a.c+", "aXc"]).redact("abc a.c+") == "abc ***", "no secret is a pattern"
    assert Redactor(["long-secret", "long-secret-and-more"]).redact("long-secret-and-more") == "***"


def test_the_text_around_a_field_is_a_secret_too():
    target = Target(url="ws://h", headers=(("Authorization", "Bearer pre-{feed.token}-p0st"),))
    assert Redactor(target.secrets()).redact("pre-1234-p0st", ["1234"]) == "*********"


@pytest.mark.parametrize("user_info", ["pa55word", "joe:pa55word", "joe:pa55word@x", ":pa55word"])
def test_user_info_is_hidden(user_info):
    public = Target(url=f"ws://{user_info}@h:81/x").redacted()
    assert public.url == f"ws://{REDACTED}@h:81/x"


@pytest.mark.parametrize(
    "url",
    [
        "joe:pa55word@h/?token=t0ken",
        "h:80/?token=t0ken",
        "http://joe:pa55word@h/?token=t0ken",
        "ws://joe:pa55word@h:x/?token=t0ken",
        "ws://joe:pa55word@[h/?token=t0ken",
        "ws://joe:pa55word@/?token=t0ken",
        "ws://joe:pa55word@h:0/?token=t0ken",
        "ws://joe:pa55word@h:99999/?token=t0ken",
        "ws://joe:pa55word@a..b/?token=t0ken",
        "ws://joe:pa55word@h\u2100x/?token=t0ken",
        "ws://joe:pa55word@h/?token=t0ken#x",
        "ws://joe:pa55word@h/?token=t0ken x",
    ],
)
def test_a_complaint_about_a_url_tells_no_secret(url, capsys):
    with pytest.raises(PlanError) as caught:
        make_plan(url)
    assert_no_secret(str(caught.value))
    assert_no_secret(repr(caught.value))
    assert main([url]) == 2
    told = capsys.readouterr()
    assert_no_secret(told.out + told.err)


@pytest.mark.parametrize(
    "header",
    [
        "Authorization Bearer b3arer",
        "Authorization Bearer b3arer: x",
        "Authorization: b3arer\n",
        "Authorization: b3arer\x00",
        "Host b3arer: x",
    ],
)
def test_a_complaint_about_a_header_tells_no_secret(header):
    try:
        make_plan("ws://h", header=header)
    except PlanError as error:
        assert_no_secret(str(error))  # some are put right instead


def test_explain_tells_no_secret(capsys):
    headers = [word for header in HEADERS for word in ("-H", header)]
    assert main([url_with_secrets("ws://h/x"), *headers, "-m", "payl0ad", "--explain"]) == 0
    told = capsys.readouterr()
    assert_no_secret(told.out + told.err)
    assert "payl0ad" not in told.out
    assert "red" in told.out


async def _run_program(*arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ws_load_test", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("behaviour", [behaviors.echoes, behaviors.rejects(403)], ids=["opens", "refused"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "report"])
def test_a_run_gives_credentials_to_the_target_alone(behaviour, as_json, tmp_path):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviour) as server:
        headers = [word for header in HEADERS[1:] for word in ("-H", header)]
        arguments = [url_with_secrets(server.url), *headers, "-n", "2", "-w", "1", "-v", "debug", "-o", str(path)]
        code, out, err = asyncio.run(_run_program(*arguments, *(["--json"] if as_json else [])))
        request = server.seen.requests[0]
    assert code == (0 if behaviour is behaviors.echoes else 3)
    assert "access_token=t0ken" in request.target
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"joe:pa55word").decode()
    assert request.headers["cookie"] == "id=c00kie"
    recording = path.read_text()
    for text in (out, err, recording):
        assert_no_secret(text)
    assert "target" in err, "debug tells the plan"
    for line in recording.splitlines():
        json.loads(line)


@pytest.mark.real_programs
def test_secrets_are_not_on_the_command_line_of_a_worker(monkeypatch):
    from ws_load_test.fleet import local

    seen = []
    start = asyncio.create_subprocess_exec

    async def spy(*arguments, **options):
        seen.append((arguments, options))
        return await start(*arguments, **options)

    monkeypatch.setattr(local.asyncio, "create_subprocess_exec", spy)
    from ws_load_test import run

    with FaultyServer(behaviors.echoes) as server:
        run(make_plan(url_with_secrets(server.url), header=HEADERS, messages=1, workers=1))
    assert seen
    assert_no_secret(repr(seen))


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ('{"login": {"user": "joe", "password": "pa55"}}', '{"login": {"user": "joe", "password": "***"}}'),
        ('{"token":"abc","room":7,"author":"me"}', '{"token":"***","room":7,"author":"me"}'),
        ("password=geheim&x=1", "password=***&x=1"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("{'api_key': 'k3y', n: 1}", "{'api_key': '***', n: 1}"),
        ('{"accessToken":"a\\"b", "session_id": 123}', '{"accessToken":"***", "session_id": ***}'),
        ("say Bearer abcdefghijkl to eyJhbGciOiJIUzI1NiJ9.eyJz.x", "say *** to ***"),
        ('{"token": null, "auth": true}', '{"token": null, "auth": true}'),
        ('{"password": "{feed.pw}"}', '{"password": "{feed.pw}"}'),
        ("PING", "PING"),
        ("Q7rT" * 300, "Q7rT" * 300),
    ],
)
def test_what_looks_like_a_secret_in_a_payload_is_hidden(payload, shown):
    assert public_payload(payload) == shown


def test_a_number_of_tokens_is_no_token():
    counts = '{"usage": {"output_tokens": 20, "tokens":1234567}}'
    assert public_payload(counts) == counts
    for secret in ('{"tokens": "abcd"}', '{"token": 1234}', '{"tokens": 123456789}', '{"tokens": 12ab}'):
        assert "***" in public_payload(secret), secret


@pytest.mark.parametrize("text", ["a", '"', "token", "token=", "a_", "eyJ", "bearer ", " ", '"token":"' + '\\"' * 9])
def test_hiding_takes_time_in_proportion_to_the_payload(text):
    started = time.process_time()
    public_payload(text * (65_536 // len(text)))
    assert time.process_time() - started < 2


@pytest.mark.parametrize("scheme", ["ws://", "tcp://", "tls://", ""])
def test_the_address_of_a_cluster_is_repeated_without_user_info(scheme, capsys):
    assert main(["ws://h", "--cluster", f"{scheme}joe:t0ken@h:8786"]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert told.startswith("ws-load-test: --cluster: ")
    assert "t0ken" not in told
    assert "joe" not in told
