"""Fields with a name of the user's: ``{env.NAME}``, whose value is a secret, and ``{my.NAME}``."""

import json
import random

import msgspec
import pytest

from ws_load_test.common.errors import PlanError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages import MessageGenerator, Template
from ws_load_test.messages.captured import CAPTURED, Captured
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.plan.command_line import command_line
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.options.read_plan import make_plan

URL = "ws://localhost:3001/"
SECRET = 'sesame "open" {seq}'


def problems(**options):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    return [str(problem) for problem in caught.value.problems]


def test_a_variable_of_the_environment_is_filled_in_and_read_no_further(monkeypatch):
    monkeypatch.setenv("PHRASE", SECRET)
    plan = make_plan(URL, message='{"a": {env.PHRASE:json}, "n": {seq}, "raw": {env.PHRASE}}')
    monkeypatch.delenv("PHRASE")
    text = MessageGenerator(plan.message, Shard(0, 1)).payloads(0).next().decode()
    assert text == f'{{"a": {json.dumps(SECRET)}, "n": 0, "raw": {SECRET}}}'
    assert plan.message.fields == ("env.PHRASE", "seq")
    assert plan.message.max_bytes >= len(text)


def test_its_value_reaches_every_text_that_opens_a_session(monkeypatch):
    monkeypatch.setenv("KEY", "k 1")
    plan = make_plan(URL + "?key={env.KEY}", header="X-Key: {env.KEY}", first_message="{env.KEY}", rate=1)
    source = MessageGenerator(plan.message, Shard(0, 1))
    assert [source.render(text, 0) for text in (*plan.target.templates, "{env.KEY}")] == [
        f"{URL}?key=k 1",
        "k 1",
        "k 1",
    ]


def test_its_value_is_in_nothing_that_is_shown_or_recorded(monkeypatch):
    monkeypatch.setenv("CODE", "opensesame")
    plan = make_plan(
        URL + "room/{env.CODE}", bearer="{env.CODE}", header=["X-Way: {env.CODE}"], message="{env.CODE}", rate=1
    )
    assert plan.message.environment == {"CODE": "opensesame"}
    shown = [str(describe_plan(plan)), command_line(plan), msgspec.json.encode(plan.redacted()).decode()]
    assert not [text for text in shown if "opensesame" in text]
    assert all("{env.CODE}" in text for text in shown)


def test_a_value_that_no_request_can_carry_is_a_problem_that_does_not_quote_it(monkeypatch):
    monkeypatch.setenv("LINES", "one\ntwo")
    for options in ({"header": "X-A: {env.LINES}"}, {"bearer": "{env.LINES}"}, {"origin": "http://{env.LINES}"}):
        (problem,) = problems(**options)
        assert "filled in from the environment ({env.LINES}), " in problem
        assert "two" not in problem
    with pytest.raises(PlanError, match=r"URL: filled in from the environment \({env.LINES}\), it is no URL"):
        make_plan("ws://{env.LINES}/")


def test_a_missing_variable_is_a_problem_of_each_option_that_names_it(monkeypatch):
    monkeypatch.delenv("ABSENT", raising=False)
    assert problems(message="{env.ABSENT}", bearer="{env.ABSENT}") == [
        "--message: {env.ABSENT}: the environment has no variable ABSENT; set it before the run",
        "--bearer: {env.ABSENT}: the environment has no variable ABSENT; set it before the run",
    ]


@pytest.mark.parametrize("text", ["{env.}", "{env.a-b}", "{env.A:xml}", "{my.}", "{my.1}", "{my.a:b}"])
def test_a_malformed_name_is_a_problem(text):
    (problem,) = Template(text).problems
    assert problem.startswith(f"{text}: write ")


def test_a_capture_is_of_a_scenario_alone():
    (problem,) = problems(message="{my.sid}")
    assert problem == (
        "--message: {my.sid} is what a session of a scenario has captured; write roles in a plan file for that"
    )


def test_a_capture_is_that_of_the_session_whose_message_is_rendered():
    values, captured = FieldValues(random.Random(1)), Captured()
    values.bind(CAPTURED, lambda: captured)
    template = Template("{my.sid}/{my.other-one}/{my.sid:json}")
    assert not template.problems
    render = template.compile(values)
    assert render(0, 0, ()) == '//""'
    captured.values = {"sid": 'a"b', "other-one": "7"}
    assert render(0, 0, ()) == 'a"b/7/"a\\"b"'
    captured.values = {"sid": "c"}
    assert render(1, 1, ()) == 'c//"c"'
