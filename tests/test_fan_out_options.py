"""Options of a fan-out: the plan they make, and what is wrong with them."""

import msgspec
import pytest

from ws_load_test.common.errors import PlanError
from ws_load_test.messages.marker import MARKER_BYTES
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.fan_out import FanOut, HttpPublish, MarkerRule
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.plan import Plan

URL = "ws://h:1/"
CHAT = {"subscribers": 10, "rate": 5, "message": '{"room":"{room}","text":"{marker}"}'}
EVERYONE = {"everyone": True, "connections": 10, "rate": 5, "message": "{marker}"}
BY_SEQ = {"subscribers": 10, "rate": 5, "message": '{"id":{seq}}', "marker": "json:id"}


def told(**options):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **options)
    return [str(problem) for problem in caught.value.problems]


def words_of(**options):
    return dict(describe_plan(make_plan(URL, **options)))


def test_subscribers_and_publishers_make_a_fan_out():
    plan = make_plan(URL, **CHAT, publishers=3, rooms="lobby,news", timed=4, first_message="{room}", workers=2)
    assert plan.fan_out == FanOut(publishers=3, subscribers=10, rooms=("lobby", "news"), timed=4)
    assert (plan.connections, plan.workers, plan.correlation.rule) == (13, 2, "none")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert plan.warnings == ()
    assert make_plan(URL).fan_out is None


def test_everyone_is_publisher_and_subscriber():
    plan = make_plan(URL, **EVERYONE, rooms=2, self_delivery="excluded", lifetime="1s", recovery="expected")
    assert plan.fan_out == FanOut(
        10, 10, everyone=True, rooms=("0", "1"), self_delivery="excluded", recovery="expected"
    )
    assert plan.connections == 10


def test_publishing_by_http_needs_no_sessions():
    header = ["Authorization: Bearer sdfjkh38fhsd", "X: {seq}"]
    plan = make_plan(URL, **CHAT, publishers=4, publish_url="put https://api.example/{room}", publish_header=header)
    publish = HttpPublish(
        "PUT", "https://api.example/{room}", (("Authorization", "Bearer sdfjkh38fhsd"), ("X", "{seq}"))
    )
    assert (plan.connections, plan.fan_out.publish) == (10, publish)
    assert plan.correlation.rule == "order"
    assert "sdfjkh38fhsd" not in str(plan.redacted())
    assert "sdfjkh38fhsd" not in str(describe_plan(plan))
    assert make_plan(URL, **CHAT, publish_url="http://h/").fan_out.publish == HttpPublish("POST", "http://h/")
    table = {"X-Key": "a", "X-Number": 3}
    found = make_plan(URL, **CHAT, publish_url="http://h/", publish_header=table).fan_out.publish
    assert found.headers == (("X-Key", "a"), ("X-Number", "3"))


@pytest.mark.parametrize(
    ("written", "rooms"),
    [(3, ("0", "1", "2")), ("2", ("0", "1")), ("1_0", tuple("0123456789")), ("a", ("a",)), (["a", "b"], ("a", "b"))],
)
def test_rooms_are_a_number_or_names(written, rooms):
    assert make_plan(URL, **CHAT, rooms=written).fan_out.rooms == rooms


@pytest.mark.parametrize("name", ["/topic/a", "größe", "{odd}", "x" * 80])
def test_a_name_of_a_room_is_any_text_of_a_line(name):
    assert make_plan(URL, **CHAT, rooms=f"{name},b").fan_out.rooms == (name, "b")


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("{marker}", MarkerRule()),
        ("json:id", MarkerRule("json", "id")),
        ("json:id=data.id", MarkerRule("json", "id=data.id")),
        (r'regex:"id":(\d+)', MarkerRule("regex", r'"id":(\d+)')),
    ],
)
def test_a_rule_says_how_deliveries_are_recognized(written, rule):
    options = {**CHAT, "message": '{"id":{seq},"text":"{marker}"}', "marker": written}
    assert make_plan(URL, **options).fan_out.marker == rule


def test_all_subscribers_are_timed_unless_said_otherwise():
    assert make_plan(URL, **CHAT).fan_out.timed is None
    assert make_plan(URL, **CHAT, timed="all").fan_out.timed is None
    assert make_plan(URL, **CHAT, timed=100).fan_out.timed == 100


def test_a_rate_per_connection_is_that_of_each_publisher():
    options = {"subscribers": 100, "publishers": 3, "message": "{marker}", "rate_per_connection": 2}
    assert make_plan(URL, **options).load.rate.peak == 6


def test_a_rule_given_for_replies_is_that_of_acknowledgements():
    assert make_plan(URL, **CHAT, match="order").correlation.rule == "order"
    plan = make_plan(
        URL, subscribers=2, rate=1, message='{"id":{seq},"t":"{marker}"}', match="json:id", expect="json:ok"
    )
    assert (plan.correlation.rule, len(plan.correlation.expect)) == ("json", 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": None}, "--subscribers: a fan-out publishes on a schedule"),
        ({"rate": None, "in_flight": 4}, "--subscribers: a fan-out publishes on a schedule"),
        ({"rate": 0}, "--rate: 0 publishes nothing"),
        ({"connections": 5}, "a fan-out opens as many as --publishers and --subscribers say; leave -c out"),
        ({"rooms": 11}, "--rooms: 11 rooms are more than the 10 subscribers"),
        ({"rooms": "a,b,a"}, '--rooms: "a" is named twice'),
        ({"rooms": "a,,b"}, "has an empty name"),
        ({"rooms": "a\nb"}, "is no name of a room"),
        ({"rooms": "ü" * 41}, "is no name of a room: one has at most 80 bytes"),
        ({"rooms": 0}, "--rooms: 0 is too few"),
        ({"rooms": 10**6}, "is too many; it takes at most 100_000"),
        ({"timed": 0}, "--timed: 0 is too few"),
        ({"timed": "some"}, "--timed: "),
        ({"marker": "id"}, '--marker: "id" recognizes no delivery'),
        ({"marker": "json:"}, "--marker: "),
        ({"marker": "regex:("}, "is no regular expression"),
        ({"self_delivery": "expected"}, "--self-delivery: publishers receive nothing that counts without --everyone"),
        ({"recovery": "expected"}, "--recovery: expected: no session comes back after it was lost; add --reconnect"),
        ({"recovery": "maybe"}, '--recovery: "maybe" is neither none nor expected'),
        ({"expect": "contains:a"}, "there are no replies to check in a fan-out without --match"),
        ({"message": "PING"}, "--message: a delivery is recognized by {marker}, which the message has not"),
        ({"message": ["{marker}", "x"]}, "which a message has not"),
        ({"message": "{ marker }"}, "which the message has not"),
        ({"first_message": "{marker}"}, "--first-message: {marker} stands in the messages that are published"),
        ({"header": "X: {marker}"}, "--header: {marker} stands in the messages that are published"),
        ({"duration": "61h"}, "--duration: a fan-out takes at most 60 h"),
        ({"duration": None, "messages": 2 * 10**6}, "--messages: a fan-out takes at most 60 h"),
        ({"publish_header": "X: y"}, '--publish-header: there is no request; add --publish-url "POST URL"'),
        (
            {"publish_url": "GET http://h/"},
            '--publish-url: "GET" is no method that publishes; write POST, PUT',
        ),
        ({"publish_url": "ws://h/"}, 'publishing is by http:// or https://, and not by "ws://"'),
        ({"publish_url": "h/path"}, "publishing is by http:// or https://"),
        ({"publish_url": "http://u:p@h/"}, "the URL has a user; write --publish-header"),
        ({"publish_url": "http:///x"}, "the URL names no host"),
        ({"publish_url": "http://h:99999/"}, "not a URL: its host or port is malformed"),
        ({"publish_url": "http://{room}.h/x"}, "a publisher keeps one connection, so fields stand behind the host"),
        ({"publish_url": "http://h/#x"}, "a request has no fragment"),
        ({"publish_url": "http://h/{feed.a}"}, "--publish-url: {feed.a} needs a feed"),
        ({"publish_url": "http://h/", "publish_header": "Content-Length: 3"}, "Content-Length is set by the request"),
        ({"publish_url": "http://h/", "match": "order"}, "the response to a publish by HTTP is that of its request"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(options, words):
    given = {"rate": 5, "duration": "10s", **CHAT, **options}
    problems = told(**given)
    assert any(words in problem for problem in problems), problems
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"connections": None}, "--everyone: needs the number of sessions; add -c N"),
        ({"rooms": 10}, "--everyone: a session alone in its room reaches no other"),
        ({"rooms": 11}, "--rooms: 11 rooms are more than the 10 sessions"),
        ({"publishers": 2}, "there every session publishes"),
        ({"subscribers": 2}, "--subscribers: cannot stand beside --everyone"),
        ({"publish_url": "http://h/"}, "sessions that publish do not publish by HTTP"),
    ],
)
def test_what_is_wrong_with_everyone_is_said(options, words):
    assert any(words in problem for problem in told(**{**EVERYONE, **options}))


def test_sessions_alone_in_their_rooms_may_expect_their_own_messages():
    assert make_plan(URL, **EVERYONE, rooms=10, self_delivery="expected").fan_out.mean_audience == 1


@pytest.mark.parametrize("kind", [CHAT, EVERYONE])
@pytest.mark.parametrize(
    "options",
    [
        {"size": 10, "message": None},
        {"ping": True},
        {"slow_readers": "5%:1kB/s"},
        {"stalled_readers": "5%"},
        {"no_pong_clients": "5%"},
        {"connection_stages": "1s:5"},
    ],
)
def test_what_no_fan_out_has_is_refused_with_a_reason(kind, options):
    (name,) = options.keys() - {"message"}
    option = "--subscribers" if kind is CHAT else "--everyone"
    beside = f"{option}: cannot stand beside --{name.replace('_', '-')}: "
    assert any(problem.startswith(beside) for problem in told(**{**kind, **options}))


@pytest.mark.parametrize(
    "options", [{"publishers": 3}, {"rooms": 2}, {"marker": "json:id"}, {"recovery": "none"}, {"timed": 2}]
)
def test_options_of_a_fan_out_need_one(options):
    (problem,) = told(**options)
    assert "is of a fan-out; add --subscribers N" in problem
    (problem,) = told(**options, everyone=False)
    assert "is of a fan-out; add --subscribers N" in problem


def test_fields_of_a_fan_out_need_one():
    assert told(message="{marker} {room}") == [
        "--message: {marker} is a field of a fan-out; add --subscribers N, or --everyone and -c N",
        "--message: {room} is a field of a fan-out; add --subscribers N, or --everyone and -c N",
    ]
    assert "--first-message: {room} is a field of a fan-out" in told(first_message="{room}")[0]


# --- Numbers that come back ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"message": '{"id":"{uuid}"}'}, "--marker: json:id does not find {seq} in the message"),
        ({"message": '{"nr":{seq}}'}, "--marker: json:id does not find {seq}"),
        ({"message": '{"id":7}'}, "--marker: json:id does not find {seq}"),
        ({"message": ['{"id":{seq}}', '{"id":1}']}, "--marker: json:id does not find {seq}"),
        ({"marker": "regex:nr=(.)"}, "or mend the pattern"),
        ({"workers": 2}, "--workers: only the worker that sent a message knows when"),
    ],
)
def test_a_number_must_be_found_in_the_message_on_one_worker(options, words):
    assert any(words in problem for problem in told(**{**BY_SEQ, **options}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"message": ['{"id":{seq}}', '{"id": {seq}, "more": 1}'], "weights": "3,1"},
        {"marker": "json:id=data.id"},
        {"marker": r'regex:"id":(\d+)'},
        {"message": '{"id":"{seq}"}'},
    ],
)
def test_plans_whose_number_comes_back_run_on_one_worker(options):
    assert make_plan(URL, **{**BY_SEQ, **options, "subscribers": 5000}).workers == 1


# --- Memory ---


def test_deliveries_that_take_too_much_memory_are_refused_with_the_numbers():
    options = {**CHAT, "subscribers": 100_000, "rate": 1000, "rooms": 1}
    (problem,) = told(**options, workers=1)
    assert problem.startswith("--subscribers: 100,000,000 deliveries a second, each accounted for until twice")
    assert "the --timeout of 10 s, take 2 GB of memory in each worker, which has 1 GiB for them" in problem
    for remedy in ({"workers": 2}, {"timeout": "5s"}, {"rooms": 2}, {"rate": 500}, {"subscribers": 50_000}):
        assert make_plan(URL, **{**options, "workers": 1, **remedy})


# --- Sizes and words ---


def test_the_size_of_a_message_is_known_beforehand():
    plan = make_plan(URL, subscribers=9, rate=1, message='{"room":"{room}","text":"{marker}"}', rooms="lobby,a")
    bare = len('{"room":"","text":""}') + MARKER_BYTES
    assert plan.message.size_bytes == bare + len("lobby")
    assert bare + len("lobby") <= plan.message.max_bytes <= bare + 80
    assert plan.message.fields == ("room", "marker")


def test_a_plan_in_words():
    words = words_of(**CHAT, publishers=4, rooms=2, timed=3, workers=2, publish_url="http://h/{room}")
    assert words["fan-out"] == "10 subscribers in 2 rooms, 4 publishers by HTTP"
    assert words["publishes"] == "each 1.25/s, to its room, by POST http://h/{room}, one request in flight"
    assert words["deliveries"] == "25 a second expected, of each message 5; recognized by {marker}"
    assert words["timed"] == "those to 3 subscribers; those to the others are counted"
    assert words["memory"] == "250 B in each worker for deliveries that can still come"
    assert not {"fan-out", "publishes", "deliveries", "timed", "memory"} & words_of().keys()


def test_everyone_in_words():
    words = words_of(**{**EVERYONE, "rate": None}, stages="5s:10,5s:0", self_delivery="excluded", reconnect="now")
    assert words["fan-out"] == "10 sessions, each of which publishes and receives"
    assert words["publishes"] == "at most each 1/s"
    expected = (
        "at most 90 a second expected, of each message 9; its publisher must not receive it; recognized by {marker}"
    )
    assert words["deliveries"] == expected
    assert "timed" not in words


def test_more_rooms_than_publishers_take_turns():
    words = words_of(**CHAT, publishers=2, rooms=5, recovery="expected", reconnect="now")
    assert words["publishes"] == "each 2.50/s, to the rooms in turn"
    assert "what was missed while away must come as well" in words["deliveries"]


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("?room={room}", {"rooms": 3}, "1 publisher sends to 3 rooms in turn"),
        ("?room={room}", {"rooms": 3, "publishers": 2}, "2 publishers send to 3 rooms in turn"),
        ("?room={room}", {"rooms": 3, "publishers": 3}, None),
        ("?room={room}", {}, None),
        ("?room={room}", {"rooms": 3, "publish_url": "POST http://h/{room}"}, None),
        ("", {"rooms": 3}, None),
    ],
)
def test_a_publisher_whose_url_names_one_room_cannot_reach_all(url, options, words):
    warnings = make_plan(URL + url, **CHAT | options).warnings
    assert len(warnings) == (words is not None)
    if words is not None:
        assert warnings[0].startswith(f"--publishers: {words}, and the URL names one room for each session")
        assert warnings[0].endswith("; take --publishers 3")
