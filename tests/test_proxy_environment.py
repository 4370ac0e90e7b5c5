"""Proxies that the environment names: which variable counts, which hosts are reached without one, what is shown."""

import pytest

from ws_load_test.common.errors import PlanError
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.proxy_environment import ProxyEnvironment

VARIABLES = [f"{name}_proxy" for name in ("ws", "wss", "http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variables", "ws", "wss"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "s"}, "s", "s"),
        ({"HTTP_PROXY": "h"}, "h", None),
        ({"HTTP_PROXY": "h", "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": "h", "REQUEST_METHOD": "GET"}, "h", None),
        ({"HTTP_PROXY": "h", "HTTPS_PROXY": "s"}, "h", "s"),
        ({"HTTPS_PROXY": "upper", "https_proxy": "lower"}, "lower", "lower"),
        ({"https_proxy": " ", "HTTPS_PROXY": "s"}, "s", "s"),
        ({"ALL_PROXY": "a", "HTTPS_PROXY": "s"}, "s", "s"),
        ({"all_proxy": "a", "HTTP_PROXY": "h"}, "h", "a"),
        ({"ws_proxy": "w", "WSS_PROXY": "x", "HTTP_PROXY": "h", "HTTPS_PROXY": "s"}, "w", "x"),
    ],
)
def test_which_variable_counts(variables, ws, wss):
    named = ProxyEnvironment.read(variables)
    assert (named.ws, named.wss) == (ws, wss)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("*", "h", 80, True),
        ("h", "h", 80, True),
        ("H.", "h.", 80, True),
        ("h", "gh", 80, False),
        ("example.com", "a.example.com", 80, True),
        (".example.com", "example.com", 80, True),
        ("*.example.com", "a.b.example.com", 80, True),
        ("example.com", "badexample.com", 80, False),
        ("a, b  c,", "c", 80, True),
        ("h:80", "h", 80, True),
        ("h:80", "h", 81, False),
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "127.0.0.1", 81, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.0.0.0/8", "10.example", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:80", "::1", 81, False),
        ("fe80::/10", "fe80::1%eth0", 80, True),
        ("", "h", 80, False),
        (",.,", "h", 80, False),
    ],
)
def test_which_hosts_are_reached_without_one(no_proxy, host, port, direct):
    named = ProxyEnvironment.read({"all_proxy": "http://p", "NO_PROXY": no_proxy})
    assert (named.proxy_for(host, port, secure=True) is None) is direct
    assert (named.proxy_for(host, port, secure=False) is None) is direct


def test_a_plan_has_what_the_environment_named_and_hides_its_secrets(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks://joe:hush-hush@p.example")
    monkeypatch.setenv("NO_PROXY", "localhost,.internal")
    plan = make_plan("wss://h/", proxy="env")
    assert plan.target.proxies == ("socks5h://joe:hush-hush@p.example",)
    assert plan.target.connect_addresses == (("p.example", 1080),)
    assert not plan.warnings
    assert "hush-hush" in plan.target.secrets()
    shown = dict(plan.target.describe())["proxy"]
    assert shown == "socks5h://***@p.example (of the environment), but not for localhost, .internal"
    assert "hush-hush" not in str(plan.redacted())
    assert make_plan("wss://h.internal/", proxy="env").target.connect_addresses == (("h.internal", 443),)


def test_nothing_in_the_environment_is_shown_too():
    plan = make_plan("wss://h/", proxy="env")
    assert dict(plan.target.describe())["proxy"] == "none: no variable of the environment names one"
    assert plan.target.connect_addresses == (("h", 443),)


def test_a_variable_that_names_no_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "ftp://joe:hush-hush@p")
    with pytest.raises(PlanError) as caught:
        make_plan("wss://h/", proxy="env")
    (problem,) = caught.value.problems
    assert problem.text.startswith("env: of HTTPS_PROXY, it is not the URL of a proxy that we can use")
    assert "hush-hush" not in str(caught.value)


def test_a_hint_where_a_variable_is_set_and_not_used(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://joe:hush-hush@p")
    (hint,) = make_plan("wss://h/").warnings
    assert hint.startswith("ALL_PROXY is set, and not used: --proxy env uses it")
    for options in ({"proxy": "none"}, {"proxy": "http://other"}, {"proxy": "env"}, {"unix_socket": "/x"}):
        assert not make_plan("wss://h/", **options).warnings
    monkeypatch.setenv("no_proxy", "h")
    assert not make_plan("wss://h/").warnings


@pytest.mark.parametrize("options", [{"proxy": "https://p"}, {"proxy": "env"}])
def test_tls_options_have_a_meaning_for_a_proxy_under_tls(monkeypatch, options):
    monkeypatch.setenv("HTTP_PROXY", "https://p")
    assert make_plan("ws://h/", insecure=True, **options).target.insecure
