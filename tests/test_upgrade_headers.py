"""Headers of an upgrade request: what the plan takes, the HTTP library takes; the rest is refused with the plan."""

import string

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import PlanError, make_plan
from ws_load_test.common.errors import UsageError
from ws_load_test.engine.connect.handshake import request_bytes
from ws_load_test.engine.connect.upgrade_request import UpgradeRequestFactory
from ws_load_test.websocket.frames import new_key

URL = "ws://127.0.0.1:3001/"
SECRET = "hush-hush"


def problem(**options):
    with pytest.raises(PlanError) as raised:
        make_plan(URL, **options)
    (found,) = raised.value.problems
    return str(found)


def headers_sent(**options):
    """The headers of the request of connection 0, as a server's HTTP library reads them."""

    request = UpgradeRequestFactory(make_plan(URL, **options).target).of(0)
    server = h11.Connection(h11.SERVER)
    server.receive_data(request_bytes(h11.Connection(h11.CLIENT), request, new_key()))
    return server.next_event().headers.raw_items()


REFUSED = {
    "two hosts": (["Host: a", "host: b"], "host is given twice"),
    "two credentials": (["Authorization: a", "Authorization: b"], "Authorization is given twice"),
    "two cookies": (["Cookie: a=1", "Cookie: b=2"], "give --cookie once for each"),
    "no host": (["Host:"], "the value of Host is no host"),
    "a host with a space": (["Host: a b"], "the value of Host is no host"),
    "a host with a path": (["Host: a/b"], "the value of Host is no host"),
    "a host that is a URL": (["Host: ws://a"], "the value of Host is no host"),
    "a body in chunks": (["Transfer-Encoding: chunked"], "an upgrade request has none"),
    "a length": (["content-length: 0"], "an upgrade request has none"),
    "an expectation": (["Expect: 100-continue"], "an upgrade request has none"),
    "the answer's": (["Sec-WebSocket-Accept: x"], "belongs to the answer"),
    "the handshake's": (["Upgrade: h2c"], "set by the WebSocket handshake itself"),
    "a subprotocol": (["Sec-WebSocket-Protocol: v1"], "--subprotocol offers"),
    "an extension": (["Sec-WebSocket-Extensions: x"], "--deflate offers"),
    "a line break": ([f"X: {SECRET}\r\nY: b"], "the value of X holds a line break"),
    "a null": ([f"X: {SECRET}\0"], "the value of X holds a line break or another control"),
    "not ASCII": ([f"X: {SECRET}é"], "only ASCII"),
    "an empty name": ([f": {SECRET}"], "is no header"),
    "a name with a space": ([f"A B: {SECRET}"], "is no header"),
    "a name that is not ASCII": ([f"Ä: {SECRET}"], "is no header"),
    "a table with two of a name": ({"Host": "a", "HOST": "b"}, "HOST is given twice"),
    "a table with a list": ({"X": [SECRET]}, "a list is not text"),
    "a table with nothing": ({"X": None}, "is not text"),
}


@pytest.mark.parametrize(("header", "words"), REFUSED.values(), ids=REFUSED)
def test_headers_that_no_request_can_have(header, words):
    text = problem(header=header)
    assert text.startswith("--header: ")
    assert words in text
    assert SECRET not in text


def test_an_empty_value_and_spaces_around_one_are_no_errors():
    sent = headers_sent(header={"X-Empty": "", " X-Room ": " blue ", "X-Number": 3})
    assert {(b"X-Empty", b""), (b"X-Room", b"blue"), (b"X-Number", b"3")} <= set(sent)


@given(
    st.text(string.printable + "é\0", max_size=6),
    st.text(string.printable + "é€\0\x7f\x85", max_size=6),
    st.sampled_from(["header", "table", "origin", "cookie", "bearer", "subprotocol", "host"]),
)
def test_whatever_the_plan_takes_leaves_as_it_was_given(name, value, where):
    options = {
        "header": {"header": f"{name}:{value}"},
        "table": {"header": {name: value}},
        "origin": {"origin": value},
        "cookie": {"cookie": f"a={value}"},
        "bearer": {"bearer": "t" + value},
        "subprotocol": {"subprotocol": "v" + value},
        "host": {"header": f"Host: {value}"},
    }[where]
    try:
        make_plan(URL, **options)
    except PlanError:
        return
    sent = headers_sent(**options)
    assert [found.lower() for found, _ in sent].count(b"host") == 1
    expected = {
        "origin": value,
        "cookie": f"a={value}",
        "bearer": f"Bearer t{value}",
        "subprotocol": ", ".join(part.strip() for part in ("v" + value).split(",")),
    }.get(where, value)
    if where == "header":
        name, _, expected = f"{name}:{value}".partition(":")
    assert expected.strip().encode() in [found for _, found in sent]


FILLED = {
    "a header": {"header": "X: {feed.x}"},
    "the Host": {"header": "Host: {feed.x}"},
    "a cookie": {"cookie": "a={feed.x}"},
    "a subprotocol": {"subprotocol": "v{feed.x}"},
    "the origin": {"origin": "http://{feed.x}"},
    "a token": {"bearer": "{feed.x}"},
    "a user": {"user": "{feed.x}:{feed.x}"},
}


@pytest.mark.parametrize("options", FILLED.values(), ids=FILLED)
@pytest.mark.parametrize("name", ["feed.csv", "feed.jsonl"])
def test_a_row_that_no_request_can_carry_is_named_with_the_plan(tmp_path, options, name):
    feed = tmp_path / name
    rows = ["fine", f"{SECRET}\\nb"] if name.endswith("jsonl") else ["fine", f"{SECRET}\nb"]
    if name.endswith("jsonl"):
        feed.write_text("".join(f'{{"x": "{row}"}}\n' for row in rows))
    else:
        feed.write_text("x\n" + "".join(f'"{row}"\n' for row in rows))
    make_plan(URL, feed=str(feed), message="{feed.x}")
    text = problem(feed=str(feed), **options)
    assert text.startswith(f"--{next(iter(options))}: ")
    assert f'"{feed}", line {2 if name.endswith("jsonl") else 3} ({{feed.x}})' in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("options", "row", "words"),
    [
        ({"cookie": "a={feed.x}"}, "b; c=d", "a semicolon"),
        ({"subprotocol": "{feed.x},v1"}, "v1", "the name of another subprotocol"),
        ({"bearer": "{feed.x}"}, "a b", "is no token"),
        ({"header": "Host: {feed.x}"}, "a/b", "is no host"),
    ],
)
def test_what_a_row_makes_of_other_parts(tmp_path, options, row, words):
    feed = tmp_path / "feed.csv"
    feed.write_text(f"x\n{row}\n")
    assert words in problem(feed=str(feed), **options)


def test_a_row_that_makes_no_url(tmp_path):
    feed = tmp_path / "feed.csv"
    feed.write_text("host\na.example\nb c\n")
    with pytest.raises(PlanError, match=r"URL: filled in from .*, line 3 \({feed.host}\), it is no URL"):
        make_plan("ws://{feed.host}:3001/", feed=str(feed))


def test_only_rows_of_a_large_feed_that_connections_take_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("ws_load_test.plan.options.feed_rows.SMALL_BYTES", 0)
    monkeypatch.setattr("ws_load_test.plan.options.feed_rows.CHECKED_ROWS", 1)
    feed = tmp_path / "feed.csv"
    feed.write_text("x\na\nb\né\n")
    make_plan(URL, feed=str(feed), header="X: {feed.x}", connections=2)
    assert "line 4" in problem(feed=str(feed), header="X: {feed.x}", connections=3)


def test_a_value_that_comes_up_later_is_the_users_error():
    target = make_plan(URL, header="X: {random:3}").target
    with pytest.raises(UsageError, match="--header: filled in, the value of X holds a line break"):
        UpgradeRequestFactory(target).of(0, lambda text: text.replace("{random:3}", "a\nb"))
