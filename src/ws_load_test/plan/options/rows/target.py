"""Options that say what to connect to, with which credentials and which trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options import target_values
from ws_load_test.plan.options.spec import Duration, Flag, Group, Number, OptionSpec, Text, Texts

ONE_AUTHORIZATION = "a request has one Authorization header"
TARGET = (
    OptionSpec(
        name="url",
        metavar="URL",
        help="the target: ws://host:port/path or wss://...; several are used in turn. URL can stand without a name",
        group=Group.TARGET,
        parse=target_values.urls,
        short="u",
        aliases=("g", "gateway"),
        repeatable=True,
    ),
    OptionSpec(
        name="header",
        metavar='"NAME: VALUE"',
        help="add a header to the upgrade request",
        group=Group.TARGET,
        parse=target_values.headers,
        field="target.headers",
        short="H",
        repeatable=True,
    ),
    OptionSpec(
        name="subprotocol",
        metavar="NAME",
        help="offer a subprotocol",
        group=Group.TARGET,
        parse=target_values.subprotocols,
        field="target.subprotocols",
        repeatable=True,
    ),
    OptionSpec(
        name="user",
        metavar="NAME:PASSWORD",
        help="use basic authentication",
        group=Group.TARGET,
        parse=target_values.user,
        field="target.user",
        excludes={"bearer": ONE_AUTHORIZATION},
    ),
    OptionSpec(
        name="bearer",
        metavar="TOKEN|@FILE",
        help="use a bearer token",
        group=Group.TARGET,
        parse=target_values.bearer,
        field="target.bearer",
    ),
    OptionSpec(
        name="cookie",
        metavar="NAME=VALUE",
        help="send a cookie",
        group=Group.TARGET,
        parse=target_values.cookies,
        field="target.cookies",
        repeatable=True,
    ),
    OptionSpec(
        name="origin",
        metavar="URL",
        help="send the Origin header, as a browser does",
        group=Group.TARGET,
        parse=target_values.header_value,
        field="target.origin",
    ),
    OptionSpec(
        name="connect_to",
        metavar="HOST[:PORT]",
        help="connect there instead of to the URL's host; several are used in turn",
        group=Group.TARGET,
        parse=target_values.addresses,
        field="target.addresses",
        former_names=("address",),
        repeatable=True,
    ),
    OptionSpec(
        name="resolve",
        metavar="HOST:PORT:ADDRESS",
        help="addresses of a name, which is not looked up: service.example:443:10.0.0.1,10.0.0.2; the port may be *",
        group=Group.TARGET,
        parse=target_values.resolve,
        field="target.resolve",
        repeatable=True,
    ),
    OptionSpec(
        name="dns_ttl",
        metavar="TIME",
        help="look a name up again when a session is dialed that long after; 0 for every dial, 24h for once in a run",
        group=Group.TARGET,
        parse=option_values.duration,
        default="1s",
        field="target.dns_ttl_ns",
    ),
    OptionSpec(
        name="rotate_addresses",
        metavar="",
        help="take the addresses of a name in turn, instead of the first that answers",
        group=Group.TARGET,
        parse=option_values.boolean,
        field="target.rotate_addresses",
    ),
    OptionSpec(
        name="unix_socket",
        metavar="PATH",
        help="connect to a Unix socket of this machine",
        group=Group.TARGET,
        parse=target_values.unix_socket,
        field="target.unix_socket",
        excludes={
            "connect_to": "both say where to connect to",
            "proxy": "a Unix socket is on this machine, and so before any proxy",
            "bind": "a Unix socket has no source addresses",
        },
    ),
    OptionSpec(
        name="proxy",
        metavar="URL|env|none",
        help="connect through http://, https://, socks4:// or socks5://[user:password@]host:port, or env: what "
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say",
        group=Group.TARGET,
        parse=target_values.proxy,
        field="target.proxy",
    ),
    OptionSpec(
        name="bind",
        metavar="ADDRESS",
        help="use these source addresses in turn: one, several, or a network such as 10.0.0.0/28",
        group=Group.TARGET,
        parse=option_values.addresses,
        field="bind",
        repeatable=True,
    ),
    OptionSpec(
        name="follow_redirects",
        metavar="",
        help="follow up to 5 redirects instead of counting them as refusals",
        group=Group.TARGET,
        parse=option_values.boolean,
        field="target.follow_redirects",
    ),
    OptionSpec(
        name="deflate",
        metavar="on|PARAMETERS",
        help="offer compression (permessage-deflate), for example "
        '"client_max_window_bits=10; server_no_context_takeover"',
        group=Group.TARGET,
        parse=target_values.deflate,
        field="target.deflate",
    ),
)
TLS = (
    OptionSpec(
        name="insecure",
        metavar="",
        help="accept any certificate",
        group=Group.TLS,
        parse=option_values.boolean,
        field="target.insecure",
        excludes={"cacert": "either any certificate is taken or those of an authority"},
    ),
    OptionSpec(
        name="cacert",
        metavar="FILE",
        help="trust the authorities in this PEM file",
        group=Group.TLS,
        parse=option_values.readable_file,
        field="target.cacert",
    ),
    OptionSpec(
        name="cert",
        metavar="FILE",
        help="PEM file of the client certificate",
        group=Group.TLS,
        parse=option_values.readable_file,
        field="target.cert",
    ),
    OptionSpec(
        name="key",
        metavar="FILE",
        help="PEM file of its private key",
        group=Group.TLS,
        parse=option_values.readable_file,
        field="target.key",
        requires={("cert",): "needs the certificate that it belongs to; add --cert FILE"},
    ),
    OptionSpec(
        name="sni",
        metavar="NAME",
        help="server name to ask for, instead of the URL's host",
        group=Group.TLS,
        parse=target_values.sni,
        field="target.sni",
    ),
    OptionSpec(
        name="tls_min",
        metavar="1.2|1.3",
        help="oldest TLS version to accept",
        group=Group.TLS,
        parse=target_values.tls_version,
        default="1.2",
        field="target.tls_min",
    ),
    OptionSpec(
        name="ciphers",
        metavar="LIST",
        help="ciphers of TLS 1.2, as OpenSSL writes them",
        group=Group.TLS,
        parse=target_values.ciphers,
        field="target.ciphers",
    ),
    OptionSpec(
        name="tls_resume",
        metavar="",
        help="resume TLS sessions instead of making a full handshake each time",
        group=Group.TLS,
        parse=option_values.boolean,
        field="target.tls_resume",
    ),
)


class TargetOptions(TypedDict, total=False):
    """Python types of these options, but for the URL."""

    header: Texts | Mapping[str, str]
    subprotocol: Texts
    user: Text
    bearer: Text
    cookie: Texts
    origin: Text
    connect_to: Texts
    resolve: Texts
    dns_ttl: Duration
    rotate_addresses: Flag
    unix_socket: Text
    proxy: Text
    bind: Texts
    follow_redirects: Flag
    deflate: str | bool | None
    insecure: Flag
    cacert: Text
    cert: Text
    key: Text
    sni: Text
    tls_min: Number
    ciphers: Text
    tls_resume: Flag
