"""From options to messages: what they describe, and everything that may be wrong with them."""

from pathlib import Path

import pytest

from ws_load_test import make_plan
from ws_load_test.common.errors import PlanError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages import MessageGenerator, SetupMessage, SizeDistribution
from ws_load_test.plan.options.catalog import PARSERS, missing_companions, names_in
from ws_load_test.plan.options.messages import (
    message_warnings,
    read_first_messages,
    read_message,
)
from ws_load_test.plan.options.spec import Group


def read(**options):
    """The message, and its problems as text; options as the command line gives them."""
    problems = []
    own = names_in(Group.MESSAGE)
    values = {name: PARSERS[name](value) if name in own else value for name, value in options.items()}
    problems += missing_companions(values, values)
    return read_message(values, problems), [str(problem) for problem in problems]


def right(**options):
    found, problems = read(**options)
    assert not problems
    return found


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.csv"
    path.write_text("token,größe\nsesame,1\nabc,2\n")
    return str(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "text, 4 B"),
        ({"message": "hello", "binary": True}, "binary, 5 B"),
        ({"ping": True}, "a ping frame with 4 B of payload; its pong is the reply"),
        ({"message": "{id} {}"}, "text, 7 B"),
        ({"message": '{"id": {seq}}'}, "text, about 13 B, with the field seq"),
        ({"message": ["a", "b"]}, "2 texts in turn"),
        (
            {"message": ["{seq}", "{feed.token} {seq}"], "weights": "3,1", "feed": "users"},
            "2 texts in turn, weights 3:1, with fields seq and feed.token",
        ),
        ({"message": ["a", "b"], "binary": True}, "2 binary messages in turn"),
        ({"size": "1kB"}, "text, 1 kB"),
        ({"size": "100..1000"}, "text of 100 B to 1 kB, uniform"),
        ({"size": "exp:1kB", "binary": True}, "binary of 1 kB on average, exponential"),
        ({"size": "normal:1kB,200B"}, "text of 1 kB on average, normal with a deviation of 200 B"),
        ({"size": "0..125", "ping": True}, "ping frame of 0 B to 125 B, uniform"),
        (
            {"message": "{now_ms}", "ping": True},
            "a ping frame with about 13 B of payload; its pong is the reply, with the field now_ms",
        ),
    ],
)  # fmt: skip
def test_messages_in_words(options, words, users):
    found = right(**{**options, **({"feed": users} if "feed" in options else {})})
    assert found.describe() == words
    assert found.is_dynamic == ("field" in words or "turn" in words or words.endswith(("uniform", "tial", "200 B")))


def test_sizes_are_known_or_estimated(users):
    fixed = right(message=["abc", "abcdefghi"], weights="2,1")
    assert (fixed.size_bytes, fixed.max_bytes) == (5, 9)
    filled = right(message="{uuid}{random:4}")
    assert (filled.size_bytes, filled.max_bytes) == (40, 40)
    fed = right(message="{feed.token}", feed=users)
    assert (fed.size_bytes, fed.max_bytes) == (4, 12)
    drawn = right(size="100..1000")
    assert (drawn.size_bytes, drawn.max_bytes, drawn.payload) == (550, 1000, b"")
    assert right(message="äöü").max_bytes == 6


def test_files_and_directories(tmp_path):
    folder = tmp_path / "messages"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.json").write_text('{"id": {seq}}')
    (folder / "a.json").write_text("first")
    found = right(message=[f"@{folder}", "last {", f"@{folder / 'b.json'}"])
    assert (found.payload, *found.alternatives) == (b"first", b'{"id": {seq}}', b"last {", b'{"id": {seq}}')
    assert found.is_template == (False, True, False, True)
    raw = right(message=[f"@{folder}", "{seq}"], binary=True)
    assert raw.is_template == (False, False, True)


def test_what_is_given_as_text_may_have_fields_in_a_binary_run():
    assert right(message="{seq}", binary=True).fields == ("seq",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"message": "{random:x}"}, ["--message: {random:x}: write a number of letters"]),
        ({"message": ["{int:9..1}", "{int:9..1}", "{feed.x}"]}, ["--message: {int:9..1}", "--message: {feed.x}"]),
        ({"url": "ws://{feed.a}"}, ["URL: {feed.a} needs a feed"]),
        ({"header": (("X-Token", "{feed.a}"),)}, ["--header: {feed.a} needs a feed"]),
        ({"first_message": ["{random:x}"]}, ["--first-message: {random:x}"]),
        ({"message": "{feed.tokn}", "feed": "users"}, ["--message: {feed.tokn}: the feed has no such column"]),
        ({"feed": "/nowhere.csv", "message": "{feed.a}"}, ['--feed: cannot read "/nowhere.csv"']),
        ({"feed_order": "random"}, ["--feed-order: there is no feed; add --feed FILE"]),
        ({"weights": "1,2"}, ["--weights: there is one message"]),
        ({"weights": "1,2", "size": "1..9"}, ["--weights: there is one message"]),
        ({"message": ["a", "b"], "weights": "1,2,3"}, ["--weights: there are 3 of them, but 2 messages"]),
        ({"message": "@/nowhere"}, ['--message: cannot read "/nowhere"']),
        ({"message": "@"}, ['--message: cannot read ""']),
        ({"message": "\udcff"}, ["--message: is not UTF-8 text"]),
        ({"message": "{random:126}", "ping": True}, ["--ping: a ping carries at most 125 bytes (RFC 6455"]),
        ({"message": ["x", "x" * 126], "ping": True}, ["--ping: a ping carries at most 125 bytes"]),
        ({"size": "0..126", "ping": True}, ["--ping: a ping carries at most 125 bytes"]),
        ({"size": "exp:3", "ping": True}, ["--ping: a ping carries at most 125 bytes"]),
    ],
)  # fmt: skip
def test_problems_name_their_option(options, says, users):
    if options.get("feed") == "users":
        options = {**options, "feed": users}
    _, problems = read(**options)
    assert len(problems) == len(says)
    for problem, begin in zip(problems, says, strict=True):
        assert problem.startswith(begin)


def test_a_directory_without_files_and_files_that_are_no_text(tmp_path):
    assert read(message=f"@{tmp_path}")[1] == [f'--message: there are no files in "{tmp_path}"']
    (tmp_path / "raw").write_bytes(b"\xff")
    assert read(message=f"@{tmp_path / 'raw'}")[1] == [
        "--message: the file is not UTF-8 text; add --binary to send it as it is"
    ]
    assert str(tmp_path / "raw") in read(message=f"@{tmp_path}")[1][0]
    assert right(message=f"@{tmp_path}", binary=True).payload == b"\xff"


def test_a_text_from_a_file_is_sent_without_the_byte_order_mark_of_its_editor(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert right(message=f"@{path}").payload == b"{}"
    assert right(message=f"@{path}", binary=True).payload == b"\xef\xbb\xbf{}"
    assert make_plan("ws://h", first_message=f"@{path}").setup_messages[0].payload == b"{}"
    path.write_text("{}", encoding="utf-16")
    assert read(message=f"@{path}")[1] == [
        "--message: the file is UTF-16 text; save it as UTF-8, or add --binary to send it as it is"
    ]


def test_a_file_without_end_is_not_read_into_memory(monkeypatch):
    monkeypatch.setattr("ws_load_test.plan.options.contents.LARGEST_CONTENTS_BYTES", 1 << 20)
    (problem,) = read(message="@/dev/zero")[1]
    assert problem.startswith('--message: cannot read "/dev/zero": ')


def test_a_feed_is_checked_with_the_columns_that_are_used(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text('{"a": 1, "b": 2}\n{"a": 3}\n')
    assert right(message="{feed.a}", feed=str(path)).feed.used == ("a",)
    assert 'line 2 lacks "b"' in read(message="x", feed=str(path), url="ws://h/{feed.b}")[1][0]


def test_a_ping_from_a_feed_may_fit(users):
    with Path(users).open("a") as file:
        file.write("x" * 100 + ",3\n")
    assert right(message="{feed.token}", ping=True, feed=users).max_bytes <= 125


def test_first_messages(tmp_path):
    (tmp_path / "login").write_text('{"token": "{feed.token}"}')
    problems = []
    values = {"first_message": ("hello {seq}", f"@{tmp_path / 'login'}")}
    assert read_first_messages(values, problems) == (
        SetupMessage(b"hello {seq}", is_template=True),
        SetupMessage(b'{"token": "{feed.token}"}', is_template=True),
    )
    (tmp_path / "raw").write_bytes(b"\xff")
    assert read_first_messages({"first_message": (f"@{tmp_path / 'raw'}", "@/nowhere")}, problems) == ()
    assert [problem.option for problem in problems] == ["--first-message"] * 2
    raw = {"first_message": (f"@{tmp_path / 'raw'}", "hello {seq}"), "binary": True}
    assert read_first_messages(raw, []) == (SetupMessage(b"\xff"), SetupMessage(b"hello {seq}", is_template=True))
    assert "--first-message: {feed.token} needs a feed; add --feed FILE" in read(**values)[1]


def test_a_binary_file_has_fields_in_a_fan_out_if_it_names_one_of_them(tmp_path):
    raw = b"\x82\xff\x00{room} {seq}"
    (tmp_path / "raw").write_bytes(raw)
    (tmp_path / "said").write_bytes(raw + b"{marker}")
    (tmp_path / "none").write_bytes(b"\xff{seq}")
    fan_out = {"binary": True, "subscribers": 2, "rooms": "lobby,kitchen", "first_message": (f"@{tmp_path / 'raw'}",)}
    assert read_first_messages(fan_out, []) == (SetupMessage(raw, is_template=True),)
    assert read_first_messages({**fan_out, "first_message": (f"@{tmp_path / 'none'}",)}, []) == (
        SetupMessage(b"\xff{seq}"),
    )
    plan = make_plan("ws://h", message=f"@{tmp_path / 'said'}", rate=1, workers=1, **fan_out)
    assert plan.message.fields == ("room", "seq", "marker")
    source = MessageGenerator(plan.message, Shard(0, 1))
    source.publication.room, source.publication.marker = "lobby", "w" * 29
    assert source.payloads(0).next() == b"\x82\xff\x00lobby 0" + b"w" * 29
    # Without a fan-out any bytes may look like a field.
    plain = make_plan("ws://h", message=f"@{tmp_path / 'said'}", binary=True, workers=1).message
    assert (plain.fields, plain.payload) == ((), raw + b"{marker}")


def test_what_is_doubtful(users):
    values = {"message": ("{sequence}", "{seq}"), "feed": users, "header": (("X", "{tokn}"),)}
    assert message_warnings(right(**values), values) == (
        "--message: {sequence} is sent as it is; did you mean {seq}?",
        "--header: {tokn} is sent as it is; did you mean {feed.token}?",
        "--feed: no field uses it; write {feed.token} where a value belongs",
    )
    assert message_warnings(right(message="{seq}"), {}) == ()
    assert message_warnings(right(message="{zap}", binary=True), {}) == ()


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("weights", "3, 1", (3, 1)),
        ("weights", [3, 1], (3, 1)),
        ("weights", 2, (2,)),
        ("size", "1kB", 1000),
        ("size", 64, 64),
        ("size", "1kB..2kB", SizeDistribution("uniform", 1000, 2000)),
        ("size", "normal: 1kB, 200B", SizeDistribution("normal", 1000, 200)),
        ("size", "exp:1kB", SizeDistribution("exponential", 1000)),
        ("message", "a", ("a",)),
        ("message", ["a", "b"], ("a", "b")),
        ("feed_order", "random", "random"),
    ],
)
def test_values(name, given, value):
    assert PARSERS[name](given) == value


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("weights", "3,x", "for example 3,1"),
        ("weights", "0,1", "for example 3,1"),
        ("weights", True, "no weights"),
        ("weights", "99999,2", "add up to more than"),
        ("size", "9..1", "write 1..9"),
        ("size", "2GiB", "is larger than the 1 GiB that one message may have"),
        ("size", "0..2000MiB", "larger than the 1 GiB"),
        ("size", "normal:1kB", "write for example 1kB, 100..1000"),
        ("size", "exp:0", "always 0"),
        ("size", "zipf:1", "write for example"),
        ("feed_order", "backwards", "write round-robin, random, connection or connection-shared"),
        ("message", [], "names no message"),
        ("message", 5, "is not text"),
    ],
)
def test_values_that_are_refused(name, given, says):
    with pytest.raises((ValueError, TypeError), match=says):
        PARSERS[name](given)


# --- Rows for connections ---


def feed_of(tmp_path, rows):
    path = tmp_path / "users.csv"
    path.write_text("name\n" + "".join(f"user{number}\n" for number in range(rows)))
    return {"feed": str(path), "message": "{feed.name}"}


@pytest.mark.parametrize("more", [{}, {"workers": 3}, {"rate": 5, "connection_stages": "1s@2,1s@4"}])
def test_each_connection_has_a_row_of_its_own_or_it_is_an_error(more, tmp_path):
    more = more if "rate" in more else {"connections": 4, **more}
    options = {"feed_order": "connection", **more}
    with pytest.raises(PlanError) as caught:
        make_plan("ws://h:1/", **feed_of(tmp_path, 3), **options)
    (problem,) = caught.value.problems
    assert problem.option == "--feed-order"
    assert 'users.csv" has 3 rows for 4 connections; add rows' in problem.text
    assert "--feed-order connection-shared" in problem.text
    assert make_plan("ws://h:1/", **feed_of(tmp_path, 4), **options).message.feed.order == "connection"
    shared = make_plan("ws://h:1/", **feed_of(tmp_path, 3), **{**options, "feed_order": "connection-shared"})
    assert not shared.warnings


def test_values_that_open_several_sessions_are_a_warning(tmp_path):
    few = make_plan("ws://h:1/", connections=4, bearer="{feed.name}", feed=feed_of(tmp_path, 3)["feed"])
    (warning,) = few.warnings
    assert 'users.csv" has 3 rows for 4 connections' in warning
    # Messages take rows again by nature.
    assert not make_plan("ws://h:1/", connections=4, **feed_of(tmp_path, 3)).warnings
