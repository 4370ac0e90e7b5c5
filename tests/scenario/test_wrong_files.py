"""Plan files with a mistake: each is refused in one sentence, with the line that ``#!`` marks."""

import textwrap

import pytest

from ws_load_test.common.errors import PlanError, UsageError
from ws_load_test.plan.options.read_plan import make_plan, read_plan, read_plan_file

HEAD = """
url = "ws://localhost:3001"
connections = 100
"""
USER = """
[role.user]
[[role.user.open]]
send = '{"op": "join", "id": {seq}}'
await = "json:id={seq}"
capture = { sid = "json:sid" }
[[role.user.steps]]
wait = "1s"
send = "hi"
"""


def role(text):
    return f"{HEAD}[role.user]\n{text}"


def step(text):
    return role(f"[[role.user.steps]]\nwait = '1s'\n{text}")


def reaction(text):
    return role(f"[[role.user.on]]\nwhen = 'json:a'\n{text}")


def publish(audience):
    return f"[[role.user.steps]]\nwait = '1s'\nsend = '{{marker}}'\ndeliver-to = '{audience}'"


CASES = {
    # --- The table and its roles -----------------------------------------------------------------------------------
    "roles of no table": (f"{HEAD}role = 5 #!", "role: takes a table for each role, not a number"),
    "no roles": (f"{HEAD}role = {{}} #!", "role: names no role; write for example [role.user]"),
    "a role of no table": (f"{HEAD}role.user = 'x' #!", "role.user: takes a table such as [role.user], not a str"),
    "an empty role": (f"{HEAD}[role.user] #!", "role.user: does nothing; give it steps, open, on, timer or like"),
    "a role's name": (f"{HEAD}[role.'a b'] #!", 'role.a b: "a b" is no name of a role'),
    "an unknown key of a role": (role("stey = '1m' #!\n[[role.user.on]]\nwhen = 'json:a'"), "did you mean stay?"),
    "a key of another tool": (role("users = 5 #!\n[[role.user.on]]\nwhen = 'json:a'"), "did you mean sessions?"),
    "an unknown key of a step": (step("awiat = 'json:a' #!"), "there is no such key; did you mean await?"),
    "an unknown key of a reaction": (reaction("silance = '3s' #!"), "did you mean silence?"),
    "an unknown key of a timer": (
        role("[[role.user.timer]]\nevery = '1s'\nsend = 'x'\nweight = 3 #!"),
        "timer[0].weight: there is no such key",
    ),
    "steps in single brackets": (role("[role.user.steps] #!\nsend = 'x'"), "is one table; it takes a list"),
    "steps of no tables": (role("steps = 'x' #!"), "role.user.steps: takes tables, not a str"),
    "a step of no table": (
        role("steps = [\n { wait = '1s' },\n 7 #!\n]"),
        "role.user.steps[1]: takes a table, not a num",
    ),
    # --- Numbers of sessions ---------------------------------------------------------------------------------------
    "share beside sessions": (role("share = 1\nsessions = 5 #!\n[[role.user.on]]\nwhen = 'json:a'"), "beside share"),
    "shares and sessions in two roles": (
        f"{HEAD}[role.a]\nshare = 2 #!\n[[role.a.on]]\nwhen = 'json:a'\n[role.b]\nsessions = 3\nlike = 'a'",
        "role.a.share: role b has sessions, so that there is nothing to share",
    ),
    "shares of nothing": (
        "url = 'ws://h'\n[role.a] #!\nshare = 1\n[[role.a.on]]\nwhen = 'json:a'",
        "role: has roles that share the connections, and nothing says how many; add connections",
    ),
    "a share too small": (
        f"{HEAD}{USER}[role.b]\nshare = 0.001 #!\n[[role.b.on]]\nwhen = 'json:a'",
        "has no session: its share is too small of 100 connections",
    ),
    "a share of 0": (role("share = 0 #!\n[[role.user.on]]\nwhen = 'json:a'"), '"0" is out of range'),
    "connections that are not the sessions": (
        "url = 'ws://h'\nconnections = 9 #!\n[role.a]\nsessions = 8\n[[role.a.on]]\nwhen = 'json:a'",
        "connections: 9 are not the 8 sessions that the roles have together",
    ),
    "arrivals without a bound": (
        role("arrive = '1/s' #!\nstay = '1s'\n[[role.user.on]]\nwhen = 'json:a'"),
        "arrive: needs a bound on the sessions at the same time; add at-most",
    ),
    "arrivals that never leave": (
        role("arrive = '1/s' #!\nat-most = 9\n[[role.user.on]]\nwhen = 'json:a'").replace("connections = 100", ""),
        "brings sessions that never leave; add stay or iterations",
    ),
    "arrivals with sessions": (
        role("arrive = '1/s'\nat-most = 100\nstay = '1s'\nsessions = 5 #!\n[[role.user.on]]\nwhen = 'json:a'"),
        "sessions: cannot stand beside arrive: at-most says",
    ),
    "a bound without arrivals": (role("at-most = 100 #!\n[[role.user.on]]\nwhen = 'json:a'"), "add arrive"),
    "a seed of nothing random": (
        role("arrive = '1/s'\nat-most = 100\nstay = '1s'\nseed = 5 #!\n[[role.user.on]]\nwhen = 'json:a'"),
        'seed: only arrivals = "poisson" is random',
    ),
    "a rate of no steps": (role("rate = '5/s' #!\n[[role.user.on]]\nwhen = 'json:a'"), "rate: is of iterations"),
    "iterations of no steps": (role("iterations = 5 #!\n[[role.user.on]]\nwhen = 'json:a'"), "iterations: is of iter"),
    "iterations the wrong way round": (
        role("iterations = '6..2' #!\n[[role.user.steps]]\nwait = '1s'"),
        '"6..2": the smaller number comes first; write 2..6',
    ),
    "iterations that are none": (role("iterations = 0 #!\n[[role.user.steps]]\nwait = '1s'"), '"0" is no number of it'),
    "a stay of 0": (role("stay = '0s' #!\n[[role.user.steps]]\nwait = '1s'"), "stay: 0 is too short"),
    "a rate that is none": (role("rate = 'fast' #!\n[[role.user.steps]]\nwait = '1s'"), '"fast" is not a rate'),
    "steps without end": (
        role("[[role.user.steps]] #!\nsend = 'x'"),
        "role.user.steps: neither wait nor await, so that iterations would follow each other without end",
    ),
    # --- Like ------------------------------------------------------------------------------------------------------
    "like an unknown role": (f"{HEAD}{USER}[role.b]\nlike = 'usr' #!", 'there is no role "usr"; did you mean user?'),
    "like itself": (role("like = 'user' #!"), '"user" is the role itself'),
    "like each other": (
        f"{HEAD}[role.a]\nlike = 'b'\n[role.b]\nlike = 'a' #!",
        '"a" leads back to it: a → b → a',
    ),
    # --- Steps -----------------------------------------------------------------------------------------------------
    "a step that does nothing": (
        role("[[role.user.steps]] #!\nname = 'x'\n[[role.user.steps]]\nwait = '1s'"),
        "role.user.steps[0]: does nothing; add send, await, wait or close",
    ),
    "a wait": (step("[[role.user.steps]]\nwait = 'soon' #!"), 'wait: "soon" is no time to wait; write for example 2s'),
    "a wait the wrong way round": (step("[[role.user.steps]]\nwait = '5s..1s' #!"), "write 1s..5s"),
    "a wait of two parameters": (step("[[role.user.steps]]\nwait = 'normal:5s' #!"), "no time to wait"),
    "a message of a wrong type": (step("send = 5 #!"), "steps[0].send: a number is not text"),
    "a file that is not there": (step("send = '@no/such/file' #!"), 'send: cannot read "no/such/file"'),
    "a check": (step("await = 'id={seq}' #!"), '"id={seq}" is no check; write contains:TEXT'),
    "one check of several": (step("await = ['json:a', 'regex:('] #!"), 'await: "(" is no regular expression'),
    "an expectation of nothing": (
        step("expect = 'json:ok' #!"),
        "is of a message that comes, and the step awaits none",
    ),
    "a capture of nothing": (step("capture = { a = 'json:a' } #!"), "awaits none; add await or until"),
    "a time-out of nothing": (step("timeout = '2s' #!"), "timeout: is of a message that comes"),
    "a first of no stream": (step("send = 'x'\nawait = 'json:a'\nfirst = 'json:b' #!"), "is of a streamed answer"),
    "a count of no stream": (step("send = 'x'\nawait = 'json:a'\ncount = 'json:b' #!"), "add until"),
    "a capture without a place": (
        step("await = 'json:a'\ncapture = { a = 'id' } #!"),
        'capture: a: "id" is no place of a value; write json:PATH',
    ),
    "a capture without a group": (step("await = 'json:a'\ncapture = { a = 'regex:x' } #!"), "has no group"),
    "captures of no table": (step("await = 'json:a'\ncapture = 'json:a' #!"), "takes a table such as { id ="),
    "binary without a message": (step("binary = true #!"), "binary: there is no message; add send"),
    "a weight alone": (
        step("[[role.user.steps]]\nsend = 'x'\nweight = 3 #!"),
        "is that of the only step of its choice",
    ),
    "a weight of 0": (step("weight = 0 #!\n[[role.user.steps]]\nweight = 1\nsend = 'x'"), '"0" is out of range'),
    "a close code": (step("close = 99 #!"), "99 is no close code"),
    "a close code that is never sent": (step("close = 1006 #!"), "1006 stands for a connection that was lost"),
    "a step behind the close": (
        step("close = 1000\n[[role.user.steps]] #!\nsend = 'x'"),
        "role.user.steps[1]: never comes: step 0 closes the session",
    ),
    "a name": (step("name = 'a/b' #!"), '"a/b" is no name'),
    "a path in a name": (step("name = 'a.b' #!"), '"a.b" is no name'),
    # --- Checks that cannot match ----------------------------------------------------------------------------------
    "the number of a message without it": (
        step("send = 'x'\nawait = 'json:id={seq}' #!"),
        "await: can match no message: {seq} is the number of the message that is sent, which does not have it",
    ),
    "the number of no message": (
        step("await = 'json:id={seq}' #!"),
        "can match no message: {seq} is the number of the message that was sent before, and none has it",
    ),
    "two values at one place": (
        step("await = ['json:a=1', 'json:a=2'] #!"),
        "can match no message: json:a cannot be 1 and 2",
    ),
    "a random value": (step("send = '{uuid}'\nawait = 'json:a={uuid}' #!"), "{uuid} has another value in each text"),
    "a marker in a check": (step("await = 'contains:{marker}' #!"), "{marker} is looked for in every message"),
    "the number in a reaction": (reaction("[[role.user.on]]\nwhen = 'json:b={seq}' #!"), "a reaction follows none"),
    "a reaction behind the same one": (
        reaction("[[role.user.on]]\nwhen = ['json:b', 'json:a'] #!"),
        "never comes to it: on[0] before it takes the same messages",
    ),
    # --- Reactions and timers --------------------------------------------------------------------------------------
    "a reaction to nothing": (role("[[role.user.on]] #!\nname = 'x'"), "on[0]: has no check; add when"),
    "two reactions of a name": (
        reaction("name = 'x'\n[[role.user.on]]\nwhen = 'json:b'\nname = 'x' #!"),
        'on[1].name: "x" is the name of on[0] as well',
    ),
    "per without a sequence": (reaction("per = 'json:b' #!"), "per: has no effect without sequence"),
    "a restart of nothing": (
        reaction("name = 'tick'\nsequence = 'json:n'\n[[role.user.on]]\nwhen = 'json:b'\nrestarts = 'tock' #!"),
        'there is no reaction "tock" in role user; did you mean tick?',
    ),
    "a restart without numbers": (
        reaction("name = 'tick'\n[[role.user.on]]\nwhen = 'json:b'\nrestarts = 'tick' #!"),
        '"tick" has no sequence',
    ),
    "a marker in a reaction": (reaction("send = '{marker}' #!"), "{marker} stands in a step that has deliver-to"),
    "a timer that is never due": (
        role("[[role.user.timer]] #!\nsend = 'x'"),
        "timer[0]: says not how often; add every",
    ),
    "a timer that sends nothing": (role("[[role.user.timer]] #!\nevery = '1s'"), "timer[0]: sends nothing; add send"),
    # --- Deliveries ------------------------------------------------------------------------------------------------
    "a marker for nobody": (step("send = '{marker}' #!"), "{marker} is for deliveries; add deliver-to"),
    "deliveries without a marker": (
        step("send = 'x'\ndeliver-to = 'user' #!"),
        "recognized by {marker}, which the mes",
    ),
    "deliveries of nothing": (step("deliver-to = 'user' #!"), "there is no message; add send"),
    "an unknown audience": (step("send = '{marker}'\ndeliver-to = 'usr' #!"), 'no role "usr"; did you mean user?'),
    "two audiences": (
        f"{HEAD}{USER}{publish('user')}\n{publish('b')} #!\n[role.b]\nlike = 'user'",
        '"b" would be a second audience beside "user"; a scenario has one',
    ),
    "an audience that arrives": (
        f"url = 'ws://h'\n[role.user]\narrive = '1/s'\nat-most = 5\nstay = '1s'\n{publish('user')} #!",
        "the sessions of user arrive and leave, so that nothing says how many must receive it",
    ),
    "self-delivery of nothing": (step("send = 'x'\nself-delivery = 'expected' #!"), "add deliver-to"),
    "a word for self-delivery": (
        step("send = '{marker}'\ndeliver-to = 'user'\nself-delivery = 'no' #!"),
        '"no" is not one of either, expected, excluded',
    ),
    # --- Fields ----------------------------------------------------------------------------------------------------
    "a room without rooms": (step("send = '{room}' #!"), "send: {room} has no name without rooms; add rooms = 10"),
    "a column without a feed": (step("send = '{feed.name}' #!"), '{feed.name} needs a feed; add feed = "FILE"'),
    "a variable that is not there": (step("send = '{env.NO_SUCH_VARIABLE}' #!"), "has no variable NO_SUCH_VARIABLE"),
    "a capture before it is taken": (
        step("[[role.user.steps]]\nsend = '{my.a}' #!\n[[role.user.steps]]\nawait = 'json:a'\ncapture.a = 'json:a'"),
        "steps[1].send: {my.a} is used before a step of role user captures it",
    ),
    "a capture that nothing takes": (
        f"{HEAD}{USER}[[role.user.steps]]\nsend = '{{my.sie}}' #!",
        "{my.sie}: nothing in role user captures it; did you mean {my.sid}?",
    ),
    "a capture in the URL": (
        f"{USER}".replace("[role.user]", "connections = 1\nurl = 'ws://h/{my.sid}' #!\n[role.user]", 1),
        "url: {my.sid}: a session captures nothing before it is open",
    ),
    # --- Options beside roles --------------------------------------------------------------------------------------
    "a message beside roles": (
        f"message = 'x' #!\n{HEAD}{USER}",
        "message: is not of a plan with roles: a scenario sends",
    ),
    "a rate beside roles": (f"rate = 5 #!\n{HEAD}{USER}", "rate: is not of a plan with roles: a role says itself"),
    "the compiled engine": (f"engine = 'native' #!\n{HEAD}{USER}", "engine: native is not of a plan with roles"),
    "the kernel's instant": (f"reply-instant = 'kernel' #!\n{HEAD}{USER}", "reply-instant: kernel is not of a plan"),
    "subscribers beside roles": (
        f"subscribers = 5 #!\n{HEAD}{USER}".replace("connections = 100", ""),
        "subscribers: is not of a plan with roles: a scenario's audience is a role",
    ),
    "an option of the file": (f"duration = 'x' #!\n{HEAD}{USER}", 'duration: "x" is not a duration'),
    "an unknown option": (f"durration = 'x' #!\n{HEAD}{USER}", "there is no such option; did you mean duration?"),
    "more rooms than members": (
        f"rooms = 200 #!\n{HEAD}{USER}[[role.user.steps]]\nsend = '{{marker}}'\ndeliver-to = 'user'",
        "rooms: 200 rooms are more than the 100 sessions of user",
    ),
    "a recovery without deliveries": (
        f"recovery = 'expected' #!\nreconnect = 'now'\n{HEAD}{USER}",
        "recovery: is of deliveries, and no step has deliver-to",
    ),
    "Python beside steps": (
        role("python = 'a.py:b'\n[[role.user.steps]] #!\nwait = '1s'"),
        "steps: cannot stand beside python",
    ),
    "a coroutine": (role("python = 'a.py:b' #!"), "python: is carried out by no engine of this version"),
    "no coroutine": (role("python = 'a.py' #!"), '"a.py" names no coroutine'),
}


def refusal(path, text):
    path.write_text(textwrap.dedent(text))
    with pytest.raises(PlanError) as caught:
        read_plan(read_plan_file(str(path)))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_file_is_refused_in_one_sentence_with_its_line(name, tmp_path):
    text, words = CASES[name]
    path = tmp_path / "plan.toml"
    found = refusal(path, text)
    assert len(found) == 1, found
    (line,) = (number for number, one in enumerate(text.splitlines(), 1) if "#!" in one)
    assert found[0].startswith(f"{path}:{line}: "), found[0]
    assert words in found[0]
    assert "\n" not in found[0]


def test_every_problem_of_a_file_is_reported_at_once_in_its_order(tmp_path):
    found = refusal(
        tmp_path / "plan.toml",
        """url = "ws://h"
        duration = "soon"
        [role.reader]
        shares = 3
        [role.writer]
        like = "nobody"
        [[role.writer.steps]]
        wait = "1s"
        send = "{room} {my.x}"
        await = "json"
        """,
    )
    assert [one.split(": ")[0].rpartition(":")[2] + ": " + one.split(": ")[1] for one in found] == [
        "2: duration",
        "3: role",
        "4: role.reader.shares",
        "6: role.writer.like",
        "9: role.writer.steps[0].send",
        "10: role.writer.steps[0].await",
    ]


def test_an_option_of_the_command_line_has_no_line(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(f"{HEAD}duration = '5s'\n{USER}")
    with pytest.raises(PlanError) as caught:
        read_plan({**read_plan_file(str(path)), "duration": "x", "rate": 5})
    assert sorted(problem.option for problem in caught.value.problems) == ["--duration", "--rate"]


def test_in_python_a_problem_has_its_place_and_no_line():
    with pytest.raises(PlanError) as caught:
        make_plan("ws://h", role={"user": {"steps": [{"wait": "1s"}, {"send": "x", "awaits": "json:a"}]}})
    assert str(caught.value) == "role.user.steps[1].awaits: there is no such key; did you mean await?"


def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(f"{HEAD}\n[role.user\n")
    with pytest.raises(UsageError, match=r"is not TOML: .*line 5"):
        read_plan_file(str(path))
