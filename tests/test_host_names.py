"""Hosts in their one form, for the look-up, the Host header and TLS; or refused, with the right form."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.plan.host_names import HostNameError, host_and_port
from ws_load_test.plan.options import target_values
from ws_load_test.plan.target import Endpoint, render_url


@pytest.mark.parametrize(
    ("url", "host", "header", "server_name"),
    [
        ("ws://localhost.:81/", "localhost.", "localhost.:81", "localhost"),
        ("WS://LOCALHOST:80/", "localhost", "localhost", "localhost"),
        ("ws://%6cocal%68ost/", "localhost", "localhost", "localhost"),
        ("ws://stra%C3%9fe.example/", "xn--strae-oqa.example", "xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("wss://faß.example", "xn--fa-hia.example", "xn--fa-hia.example", "xn--fa-hia.example"),
        ("ws://FASS.example", "fass.example", "fass.example", "fass.example"),
        ("ws://bücher。example．/", "xn--bcher-kva.example.", "xn--bcher-kva.example.", "xn--bcher-kva.example"),
        ("ws://_x.bücher.example/", "_x.xn--bcher-kva.example", "_x.xn--bcher-kva.example", "_x.xn--bcher-kva.example"),
        ("ws://１２７。0．0.1:80/", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("ws://127.0.0.1./", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("ws://127.1:/", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("ws://my_service-1:9/", "my_service-1", "my_service-1:9", "my_service-1"),
        ("ws://[2001:DB8::1]:443/", "2001:db8::1", "[2001:db8::1]:443", "2001:db8::1"),
        ("wss://[fe80::1%eth0]:443/", "fe80::1%eth0", "[fe80::1]", "fe80::1"),
        ("wss://[fe80::1%25en0]/", "fe80::1%en0", "[fe80::1]", "fe80::1"),
        ("ws://joe:p@::w@h:1/", "h", "h:1", "h"),
    ],
)
def test_a_host_has_one_form(url, host, header, server_name):
    endpoint = Endpoint.of(target_values.url(url))
    assert (endpoint.host, endpoint.authority, endpoint.server_name) == (host, header, server_name)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("::1:3001", "in brackets: [::1]:3001 or [::1:3001]"),
        ("::1", "in brackets: [::1]"),
        ("::1:", "in brackets: [::1]:"),
        ("fe80::1%eth0:80", "in brackets: [fe80::1%eth0]:80"),
        ("::1:65535", "in brackets: [::1]:65535"),
        ("[::1%lo]", "only link-local ones"),
        ("[fe80::1%a b]", "spaces"),
        ("[fe80::1%a*b]", "the zone"),
        ("[127.0.0.1]", "malformed"),
        ("[::1", "malformed"),
        ("[::1]x:80", "malformed"),
        ("h:80:90", "malformed, or its port"),
        ("h:0", "number from 1 to 65535"),
        ("h:70000", "number from 1 to 65535"),
        ("h:８０", "number from 1 to 65535"),
        ("h:+8", "number from 1 to 65535"),
        ("256.0.0.1", "no IPv4 address"),
        ("1.2.3.4.5", "no IPv4 address"),
        ("a..b", "two dots"),
        (".a", "two dots"),
        ("x" * 64, "longer than"),
        ("x." * 127 + "xy", "longer than"),
        ("a%20b", "a character that no host has"),
        ("a\\b", "a character that no host has"),
        ("a,b", "a character that no host has"),
        ("%zz", "begins no percent-encoding"),
        ("%ff", "not in UTF-8"),
        ("☃.example", "no internationalized name"),
        ("-ü.example", "no internationalized name"),
        ("h/#", "no fragment"),
        (":80", "names no host"),
    ],
)
def test_a_host_that_is_none(host, words):
    with pytest.raises(ValueError) as caught:
        target_values.url(f"ws://{host}")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("::1", ("::1", None)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("1:2:3:4:5:6:7:8", ("1:2:3:4:5:6:7:8", None)),
        ("fe80::1%eth0", ("fe80::1%eth0", None)),
        ("[::1]:65535", ("::1", 65535)),
        ("H.:1", ("h.", 1)),
        ("ü.example:8", ("xn--tda.example", 8)),
    ],
)
def test_options_take_ipv6_without_brackets_where_no_port_is_meant(text, parts):
    assert host_and_port(text, bare_ipv6=True) == parts
    if text.count(":") > 1 and "[" not in text:
        with pytest.raises(HostNameError, match="in brackets"):
            host_and_port(text)


def test_a_column_of_addresses_needs_no_brackets():
    values = {"{feed.host}": "::1", "{feed.port}": "80"}
    assert render_url("ws://{feed.host}:{feed.port}/x", values.get) == "ws://[::1]:80/x"
    assert render_url("ws://{feed.host}/x", values.get) == "ws://[::1]/x"


@given(st.text(max_size=20))
def test_whatever_is_written_is_a_host_or_an_error(text):
    try:
        host, port = host_and_port(text)
    except HostNameError:
        return
    assert port is None or 0 < port < 65536
    if "{" in host:
        return
    assert host.isascii()
    if ":" in host:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        assert host_and_port(f"[{host}]")[0] == host
    else:
        assert host_and_port(host) == (host, None), "its one form stays as it is"
