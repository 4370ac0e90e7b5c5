"""No secret of a capture is in the plan file, in a file beside it, or in what the program prints."""

import json
import tomllib
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.captures import capture
from ws_load_test.importing.import_capture import import_capture
from ws_load_test.importing.secret_values import forms_of, is_secret

HEAD = st.text("abcdefghijkmnpqrstuvwxyz", min_size=3, max_size=8)
TAIL = st.text('ABCXYZ0123456789-_./+=~"\\ éß€\n{}$', min_size=3, max_size=20)
SECRET = st.builds(lambda head, tail: f"{head}7Q{tail}9", HEAD, TAIL)
"""Passwords with everything that JSON, URLs, TOML and patterns treat apart; long enough to be no part of a word."""


def in_url(secret):
    return [], {"url": f"wss://host.example/ws?v=1&token={quote(secret, safe='')}"}


def in_header(secret):
    return [], {"headers": [("Authorization", f"Bearer {secret}")]}


def in_cookie(secret):
    return [], {"headers": [("Cookie", f"a=b; sid={secret}")]}


def in_sent(secret):
    return [(">", 0.1, {"op": "login", "user": "me", "password": secret})], {}


def in_sent_deep(secret):
    return [(">", 0.1, {"op": "login", "auth": {"list": [{"api_key": secret}]}})], {}


def in_json_in_a_string(secret):
    return [(">", 0.1, {"op": "login", "data": json.dumps({"accessToken": secret})})], {}


def behind_a_prefix(secret):
    return [(">", 0.1, "40" + json.dumps({"token": secret}))], {}


def in_received_alone(secret):
    return [(">", 0.1, {"op": "login"}), ("<", 0.1, {"op": "in", "token": secret})], {}


def in_received_and_sent(secret):
    said = [("<", 0.1, {"op": "hello", "session_token": secret}), (">", 0.1, {"op": "resume", "key": secret})]
    return said, {}


def in_received_type(secret):
    return [("<", 0.1, {"op": "x", "token": secret}), ("<", 0.1, {"op": secret})], {}


def in_many_messages(secret):
    say = {"op": "say", "text": f"my token is {secret}", "token": secret}
    return [(">", 1, {**say, "id": number}) for number in range(4)], {}


def in_bytes(secret):
    head = {"headers": [("X-Api-Key", secret)]}
    return [(">", 0.1, b"\x00\xff\x01" + secret.encode() + b"\x02")], head


def in_a_key(secret):
    return [("<", 0.1, {"token": secret}), ("<", 0.1, {secret: {}}), (">", 0.1, {"op": "take", secret: 1})], {}


PLACES = [
    in_url, in_header, in_cookie, in_sent, in_sent_deep, in_json_in_a_string, behind_a_prefix, in_received_alone,
    in_received_and_sent, in_received_type, in_many_messages, in_bytes, in_a_key,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=10)
@given(secret=SECRET)
def test_no_secret_is_in_the_plan_file(place, secret):
    messages, options = place(secret)
    filler = [(">", 0.1, {"op": "ask", "id": 1}), ("<", 0.1, {"op": "told", "id": 1})]
    imported = import_capture(capture(*messages, *filler, **options))
    everything = imported.text.encode() + b"".join(imported.files.values())
    decoded = json.dumps(tomllib.loads(imported.text), ensure_ascii=False)
    for form in {secret, *forms_of(secret)}:
        assert form.encode() not in everything
        assert form not in decoded


def test_the_file_names_the_variables_and_where_their_values_are():
    told = capture(
        (">", 0.1, {"op": "login", "password": "hunter2hunter2"}),
        url="wss://host.example/ws?access_token=abc123def456",
        headers=[("Authorization", "Bearer tokentoken99"), ("Cookie", "sid=1")],
    )
    imported = import_capture(told)
    assert imported.variables == ["ACCESS_TOKEN", "TOKEN", "COOKIE", "PASSWORD"]
    plan = tomllib.loads(imported.text)
    assert plan["url"] == "wss://host.example/ws?access_token={env.ACCESS_TOKEN}"
    assert plan["header"] == ["Authorization: Bearer {env.TOKEN}", "Cookie: {env.COOKIE}"]
    assert '"password": "{env.PASSWORD}"' in plan["role"]["user"]["steps"][0]["send"]
    assert '#   ACCESS_TOKEN: "access_token" of the URL\n' in imported.text


def test_of_json_in_a_string_the_secret_alone_is_replaced():
    told = capture((">", 0.1, {"op": "login", "data": json.dumps({"user": "me", "accessToken": "abc123def456"})}))
    (step,) = tomllib.loads(import_capture(told).text)["role"]["user"]["steps"]
    data = json.loads(json.loads(step["send"])["data"])
    assert data == {"user": "me", "accessToken": "{env.ACCESS_TOKEN}"}


def test_a_secret_with_escapes_is_written_as_json():
    told = capture((">", 0.1, {"op": "login", "password": 'abc"def\\123', "n": 1}))
    imported = import_capture(told)
    (step,) = tomllib.loads(imported.text)["role"]["user"]["steps"]
    assert step["send"] == '{"op": "login", "password": {env.PASSWORD:json}, "n": 1}'
    assert imported.variables == ["PASSWORD"]


def test_one_secret_has_one_variable_wherever_it_stands():
    told = capture((">", 0.1, {"auth": "abc123def456"}), url="wss://host.example/ws?token=abc123def456")
    assert import_capture(told).variables == ["TOKEN"]


def test_two_secrets_of_a_name_have_two():
    told = capture((">", 0.1, {"a": {"token": "abc123def456"}, "b": {"token": "fed654cba321"}}))
    assert import_capture(told).variables == ["TOKEN", "TOKEN_2"]


def test_a_variable_of_every_environment_is_not_taken():
    told = capture((">", 0.1, {"pwd": "abc123def456"}), url="wss://me:secretsecret@host.example/ws")
    imported = import_capture(told)
    assert "WS_PWD" in imported.variables
    assert tomllib.loads(imported.text)["user"] == "{env.WS_USER}:{env.WS_PASSWORD}"
    assert tomllib.loads(imported.text)["url"] == "wss://host.example/ws"


def test_hidden_secrets_of_a_session_file_become_variables_of_their_own():
    told = capture(
        (">", 0.1, {"token": "***"}),
        url="wss://host.example/ws?token=***",
        headers=[("Authorization", "Bearer ***")],
    )
    imported = import_capture(told)
    assert "***" not in imported.text
    assert len(imported.variables) == 3


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("password", "x", True), ("accessToken", "abc", True), ("api_key", "1", True), ("id", "abc", False),
        ("author", "Poe", False), ("output_tokens", "20", False), ("tokenType", "bearer", False),
        ("text", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", True), ("text", "Bearer abcdefgh", True),
        ("authenticated", "true", False), ("[0]", "token", False),
        ("op", "auth", False), ("token", "", False),
    ],
)  # fmt: skip
def test_a_secret_is_recognized_by_its_name_or_form(name, text, expected):
    assert is_secret(name, text) is expected
