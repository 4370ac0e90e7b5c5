"""Where to, as whom, how trusted: every option of the target, every mistake with its name, none with its secret."""

import msgspec
import pytest

from ws_load_test.common.errors import PlanError
from ws_load_test.plan.options.catalog import PARSERS, conflicts, missing_companions
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.options.target import read_target
from ws_load_test.plan.proxy_environment import ProxyEnvironment
from ws_load_test.plan.target import (
    Endpoint,
    Target,
    render_url,
)

SECRET = "hush-hush"


def read(url="wss://h/", **options):
    """The target and the problems, by option."""
    values, problems = {}, []
    for name, value in {"url": url, **options}.items():
        values[name] = PARSERS[name](value)
    problems += [*conflicts(values), *missing_companions(values, values)]
    return read_target(values, problems), {problem.option: problem.text for problem in problems}


def good(url="wss://h/", **options):
    target, problems = read(url, **options)
    assert not problems
    assert msgspec.json.decode(msgspec.json.encode(target), type=Target) == target, "it goes to workers as JSON"
    return target


@pytest.mark.parametrize(
    ("option", "value", "field", "read_as"),
    [
        ("connect_to", "10.0.0.1, b.example:81", "addresses", ("10.0.0.1", "b.example:81")),
        ("connect_to", ["::1", "[::1]:80"], "addresses", ("::1", "[::1]:80")),
        ("unix_socket", "/run/x.sock", "unix_socket", "/run/x.sock"),
        ("proxy", "http://joe:x@proxy.example:3128/", "proxy", "http://joe:x@proxy.example:3128/"),
        ("proxy", "SOCKS5H://[::1]:1080", "proxy", "SOCKS5H://[::1]:1080"),
        ("sni", "bücher.example.", "sni", "xn--bcher-kva.example"),
        ("tls_min", 1.3, "tls_min", "1.3"),
        ("tls_min", "1.2", "tls_min", "1.2"),
        ("ciphers", "ECDHE+AESGCM", "ciphers", "ECDHE+AESGCM"),
        ("tls_resume", True, "tls_resume", True),
        ("cookie", ["a=1", "b={feed.ü}"], "cookies", ("a=1", "b={feed.ü}")),
        ("cookie", "a=", "cookies", ("a=",)),
        ("origin", "https://{feed.room}.example", "origin", "https://{feed.room}.example"),
        ("user", "joe:", "user", "joe:"),
        ("user", "{feed.user}:{feed.password}", "user", "{feed.user}:{feed.password}"),
        ("bearer", "Bearer abc", "bearer", "abc"),
        ("follow_redirects", True, "follow_redirects", True),
        ("deflate", "on", "deflate", "client_max_window_bits"),
        ("deflate", True, "deflate", "client_max_window_bits"),
        (
            "deflate",
            "client_max_window_bits=10; server_no_context_takeover;",
            "deflate",
            "client_max_window_bits=10; server_no_context_takeover",
        ),
        ("subprotocol", "v1, token.{feed.token}", "subprotocols", ("v1", "token.{feed.token}")),
        ("header", ["X: {feed.größe}"], "headers", (("X", "{feed.größe}"),)),
    ],
)
def test_reads(option, value, field, read_as):
    assert getattr(good(**{option: value}), field) == read_as


def test_several_urls():
    target = good(["ws://a/", "wss://b:9/"])
    assert (target.url, target.extra_urls, target.urls) == ("ws://a/", ("wss://b:9/",), ("ws://a/", "wss://b:9/"))
    assert target.secure, "one of them is"
    assert target.connect_addresses == (("a", 80), ("b", 9))


@pytest.mark.parametrize(
    ("options", "dialled"),
    [
        ({}, (("h", 443),)),
        ({"connect_to": "a,b:9"}, (("a", 443), ("b", 9))),
        ({"proxy": "socks5://p"}, (("p", 1080),)),
        ({"proxy": "http://p:3128", "connect_to": "a"}, (("p", 3128),)),
        ({"unix_socket": "/x"}, ()),
        ({"url": ["wss://{feed.h}/", "wss://b/"]}, (("b", 443),)),
    ],
)
def test_whom_connections_are_made_to(options, dialled):
    assert good(**options).connect_addresses == dialled


@pytest.mark.parametrize(
    "url",
    [
        "ws://{feed.region}.example/",
        "ws://{feed.host}:{feed.port}/x",
        "ws://{feed.user}:{feed.password}@h/",
        "ws://h/{feed.a/b}?t={feed.token}",
        "ws://h:81/{random:8}/{int:1..9}?u={uuid}",
        'ws://h/?q={"a":1}',
        "ws://h/{no_field}",
    ],
)
def test_urls_may_hold_fields(url):
    assert good(url).url == url


def test_a_url_with_fields_can_be_shown_and_asked_for_its_parts():
    target = good("wss://{feed.Region}.example:81/{feed.room}")
    assert (target.host, target.port, target.secure) == ("{feed.Region}.example", 81, True)
    assert good("ws://{feed.host}:{feed.port}/").port == 80
    assert target.is_templated
    assert not good("wss://h/{x}").is_templated


def test_filling_keeps_what_is_no_field():
    assert render_url("ws://h/{x}/{seq}?a={seq}", lambda text: "1/2" if text == "{seq}" else text) == (
        "ws://h/{x}/1%2F2?a=1%2F2"
    )
    assert render_url("ws://{feed.h}/", lambda _: "h:81") == "ws://h:81/"


def test_an_endpoint_knows_its_authority():
    assert Endpoint.of("wss://[::1]/").authority == "[::1]"
    assert Endpoint.of("ws://[::1]:443/").authority == "[::1]:443"


MISTAKES = {
    "url": (
        f"http://joe:{SECRET}@h/?t={SECRET}",
        f"h:80/?t={SECRET}",
        "ws://{lobby}.example/",
        f"ws://joe:{SECRET}@h:{{feed.x}}9/",
        f"ws://joe:{SECRET}@/x",
        f"ws://h/#{SECRET}",
        f"ws://h/ {SECRET}",
        "ws://h:0/",
        f"ws://joe:{SECRET}@[::1/",
        (),
    ),
    "connect_to": ("::1:3001", "h:x", "h:0", "h:65536", "a b", "", "ws://h", "{feed.h}", "a..b:1", "[::1"),
    "unix_socket": ("", "/x\0", "/" + "x" * 107, 7),
    "proxy": (
        "h:80",
        f"ftp://joe:{SECRET}@h:1",
        f"http://joe:{SECRET}@",
        f"http://joe:{SECRET}@h:x",
        f"http://joe:{SECRET}@h:1/x",
        f"http://h/?{SECRET}",
        f"http://joe:{SECRET} @h",
        f"socks5://{SECRET}@h:1",
        f"socks4://{SECRET}%C3%A4@h:1",
    ),
    "sni": ("", "a b", "a/b", ".", "[::1]"),
    "tls_min": ("1.1", "1", "tls1.3", True, 2),
    "ciphers": ("", "NONSENSE", 7),
    "tls_resume": ("yes", 1),
    "cookie": (SECRET, f"={SECRET}", f"a={SECRET};b", f"a b={SECRET}", f"a={SECRET}\n1", f"a={SECRET}ä"),
    "origin": ("", f"{SECRET}\n1", f"{SECRET}ä"),
    "user": (SECRET, f"{SECRET}\n:x", "{feed.a:b}"),
    "bearer": ("", f"{SECRET} x", f"{SECRET}\x00", f"{SECRET}ä", "@/no/such/file"),
    "follow_redirects": ("yes",),
    "deflate": ("off", "window=9", "client_max_window_bits=16", "server_max_window_bits", "on; on", 9),
    "subprotocol": ("a b {feed.x}", "a,a", "{x}", ""),
    "header": (
        f"Authorization {SECRET}",
        f"A: {SECRET}\n1",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Upgrade: x",
        f"Sec-WebSocket-Key: {SECRET}",
        f"A: {SECRET}\x01",
    ),
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in MISTAKES.items() for value in values]
)
def test_mistakes(option, value):
    with pytest.raises(ValueError) as caught:
        PARSERS[option](value)
    told = str(caught.value)
    assert told
    assert told.isprintable()
    assert SECRET not in told


def test_a_token_from_a_file(tmp_path):
    (tmp_path / "good").write_text("abc.{feed.x}\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert good(bearer=f"@{tmp_path / 'good'}").bearer == "abc.{feed.x}"
    for name in ("empty", "binary"):
        with pytest.raises(ValueError, match=name):
            PARSERS["bearer"](f"@{tmp_path / name}")


@pytest.mark.parametrize(
    ("url", "options", "option", "words"),
    [
        ("wss://h/", {"unix_socket": "/x", "connect_to": "a"}, "--unix-socket", "beside --connect-to"),
        ("wss://h/", {"unix_socket": "/x", "proxy": "http://p"}, "--unix-socket", "beside --proxy"),
        ("wss://h/", {"user": "a:b", "bearer": "x"}, "--user", "one Authorization header"),
        ("wss://h/", {"user": "a:b", "header": "authorization: x"}, "--user", "both set the same header"),
        ("wss://h/", {"bearer": "x", "header": "Authorization: x"}, "--bearer", "beside --header Authorization"),
        (f"wss://joe:{SECRET}@h/", {"bearer": SECRET}, "--bearer", "the user in the URL"),
        ("wss://h/", {"cookie": "a=1", "header": "Cookie: b=2"}, "--cookie", "beside --header Cookie"),
        ("wss://h/", {"cookie": ["a=1", "a=2"]}, "--cookie", "a is given twice"),
        ("wss://h/", {"origin": "x", "header": "Origin: y"}, "--origin", "beside --header Origin"),
        ("ws://h/", {"sni": "x"}, "--sni", "did you mean wss://?"),
        ("ws://h/", {"tls_resume": True}, "--tls-resume", "did you mean wss://?"),
        ("ws://h/", {"tls_min": "1.3"}, "--tls-min", "did you mean wss://?"),
        ("ws://h/", {"insecure": True}, "--insecure", "did you mean wss://?"),
        ("wss://h/", {"tls_min": "1.3", "ciphers": "ECDHE"}, "--ciphers", "names the ciphers of TLS 1.2"),
        ("wss://h/", {"key": __file__}, "--key", "add --cert"),
    ],
)
def test_options_that_do_not_go_together(url, options, option, words):
    _, problems = read(url, **options)
    assert words in problems[option]
    assert SECRET not in str(problems)


@pytest.mark.parametrize(
    "options", [{"follow_redirects": True, "insecure": True}, {"url": ["ws://h/", "wss://h/"], "insecure": True}]
)
def test_tls_may_come_later(options):
    good(**{"url": "ws://h/", **options})


def test_describes_itself_without_secrets():
    target = good(
        [f"wss://joe:{SECRET}@h/?token={SECRET}", "wss://{feed.region}.example/{feed.token}"],
        header=[f"X-Api-Key: {SECRET}", "X-Room: 7"],
        cookie=[f"sid={SECRET}", "own={feed.sid}"],
        proxy=f"http://joe:{SECRET}@proxy.example:3128",
        connect_to="10.0.0.1",
        subprotocol="v1",
        origin="https://app.example",
        insecure=True,
        sni="other.example",
        tls_min="1.3",
        tls_resume=True,
        follow_redirects=True,
        deflate="on",
    )
    lines = dict(target.describe())
    assert SECRET not in str(lines)
    assert lines == {
        "target": "wss://***@h/?token=***, wss://{feed.region}.example/{feed.token}, in turn",
        "connects to": "10.0.0.1",
        "proxy": "http://***@proxy.example:3128",
        "headers": "X-Api-Key: ***; X-Room: 7",
        "cookies": "sid=***; own={feed.sid}",
        "subprotocols": "v1",
        "origin": "https://app.example",
        "redirects": "followed, 5 at most",
        "compression": "permessage-deflate, offered with client_max_window_bits",
        "TLS": "trusts any certificate, asks for other.example, at least TLS 1.3, resumes sessions",
    }
    assert dict(good(unix_socket="/x", user="{feed.user}:{feed.password}").describe()) == {
        "target": "wss://h/",
        "connects to": "the Unix socket /x",
        "credentials": "Basic, {feed.user}:{feed.password}",
        "TLS": "trusts the system's authorities",
    }


def test_a_target_of_another_version_can_be_described():
    # As a recording may have it, whoever wrote it.
    odd = Target(url="ws://h/", resolve=("x", ""), dns_ttl_ns=1, proxy_environment=ProxyEnvironment(ws="", wss="x"))
    assert dict(odd.describe())["names"] == "x (given),  (given), looked up again after 1 ns"


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({"url": "ws://svc:80", "resolve": "svc:80:10.0.0.1"}, ""),
        ({"url": "ws://svc", "resolve": "SVC.:*:10.0.0.1"}, ""),
        ({"url": "ws://svc", "connect_to": "other:9", "resolve": "other:9:10.0.0.1"}, ""),
        ({"url": "ws://svc", "resolve": "svc:81:10.0.0.1"}, "svc:81"),
        ({"url": "ws://svc", "resolve": ["svc:*:10.0.0.1", "srv:*:10.0.0.1"]}, "srv:*"),
        ({"url": "ws://svc", "resolve": "srv:80:10.0.0.1", "follow_redirects": True}, ""),
        ({"url": "ws://{seq}.svc", "resolve": "0.svc:80:10.0.0.1"}, ""),
    ],
)
def test_an_address_that_no_session_uses_is_a_warning(options, unused):
    warnings = [one for one in make_plan(**options).warnings if one.startswith("--resolve")]
    text = f"--resolve: {unused} is used by no session, for none connects to that host and port"
    assert warnings == [text] * bool(unused)


def test_an_address_that_is_missing_is_named():
    with pytest.raises(PlanError, match='"svc:4731" names no address; write HOST:PORT:ADDRESS'):
        make_plan("ws://svc", resolve="svc:4731")


def test_an_environment_without_a_proxy_is_a_warning(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    text = "--proxy env: no variable of the environment names a proxy, so none is used"
    assert make_plan("ws://svc", proxy="env").warnings == (text,)
    monkeypatch.setenv("ALL_PROXY", "http://h:1")
    assert make_plan("ws://svc", proxy="env").warnings == ()
