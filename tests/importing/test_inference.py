"""Each thing that is read out of a capture: awaits, captures, counters, times, loops, reactions, timers, waits."""

import json
import re
import tomllib

import pytest

from factories.captures import STARTED_MS, capture
from factories.captures_of_protocols import PROTOCOLS
from ws_load_test.importing.import_capture import import_capture
from ws_load_test.plan.correlation import regex_extractor

UUID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
OTHER_UUID = "6fa459ea-ee8a-4ca4-894e-db77e160355e"


def role_of(*messages, speed=1.0, **options):
    return tomllib.loads(import_capture(capture(*messages, **options), speed=speed).text)["role"]["user"]


def ask(number, after_s=1.0, **more):
    return (">", after_s, {"op": "ask", "id": number, **more}), ("<", 0.02, {"op": "answer", "id": number})


def sends(steps):
    return [step.get("send") for step in steps]


# --- awaits ----------------------------------------------------------------------------------------------------------


def test_a_reply_is_found_by_the_id_of_its_message():
    late = ("<", 0.01, {"op": "answer", "id": 7})
    role = role_of(*ask(6), (">", 1, {"op": "ask", "id": 7}), ("<", 0.1, {"op": "news"}), late)
    (step,) = role["steps"]
    assert (step["send"], step["await"]) == ('{"op": "ask", "id": {seq}}', "json:id={seq}")
    assert [one["when"] for one in role["on"]] == ["json:op=news"]


def test_a_kind_is_awaited_besides_where_the_id_alone_is_not_enough():
    news = ("<", 0.01, {"op": "news", "id": 1})
    first, answer = ask(1)
    (step,) = role_of(first, news, answer, *ask(2))["steps"]
    assert step["await"] == ["json:op=answer", "json:id={seq}"]


def test_without_an_id_the_type_that_comes_each_time_is_awaited():
    said = (">", 1, {"op": "say", "text": "hi"})
    role = role_of(
        said,
        ("<", 0.1, {"op": "typing"}),
        ("<", 0.1, {"op": "saved"}),
        said,
        ("<", 0.1, {"op": "saved"}),
        ("<", 1, {"op": "typing"}),
    )
    assert role["steps"][0]["await"] == "json:op=saved"


def test_a_push_that_happens_to_follow_is_no_reply():
    typing = (">", 1, {"op": "typing"})
    tick = ("<", 0.3, {"op": "tick"})
    role = role_of(*ask(1), typing, tick, *ask(2), tick, tick, typing, *ask(3), tick, tick, tick, tick)
    step = next(one for one in role["steps"] if one["name"] == "typing")
    assert "await" not in step
    assert "json:op=tick" in [one["when"] for one in role["on"]]


def test_what_comes_first_is_awaited_before_anything_is_sent():
    role = role_of(("<", 0.1, {"op": "welcome"}), *ask(1), *ask(2))
    assert role["open"] == [{"name": "welcome", "await": "json:op=welcome"}]


def test_an_echo_of_plain_text():
    (step,) = role_of(*[(">", 1, "hello"), ("<", 0.1, "hello")] * 3)["steps"]
    assert (step["send"], step["await"]) == ("hello", "regex:^hello$")


def test_success_is_expected_where_the_reply_says_so():
    said = (">", 1, {"op": "say", "id": 1}), ("<", 0.1, {"id": 1, "ok": True})
    assert role_of(*said)["steps"][0]["expect"] == ["json:ok=true"]


def test_a_late_answer_does_not_hold_the_session_up():
    job = (">", 0.1, {"op": "job", "id": 1})
    role = role_of(job, *ask(2, 0.1), *ask(3, 2), ("<", 2, {"op": "finished", "id": 1}))
    step = next(one for one in (*role.get("open", ()), *role["steps"]) if one["name"] == "job")
    assert "await" not in step
    assert "json:op=finished" in [one["when"] for one in role["on"]]


def test_messages_sent_at_once_are_in_order_and_say_so():
    told = capture(
        (">", 0.1, {"op": "a", "id": 1}), (">", 0.001, {"op": "b", "id": 2}),
        ("<", 0.1, {"op": "done", "id": 1}), ("<", 0.1, {"op": "done", "id": 2}),
    )  # fmt: skip
    text = import_capture(told).text
    assert [step["await"] for step in tomllib.loads(text)["role"]["user"]["steps"]] == ["json:id={seq}"] * 2
    assert "# the client sent this before the answer to the message before had come\n" in text


# --- captured values -------------------------------------------------------------------------------------------------


def test_a_value_that_was_received_and_is_sent_later_is_captured():
    told = capture(
        (">", 0.1, {"op": "join"}), ("<", 0.1, {"op": "joined", "member": {"id": "u-48213"}}),
        (">", 1, {"op": "say", "from": "u-48213"}), ("<", 0.1, {"op": "said"}),
    )  # fmt: skip
    text = import_capture(told).text
    join, say = tomllib.loads(text)["role"]["user"]["steps"]
    assert join["capture"] == {"id": "json:member.id"}
    assert say["send"] == '{"op": "say", "from": "{my.id}"}'
    assert '# {my.id}: the value that "join" received\n' in text
    assert "u-48213" not in text


@pytest.mark.parametrize("value", [0, 1, 17, True, None, "ok", "lobby", "general", ""])
def test_small_and_common_values_are_constants(value):
    role = role_of(
        (">", 0.1, {"op": "join"}), ("<", 0.1, {"op": "joined", "x": value}), (">", 1, {"op": "say", "x": value})
    )
    assert not any("capture" in step for step in role["steps"])


def test_a_value_of_the_client_that_comes_back_is_its_own():
    room = "room-a7f3c"
    role = role_of(
        (">", 0.1, {"op": "join", "room": room}),
        ("<", 0.1, {"op": "joined", "room": room}),
        (">", 1, {"op": "say", "room": room}),
    )
    assert room in role["steps"][0]["send"]
    assert room in role["steps"][1]["send"]


def test_a_value_of_the_url_is_a_constant():
    role = role_of(
        ("<", 0.1, {"op": "hi", "room": "room-a7f3c"}),
        (">", 1, {"op": "say", "room": "room-a7f3c"}),
        url="wss://x/ws?room=room-a7f3c",
    )
    assert "room-a7f3c" in role["steps"][0]["send"]


def test_a_part_of_a_longer_text_is_captured():
    token = "Ab3dEf6hIj9kLmNop"
    role = role_of(("<", 0.1, {"op": "hi", "sid": token}), (">", 1, {"op": "say", "to": f"/user/{token}/queue"}))
    assert role["open"][0]["capture"] == {"sid": "json:sid"}
    assert '"/user/{my.sid}/queue"' in role["steps"][0]["send"]


def test_a_value_of_json_in_a_string_is_captured_and_used():
    hello = {"op": "hello", "data": json.dumps({"socket_id": "12345.67890"})}
    auth = {"op": "auth", "data": json.dumps({"socket_id": "12345.67890", "n": 1})}
    role = role_of(("<", 0.1, hello), (">", 1, auth))
    assert (
        regex_extractor(role["open"][0]["capture"]["socket_id"].partition(":")[2])(json.dumps(hello).encode())
        == b"12345.67890"
    )
    assert json.loads(json.loads(role["steps"][0]["send"])["data"]) == {"socket_id": "{my.socket_id}", "n": 1}


def test_a_value_that_changes_in_each_iteration_is_captured_in_each():
    def move(turn):
        return (
            ("<", 1, {"op": "turn", "key": f"k{turn}7f3c"}),
            (">", 1, {"op": "move", "key": f"k{turn}7f3c"}),
            ("<", 0.1, {"op": "moved"}),
        )

    role = role_of(*move(1), *move(2), *move(3))
    turn, step = role["steps"]
    assert (turn["await"], turn["capture"]) == ("json:op=turn", {"key": "json:key"})
    assert step["send"] == '{"op": "move", "key": "{my.key}"}'
    assert role["iterations"] == 3


def test_the_value_of_an_earlier_message_has_a_name_of_its_own():
    def hello(key):
        return ("<", 0.1, {"op": "offer", "key": key})

    role = role_of(
        hello("k17f3c"),
        hello("k27f3c"),
        (">", 1, {"op": "take", "key": "k17f3c"}),
        (">", 1, {"op": "use", "key": "k27f3c"}),
    )
    used = re.findall(r"\{my\.(\w+)\}", "".join(step.get("send", "") for step in role["steps"]))
    assert len(set(used)) == 2
    captured = [name for step in (*role.get("open", ()), *role["steps"]) for name in step.get("capture", ())]
    assert sorted(captured) == sorted(used)


# --- values of the client --------------------------------------------------------------------------------------------


def test_counters_become_seq_and_what_else_has_the_number_does_not():
    role = role_of(*ask(5, size=5), *ask(6, size=5), *ask(7, size=5))
    assert sends(role["steps"]) == ['{"op": "ask", "id": {seq}, "size": 5}']


def test_a_counter_behind_letters_keeps_them():
    (step,) = role_of(*ask("req-1"), *ask("req-2"))["steps"]
    assert (step["send"], step["await"]) == ('{"op": "ask", "id": "req-{seq}"}', "json:id=req-{seq}")


def test_rooms_with_numbers_are_no_counter():
    messages = [(">", 1, {"op": "join", "room": f"room-{number}"}) for number in (1, 2, 3)]
    assert "{seq}" not in "".join(step["send"] for step in role_of(*messages)["steps"])


def test_a_uuid_that_is_sent_once_is_made_anew_and_comes_back_under_a_name():
    role = role_of(
        (">", 1, {"op": "new", "id": UUID}), ("<", 0.1, {"op": "created", "id": UUID}),
        (">", 1, {"op": "get", "id": UUID}), ("<", 0.1, {"op": "item", "id": UUID}),
    )  # fmt: skip
    new, get = role["steps"]
    assert (new["send"], new["await"], new["capture"]) == (
        '{"op": "new", "id": "{uuid}"}',
        "json:op=created",
        {"id": "json:id"},
    )
    assert (get["send"], get["await"]) == ('{"op": "get", "id": "{my.id}"}', "json:id={my.id}")


def test_a_uuid_that_is_sent_twice_and_never_comes_back_stays():
    role = role_of((">", 1, {"op": "a", "client": UUID}), (">", 1, {"op": "b", "client": UUID, "other": OTHER_UUID}))
    assert sends(role["steps"]) == [
        f'{{"op": "a", "client": "{UUID}"}}',
        f'{{"op": "b", "client": "{UUID}", "other": "{{uuid}}"}}',
    ]


@pytest.mark.parametrize(("skew_ms", "is_time"), [(0, True), (-200_000, True), (86_400_000, False)])
def test_times_near_the_clock_of_the_capture_become_now(skew_ms, is_time):
    (step,) = role_of((">", 1, {"op": "ping-me", "at": STARTED_MS + 1000 + skew_ms}))["steps"]
    assert ("{now_ms}" in step["send"]) is is_time


def test_times_in_seconds_and_as_text_become_now():
    second = STARTED_MS // 1000 + 1
    said = {"op": "say", "s": second, "iso": "2026-09-21T14:13:21.000Z", "old": "2020-01-01T00:00:00.000Z"}
    (step,) = role_of((">", 1, said))["steps"]
    assert step["send"] == '{"op": "say", "s": {now_s}, "iso": "{now_iso}", "old": "2020-01-01T00:00:00.000Z"}'


def test_text_that_looks_like_a_field_is_sent_as_it_is():
    (step,) = role_of((">", 1, {"op": "say", "text": "write {seq} or {my.name}"}))["steps"]
    assert step["send"] == '{"op": "say", "text": "write \\u007bseq} or \\u007bmy.name}"}'


# --- repetitions, waits ----------------------------------------------------------------------------------------------


def test_what_repeats_becomes_iterations_between_opening_and_leaving():
    join = (">", 0.1, {"op": "join"}), ("<", 0.1, {"op": "joined"})
    leave = (">", 1, {"op": "leave"}), ("<", 0.1, {"op": "left"})
    role = role_of(*join, *ask(1), (">", 1, {"op": "typing"}), *ask(2), (">", 1, {"op": "typing"}), *leave)
    assert [one["name"] for one in role["open"]] == ["join"]
    assert [one["name"] for one in role["steps"]] == ["ask", "typing"]
    assert [one["name"] for one in role["leave"]] == ["leave"]
    assert role["iterations"] == 2


def test_without_a_repetition_the_steps_are_gone_through_once():
    role = role_of((">", 1, {"op": "a"}), (">", 1, {"op": "b"}), (">", 1, {"op": "c"}))
    assert [one["name"] for one in role["steps"]] == ["a", "b", "c"]
    assert role["iterations"] == 1


def test_contents_that_vary_become_a_choice_as_often_as_they_were_sent():
    texts = ["hi", "hello", "hi"]
    role = role_of(*(message for number, text in enumerate(texts, 1) for message in ask(number, text=text)))
    assert [(one["weight"], one["send"]) for one in role["steps"]] == [
        (2, '{"op": "ask", "id": {seq}, "text": "hi"}'),
        (1, '{"op": "ask", "id": {seq}, "text": "hello"}'),
    ]


def test_two_steps_in_a_row_that_vary_are_no_plain_repetition():
    role = role_of(*((">", 1, {"op": op, "x": f"{op}{turn}"}) for turn in range(3) for op in "ab"))
    assert (len(role["steps"]), role["iterations"]) == (6, 1)


def test_waits_are_the_times_from_the_end_of_the_step_before():
    role = role_of(*ask(1), *ask(2, 2.0), *ask(3, 4.0), (">", 0.5, {"op": "leave"}))
    assert role["steps"][0]["wait"] == "2s..4s"
    assert role["leave"][0]["wait"] == "500ms"


def test_speed_divides_waits():
    role = role_of(*ask(1), *ask(2, 2.0), (">", 0.5, {"op": "leave"}), speed=2.0)
    assert role["steps"][0]["wait"] == "1s"
    assert role["leave"][0]["wait"] == "250ms"


def test_an_answer_at_once_has_no_wait():
    assert "wait" not in role_of(*ask(1, 0.001), (">", 0.002, {"op": "b"}))["steps"][1]


# --- beside the steps ------------------------------------------------------------------------------------------------


def test_pushes_are_grouped_by_type_with_their_sequence():
    ticks = [("<", 0.1, {"op": "tick", "n": number}) for number in range(7, 12)]
    role = role_of(*ask(1), *ticks, ("<", 0.1, {"op": "other"}))
    assert role["on"] == [
        {"when": "json:op=tick", "name": "tick", "sequence": "json:n"},
        {"when": "json:op=other", "name": "other"},
    ]


def test_pings_are_answered_with_what_they_held():
    def ping(stamp):
        return ("<", 10, {"op": "ping", "stamp": stamp}), (">", 0.001, {"op": "pong", "stamp": stamp})

    role = role_of(*ask(1), *ping(918273), *ask(2), *ping(928374))
    assert role["on"] == [
        {
            "when": "json:op=ping",
            "name": "ping",
            "send": '{"op": "pong", "stamp": {my.stamp}}',
            "capture": {"stamp": "json:stamp"},
        }
    ]
    assert [one["name"] for one in role["steps"]] == ["ask"]


def test_heartbeats_at_even_intervals_become_a_timer():
    beat = (">", 14.9, {"op": "heartbeat"}), ("<", 0.1, {"op": "heartbeat_ack"})
    role = role_of(*ask(1, 0.1), *beat, *beat, *beat)
    (timer,) = role["timer"]
    assert (timer["every"], timer["name"], timer["await"]) == ("15s", "heartbeat", "json:op=heartbeat_ack")
    assert [one["name"] for one in role["steps"]] == ["ask"]


def test_the_answer_to_a_heartbeat_may_be_one_itself():
    beat = (">", 14.9, {"op": "ping"}), ("<", 0.1, {"op": "pong"})
    (timer,) = role_of(*ask(1, 0.1), *beat, *beat, ("<", 0.1, {"op": "news"}))["timer"]
    assert timer["await"] == "json:op=pong"


def test_a_heartbeat_that_is_not_even_is_a_step():
    beat = {"op": "heartbeat"}
    role = role_of(*ask(1), (">", 1, beat), *ask(2), (">", 20, beat), (">", 3, beat))
    assert "timer" not in role


# --- binary messages, protocols --------------------------------------------------------------------------------------


def test_binary_messages_are_kept_in_files_each_once():
    one, other = b"\x08\x96\x01", b"\x08\x97\x02"
    imported = import_capture(
        capture(*[(">", 1, one), ("<", 0.1, b"\x09ok"), (">", 1, other), ("<", 0.1, b"\x09ok")] * 2), folder="out/"
    )
    assert imported.files == {"binary-1.bin": one, "binary-2.bin": other}
    steps = tomllib.loads(imported.text)["role"]["user"]["steps"]
    assert [(step["send"], step["binary"]) for step in steps] == [
        ("@out/binary-1.bin", True),
        ("@out/binary-2.bin", True),
    ]
    assert steps[0]["await"] == "regex:^\\x09"


EXPECTED = {
    "jsonrpc": (0, ["eth_subscribe", "eth_blockNumber", "eth_unsubscribe"], 0, ["eth_subscription"]),
    "phoenix": (1, ["shout"], 1, ["presence_state", "shout"]),
    "socketio": (3, ["message"], 0, ["message-2", "message"]),
    "stomp": (2, ["send"], 0, ["message"]),
    "graphql": (0, ["connection_init", "subscribe", "complete"], 0, ["ping", "next"]),
    "signalr": (0, ["message", "Join", "Send"], 0, ["type-6", "type-1"]),
    "streamed": (1, ["item-create", "item-create", "response-create"], 0, []),
}
AWAITS = {
    "jsonrpc": "json:id={seq}",
    "phoenix": "json:[1]={seq}",
    "socketio": "regex:^43{seq}\\[",
    "stomp": "regex:\\nreceipt-id:{seq}\\n",
    "graphql": None,
    "signalr": 'regex:"invocationId": "{seq}"',
    "streamed": None,
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_sessions_of_well_known_protocols(name):
    role = role_of(*PROTOCOLS[name]())
    opened, steps, timers, reactions = EXPECTED[name]
    assert len(role.get("open", ())) == opened
    assert [one["name"] for one in role["steps"]] == steps
    assert len(role.get("timer", ())) == timers
    assert [one["name"] for one in role.get("on", ())] == reactions
    assert role["steps"][-1].get("await") == AWAITS[name]


def test_an_answer_in_many_messages_ends_with_its_mark():
    step = role_of(*PROTOCOLS["streamed"]())["steps"][-1]
    assert (step["first"], step["until"]) == ("json:type=delta", "json:type=response.done")
    parts = [
        ("<", 0.02, {"id": 1, "done": False}),
        ("<", 0.02, {"id": 1, "done": False}),
        ("<", 0.02, {"id": 1, "done": True}),
    ]
    (step,) = role_of((">", 1, {"op": "ask", "id": 1}), *parts)["steps"]
    assert step["until"] == "json:done=true"
    parts = [("<", 0.02, {"id": 1}), ("<", 0.02, {"id": 1}), ("<", 0.02, {"id": 1, "done": True})]
    (step,) = role_of((">", 1, {"op": "ask", "id": 1}), *parts)["steps"]
    assert step["until"] == "json:done=true"


# --- head ------------------------------------------------------------------------------------------------------------


def test_headers_that_a_browser_adds_are_left_out():
    dropped = ["Host", "User-Agent", "Sec-WebSocket-Key", "Accept-Language", ":path"]
    headers = [*((name, "x") for name in dropped), ("Origin", "https://x"), ("X-Tenant", "blue")]
    plan = tomllib.loads(import_capture(capture(*ask(1), headers=headers, subprotocols=["v12.stomp"])).text)
    assert (plan["header"], plan["origin"], plan["subprotocol"]) == (["X-Tenant: blue"], "https://x", ["v12.stomp"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://x/ws", "wss://x/ws"),
        ("ws://x", "ws://x"),
        ("ws://x?a=1#f", "ws://x/?a=1"),
        (f"ws://x/ws?t={STARTED_MS + 5}&c={UUID}", "ws://x/ws?t={now_ms}&c={uuid}"),
        ("ws://x/ws?token={feed.key}", "ws://x/ws?token={env.KEY}"),
    ],
)
def test_urls(url, expected):
    assert tomllib.loads(import_capture(capture(*ask(1), url=url)).text)["url"] == expected


def test_a_session_in_which_the_client_only_listens():
    role = role_of(*(("<", 1, {"op": "tick", "n": number}) for number in range(5)))
    assert role == {"on": [{"when": "json:op=tick", "name": "tick", "sequence": "json:n"}]}


def test_reactions_have_names_of_their_own_and_the_more_precise_come_first():
    pushes = [("<", 0.1, {"type": "event", "event": "a"}), ("<", 0.1, {"type": "event", "event": "b"}),
        ("<", 0.1, {"type": "event"}), ("<", 0.1, {"note": 1}), ("<", 0.1, {"note": 1, "x": {}})]  # fmt: skip
    role = role_of(*ask(1), *pushes, *ask(2), *pushes)
    names = [one["name"] for one in role["on"]]
    assert len(set(names)) == len(names)
    assert [one["when"] for one in role["on"]][:3] == [
        ["json:type=event", "json:event=a"], ["json:type=event", "json:event=b"], "json:type=event",
    ]  # fmt: skip
