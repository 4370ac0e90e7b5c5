"""Credentials reach the target, and nothing that is written, shown or said."""

import asyncio
import base64
import json
import sys

import msgspec
import pytest

from ws_load_test import Plan, PlanError
from ws_load_test.cli import main
from ws_load_test.plan import HIDDEN, Target
from ws_load_test.testing import FaultyServer, behaviours

SECRETS = ("pa55word", "t0ken", "k3y", "b3arer", "c00kie", "h3ader", "pa%35word")
HEADERS = ["Authorization: Bearer b3arer", "Cookie: id=c00kie", "X-Api-Key: h3ader", "X-Colour: red"]


def url_with_secrets(url):
    return url.replace("ws://", "ws://joe:pa55word@") + "?room=7&access_token=t0ken&Api-Key=k3y"


def assert_no_secret(text):
    for secret in SECRETS:
        assert secret not in text, f"{secret} in {text}"


def test_a_public_plan_has_no_secrets():
    plan = Plan.of(url_with_secrets("ws://h/x"), header=HEADERS, message="payl0ad").public()
    for text in (msgspec.json.encode(plan).decode(), repr(plan), str(plan.describe())):
        assert_no_secret(text)
        assert "payl0ad" not in text
        assert "room=7" in text
    assert plan.target.url == f"ws://{HIDDEN}@h/x?room=7&access_token={HIDDEN}&Api-Key={HIDDEN}"
    hidden = tuple((name, HIDDEN) for name in ("Authorization", "Cookie", "X-Api-Key"))
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
    assert_no_secret(Target(url=f"wss://h/?{query}").public().url)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "PROXY-AUTHORIZATION", "cookie", "X-Auth", "X-CSRF-Token", "Api-Key", "ApiKey", "X-Secret"],
)
def test_headers_that_carry_credentials_are_hidden(name):
    assert Target(url="ws://h", headers=((name, "h3ader"),)).public().headers == ((name, HIDDEN),)


def test_what_is_no_secret_stays_as_it_was():
    target = Target(url="wss://h:8/a/b?room=7&q=a%20b", headers=(("Origin", "http://x"),), subprotocols=("p",))
    assert target.public() == target


@pytest.mark.parametrize("user_info", ["pa55word", "joe:pa55word", "joe:pa55word@x", ":pa55word"])
def test_user_info_is_hidden(user_info):
    public = Target(url=f"ws://{user_info}@h:81/x").public()
    assert public.url == f"ws://{HIDDEN}@h:81/x"


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
        Plan.of(url)
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
        Plan.of("ws://h", header=header)
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


@pytest.mark.parametrize("behaviour", [behaviours.echoes, behaviours.rejects(403)], ids=["opens", "refused"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "report"])
def test_a_run_gives_the_target_its_credentials_and_nobody_else(behaviour, as_json, tmp_path):
    path = tmp_path / "run.jsonl"
    with FaultyServer(behaviour) as server:
        headers = [word for header in HEADERS[1:] for word in ("-H", header)]
        arguments = [url_with_secrets(server.url), *headers, "-n", "2", "-w", "1", "-v", "debug", "-o", str(path)]
        code, out, err = asyncio.run(_run_program(*arguments, *(["--json"] if as_json else [])))
        request = server.seen.requests[0]
    assert code == (0 if behaviour is behaviours.echoes else 3)
    assert "access_token=t0ken" in request.target
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"joe:pa55word").decode()
    assert request.headers["cookie"] == "id=c00kie"
    recording = path.read_text()
    for text in (out, err, recording):
        assert_no_secret(text)
    assert "target" in err, "debug tells the plan"
    for line in recording.splitlines():
        json.loads(line)


def test_secrets_are_not_on_the_command_line_of_a_worker(monkeypatch):
    from ws_load_test.fleet import local

    seen = []
    start = asyncio.create_subprocess_exec

    async def spy(*arguments, **options):
        seen.append((arguments, options))
        return await start(*arguments, **options)

    monkeypatch.setattr(local.asyncio, "create_subprocess_exec", spy)
    from ws_load_test import run

    with FaultyServer(behaviours.echoes) as server:
        run(Plan.of(url_with_secrets(server.url), header=HEADERS, messages=1, workers=1))
    assert seen
    assert_no_secret(repr(seen))
