"""Every option from the command line, a plan file and a script alike; every mistake found at once."""

from collections.abc import Sequence
from operator import attrgetter
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test import PlanError, make_plan
from ws_load_test.cli import main
from ws_load_test.cli.render_help import option_lines
from ws_load_test.common.errors import ExitCode, UsageError, option_name
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.options import contents
from ws_load_test.plan.options.catalog import ALIASES, BY_NAME, FORMER_NAMES, OPTIONS, PARSERS, PlanOptions, owned_by
from ws_load_test.plan.options.read_plan import read_plan_file
from ws_load_test.plan.options.rows.experiments import PairedOptions, SearchOptions
from ws_load_test.plan.options.scenario.problems import FILE_KEYS
from ws_load_test.plan.options.spec import Group, OptionSpec, Owner
from ws_load_test.plan.values import positive_duration

URL = "ws://h:1/"
SECOND = 10**9


def problems_of(url=URL, **options):
    with pytest.raises(PlanError) as caught:
        make_plan(url, **options)
    return {problem.option: problem.text for problem in caught.value.problems}


# For each option: its words on a command line, its line in a plan file, its value in a script, what the plan has.
EVERY_OPTION = {
    "connections": ("-c 7", "connections = 7", 7, lambda plan: plan.connections == 7),
    "in_flight": ("--in-flight 4", "in-flight = 4", 4, lambda plan: plan.load.in_flight == 4),
    "duration": ("-d 1m30s", 'duration = "1m30s"', "1m30s", lambda plan: plan.duration_ns == 90 * SECOND),
    "messages": ("-n 1_000", "messages = 1_000", 1000, lambda plan: (plan.messages, plan.duration_ns) == (1000, None)),
    "warmup": ("--warmup 2s", "warmup = 2", 2, lambda plan: plan.warmup_ns == 2 * SECOND),
    "connect_rate": (
        "--connect-rate 2k/s",
        'connect-rate = "2k/s"',
        "2k/s",
        lambda plan: plan.connect_rate_per_s == 2000,
    ),
    "ramp": ("--ramp 500ms", "ramp = 0.5", 0.5, lambda plan: plan.connect_rate_per_s == 2),
    "message": ("-m hello", 'message = "hello"', "hello", lambda plan: plan.message.payload == b"hello"),
    "size": (
        "--size 1KiB",
        'size = "1KiB"',
        "1KiB",
        lambda plan: plan.message.size_bytes == len(plan.message.payload) == 1024,
    ),
    "binary": ("--binary", "binary = true", True, lambda plan: plan.message.kind == "binary"),
    "ping": ("--ping", "ping = true", True, lambda plan: plan.message.kind == "ping"),
    "timeout": ("--timeout 3s", 'timeout = "3s"', "3s", lambda plan: plan.timeout_ns == 3 * SECOND),
    "connect_timeout": (
        "--connect-timeout 4",
        "connect-timeout = 4",
        4,
        lambda plan: plan.connect_timeout_ns == 4 * SECOND,
    ),
    "workers": ("-w 2 -c 9", "workers = 2\nconnections = 9", 2, lambda plan: plan.workers == 2),
    "subprotocol": (
        "--subprotocol a --subprotocol b",
        'subprotocol = ["a", "b"]',
        ["a", "b"],
        lambda plan: plan.target.subprotocols == ("a", "b"),
    ),
    "header": (
        "-H A:b -H C:d:e",
        'header = ["A: b", "C: d:e"]',
        {"A": "b", "C": "d:e"},
        lambda plan: plan.target.headers == (("A", "b"), ("C", "d:e")),
    ),
    "insecure": ("--insecure -u wss://h", 'insecure = true\nurl = "wss://h"', True, lambda plan: plan.target.insecure),
    "url": ("-u ws://other", 'url = "ws://other"', "ws://other", lambda plan: plan.target.url == "ws://other"),
}


@pytest.fixture
def planned(monkeypatch):
    """What the command line would run."""
    plans = []

    def take(plan, ours):
        plans.append(plan)
        return 0

    monkeypatch.setattr("ws_load_test.cli.run._run", take)

    def plan_of(*arguments):
        assert main(arguments) == 0
        return plans.pop()

    return plan_of


@pytest.mark.parametrize("name", EVERY_OPTION)
def test_an_option_does_the_same_from_everywhere(name, planned, tmp_path):
    words, line, value, holds = EVERY_OPTION[name]
    (tmp_path / "plan.toml").write_text(line)
    where = [] if "url" in line else ["-u", URL]
    by_hand = planned(*words.split(), *where)
    by_file = planned("--plan", str(tmp_path / "plan.toml"), *where)
    assert holds(by_hand)
    assert by_file == by_hand
    options = {"url": "wss://h" if name == "insecure" else URL, name: value}
    by_script = make_plan(**options, **({"connections": 9} if name == "workers" else {}))
    assert by_script == by_hand
    assert not holds(make_plan("ws://unlike:9", workers=1, connections=5)), "the option does nothing"


def test_a_certificate_file_is_an_option_as_well(planned, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("")
    assert planned("wss://h", "--cacert", str(file)).target.cacert == str(file)
    assert make_plan("wss://h", cacert=str(file)).target.cacert == str(file)


def test_the_plan_has_good_defaults():
    plan = make_plan(URL)
    assert (plan.connections, plan.load.in_flight, plan.messages) == (1, 1, None)
    assert (plan.message.kind, plan.message.payload) == ("text", b"PING")
    assert (plan.duration_ns, plan.timeout_ns, plan.connect_timeout_ns, plan.warmup_ns) == (*3 * [10 * SECOND], 0)
    assert (plan.target.insecure, plan.target.cacert, plan.target.headers) == (False, None, ())
    assert plan.connect_rate_per_s is None


def test_a_message_may_be_text_a_file_or_generated(tmp_path):
    (tmp_path / "order.json").write_bytes(b'{"a": 1}')
    assert make_plan(URL, message=f"@{tmp_path / 'order.json'}").message.payload == b'{"a": 1}'
    assert make_plan(URL, message="").message.payload == b""
    assert make_plan(URL, message="äöü").message.size_bytes == 6
    first, again = (make_plan(URL, size="64kB").message for _ in range(2))
    assert first == again
    assert first.payload.isalnum()
    assert len(first.payload) == 64_000


@pytest.mark.parametrize(
    ("options", "option", "words"),
    [
        ({"url": None}, "URL", "missing"),
        ({"url": "http://h"}, "URL", '"http://" is not a WebSocket URL'),
        ({"url": "localhost:3001"}, "URL", "without ws://"),
        ({"url": "ws://"}, "URL", "names no host"),
        ({"url": "ws://h:0"}, "URL", "number from 1 to 65535"),
        ({"url": "ws://h:65536"}, "URL", "1 to 65535"),
        ({"url": "ws://h:port"}, "URL", "1 to 65535"),
        ({"url": "ws://[::1"}, "URL", "host is malformed"),
        ({"url": "ws://a..b/"}, "URL", "two dots in a row"),
        ({"url": "ws://h/a b"}, "URL", "no spaces"),
        ({"url": "ws://h/\x00"}, "URL", "control characters"),
        ({"url": "ws://h/#x"}, "URL", "no fragment"),
        ({"url": 5}, "URL", "not text"),
        ({"connections": 0}, "--connections", "at least 1"),
        ({"connections": "-3"}, "--connections", "not a whole number"),
        ({"connections": "many"}, "--connections", '"many" is not a whole number'),
        ({"connections": 2.5}, "--connections", "not a whole number"),
        ({"connections": True}, "--connections", "not a whole number"),
        ({"connections": "²"}, "--connections", "not a whole number"),
        ({"in_flight": 0}, "--in-flight", "at least 1"),
        ({"messages": 0}, "--messages", "at least 1"),
        ({"workers": 0}, "--workers", "at least 1"),
        ({"duration": "soon"}, "--duration", "write for example 10s"),
        ({"duration": 0}, "--duration", "too short"),
        ({"duration": True}, "--duration", "not a duration"),
        ({"timeout": "0s"}, "--timeout", "too short"),
        ({"connect_timeout": -1}, "--connect-timeout", "not a duration"),
        ({"warmup": "x"}, "--warmup", "not a duration"),
        ({"ramp": []}, "--ramp", "not a duration"),
        ({"connect_rate": 0}, "--connect-rate", "0 is no rate"),
        ({"connect_rate": "fast"}, "--connect-rate", "not a rate"),
        ({"connect_rate": "1e400"}, "--connect-rate", "not a rate"),
        ({"connect_rate": "1e-320"}, "--connect-rate", "not a rate"),
        ({"size": "1x"}, "--size", "not a size"),
        ({"size": "2000MiB"}, "--size", "larger than the 1 GiB"),
        ({"binary": "yes"}, "--binary", "neither true nor false"),
        ({"binary": 1}, "--binary", "neither true nor false"),
        ({"message": 5}, "--message", "not text"),
        ({"message": "@/nowhere/at/all"}, "--message", 'cannot read "/nowhere/at/all"'),
        ({"message": "@\0"}, "--message", "cannot read"),
        ({"message": "\udcff"}, "--message", "not UTF-8"),
        ({"header": "Authorization Bearer"}, "--header", "without a colon"),
        ({"header": "A B: c"}, "--header", "before the colon"),
        ({"header": "A: b\nC: d"}, "--header", "cannot carry"),
        ({"header": "A: ä"}, "--header", "cannot carry"),
        ({"header": "Sec-WebSocket-Key: x"}, "--header", "set by the WebSocket handshake"),
        ({"header": 5}, "--header", "not text"),
        ({"subprotocol": "a b"}, "--subprotocol", "not the name"),
        ({"subprotocol": "a,a"}, "--subprotocol", "named twice"),
        ({"url": "wss://h", "cacert": "/nowhere"}, "--cacert", "cannot read"),
        ({"insecure": True}, "--insecure", "did you mean wss"),
        ({"messages": 1, "duration": 1}, "--messages", "beside --duration"),
        ({"connect_rate": 1, "ramp": 1}, "--connect-rate", "beside --ramp"),
        ({"message": "x", "size": 1}, "--message", "beside --size"),
        ({"binary": True, "ping": True}, "--binary", "beside --ping"),
        ({"ping": True, "size": 126}, "--ping", "at most 125 bytes"),
        ({"conections": 3}, "conections", "did you mean connections?"),
        ({"frobnicate": 3}, "frobnicate", "no such option"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_names_its_option_and_what_to_write(options, option, words):
    found = problems_of(**options)
    assert found.keys() == {option}
    assert words in found[option]


def test_messages_have_a_limit_together_and_devices_no_end(monkeypatch, tmp_path):
    monkeypatch.setattr(contents, "LARGEST_CONTENTS_BYTES", 1000)
    for number in range(3):
        (tmp_path / str(number)).write_bytes(b"x" * 400)
    together = {"message": [f"@{tmp_path}"], "first_message": f"@{tmp_path}/0"}
    assert "more than 1 kB together" in problems_of(**together)["--message"]
    assert "--first-message" not in problems_of(**together)
    assert "more than 1 kB together" in problems_of(message="@/dev/zero", binary=True)["--message"]
    assert "more than 1 kB together" in problems_of(first_message="@/dev/zero")["--first-message"]


def test_insecure_and_cacert_exclude_each_other(tmp_path):
    (tmp_path / "ca.pem").write_text("")
    assert "beside --cacert" in problems_of("wss://h", insecure=True, cacert=str(tmp_path / "ca.pem"))["--insecure"]


def test_all_problems_come_at_once():
    found = problems_of("http://x", connections=0, duration="0", header="broken", size="3x", colour="red", messages=-1)
    assert found.keys() == {"URL", "--connections", "--duration", "--header", "--size", "colour", "--messages"}


def test_a_file_that_is_not_text_needs_binary(tmp_path):
    (tmp_path / "raw").write_bytes(b"\xff\xfe")
    assert "add --binary" in problems_of(message=f"@{tmp_path / 'raw'}")["--message"]
    assert make_plan(URL, message=f"@{tmp_path / 'raw'}", binary=True).message.payload == b"\xff\xfe"


def test_none_stands_for_an_option_not_given():
    assert make_plan(URL, **dict.fromkeys(PARSERS.keys() - {"url"})) == make_plan(URL)


def test_dashes_and_underscores_name_the_same_option():
    assert make_plan(URL, **{"in-flight": 3}) == make_plan(URL, in_flight=3)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(sorted(PARSERS.keys() - {"url", "size", "bind"})), anything, max_size=4),
    anything,
)
def test_whatever_is_given_makes_a_plan_or_problems(options, url):
    names = {option_name(name) for name in PARSERS}
    for where in (URL, url):
        try:
            plan = make_plan(where, **options)
        except PlanError as error:
            assert error.problems  # noqa: PT017 - either is right
            assert {problem.option for problem in error.problems} <= names  # noqa: PT017
        else:
            assert describe_plan(plan)


# --- plan files ---


def test_the_command_line_wins_over_the_plan_file(planned, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('url = "ws://file"\nduration = "20s"\nconnections = 5\nramp = "2s"\nsize = 9\nbinary = true\n')
    plan = planned("--plan", str(path), "ws://line", "-n", "3", "-m", "x", "--connect-rate", "7", "--ping")
    assert plan.target.url == "ws://line"
    assert (plan.messages, plan.duration_ns) == (3, None)
    assert plan.connections == 5
    assert plan.connect_rate_per_s == 7
    assert (plan.message.kind, plan.message.payload) == ("ping", b"x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"connections = ", "is not TOML"),
        (b"\xff", "is not UTF-8 text: line 1 has the byte 0xff"),
        (None, "cannot read"),
        ("connections = 3".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("connections = 3".encode("utf-32"), "is UTF-32 text; save it as UTF-8"),
        (b"\x7fELF\x02\0\0\xff", "is no text: byte 5 is 0"),
        (b"connections = " + b"9" * 5000, "cannot read"),
        (b"connections = " + b"[" * 5000, "is not TOML"),
        (b"connections = 1\0", "is not TOML"),
    ],
    ids=["toml", "utf-8", "missing", "utf-16", "utf-32", "binary", "digits", "nested", "nul"],
)
def test_a_plan_file_that_cannot_be_used(content, words, tmp_path):
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"^--plan: ") as caught:
        read_plan_file(str(path))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfconnections = 3\n", b"connections = 3\r\n# end\r\n", b"\xef\xbb\xbf\r\nconnections = 3"],
    ids=["byte-order mark", "crlf", "both"],
)
def test_a_plan_file_is_read_as_editors_write_it(content, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    assert read_plan_file(str(path)) == {"connections": 3}


@pytest.mark.parametrize("path", ["/dev", "/dev/zero", "a\0b", "", "/dev/null/plan"])
def test_a_plan_file_that_is_no_file(path):
    with pytest.raises(UsageError, match=r"^--plan: cannot read ") as caught:
        read_plan_file(path)
    assert "\0" not in str(caught.value)


def test_problems_of_a_plan_file_name_their_options(tmp_path, capsys):
    path = tmp_path / "plan.toml"
    path.write_text('url = "nowhere"\nconections = 3\nduration = {a = 1}\nbinary = "true"\n[table]\nx = 1\n')
    assert main(["--plan", str(path)]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "5 problems" in told
    for words in ("URL: ", "--duration: ", "--binary: ", "table: "):
        assert words in told
    assert "conections: there is no such option; did you mean connections?" in told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("json = 3", '--json: "3" is neither true nor false'),
        ("output = 1", "--output"),
        ('log-level = "loud"', "--log-level"),
    ],
)
def test_a_plan_file_may_say_what_becomes_of_the_results(line, words, tmp_path, capsys):
    path = tmp_path / "plan.toml"
    path.write_text(f'url = "{URL}"\n{line}\n')
    assert main(["--plan", str(path)]) == ExitCode.USAGE
    assert words in capsys.readouterr().err


# --- former names ---


@pytest.mark.parametrize(("former", "present"), FORMER_NAMES.items())
def test_a_former_name_is_an_error_that_says_the_present_one(former, present, tmp_path, capsys):
    words = f"was renamed; write {present.replace('_', '-')}"
    assert problems_of(**{former: "5s"}) == {former.replace("_", "-"): words}
    path = tmp_path / "plan.toml"
    path.write_text(f'url = "{URL}"\n{former.replace("_", "-")} = "5s"\n')
    for command in ([], ["capacity"]):
        assert main([*command, "--plan", str(path)]) == ExitCode.USAGE
        assert f"{former.replace('_', '-')}: {words}\n" in capsys.readouterr().err


# --- the catalogue ---


def test_names_of_options_are_reported_apart():
    flags = [flag for option in OPTIONS for flag in option.flags]
    assert len(flags) == len(set(flags))
    present = {option.name for option in OPTIONS} | ALIASES.keys()
    assert not present & FORMER_NAMES.keys()


def test_relations_name_options_that_there_are():
    known = BY_NAME.keys()
    for option in OPTIONS:
        assert option.excludes.keys() <= known
        assert {name for names in option.requires for name in names} <= {*known, *FILE_KEYS}


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.field], ids=lambda option: option.name)
def test_a_field_of_a_row_is_one_of_the_plan(option):
    where, _, name = option.field.rpartition(".")
    plan = make_plan(URL, until="contains:end")
    part = attrgetter(where)(plan) if where else plan
    assert name in part.__struct_fields__


def test_python_types_are_those_of_the_catalogue():
    assert set(PlanOptions.__annotations__) == {*(PARSERS.keys() - {"url"}), *FILE_KEYS}
    for name, kind in get_type_hints(PlanOptions).items():
        assert type(None) in get_args(kind), f"{name}: None stands for an option not given"
        if name in FILE_KEYS:
            continue
        assert (bool in get_args(kind)) == (BY_NAME[name].is_flag or name == "deflate"), name
        assert not BY_NAME[name].repeatable or any(get_origin(one) is Sequence for one in get_args(kind)), name


def test_python_types_of_experiments_are_those_of_the_catalogue():
    searching = {name.removesuffix("_") for name in SearchOptions.__annotations__}
    assert searching == {option.name for option in owned_by(Owner.CAPACITY)}
    assert set(PairedOptions.__annotations__) == {option.name for option in owned_by(Owner.AB)}
    for kind in (*get_type_hints(SearchOptions).values(), *get_type_hints(PairedOptions).values()):
        assert type(None) in get_args(kind)


def test_a_row_alone_makes_an_option_everywhere(monkeypatch):
    row = OptionSpec(
        name="no_op",
        metavar="TIME",
        help="do nothing",
        group=Group.LOAD,
        parse=positive_duration,
        field="warmup_ns",
        excludes={"ramp": "both do"},
        refused_by={"ab": "it does nothing"},
    )
    from ws_load_test.plan.options import catalog

    rows = (*catalog.RUN_OPTIONS, row)
    values, problems = catalog.parse_options({"no_op": "2s", "ramp": "x"}, rows)
    assert (values, [problem.option for problem in problems]) == ({"no_op": 2 * SECOND}, ["--ramp"])
    monkeypatch.setattr(catalog, "RUN_OPTIONS", rows)
    assert catalog.fields_of(values) == {"warmup_ns": 2 * SECOND}
    monkeypatch.setattr(catalog, "OPTIONS", rows)
    assert catalog.refused_by("ab")["no_op"] == "it does nothing"
    assert "no_op" in catalog.names_in(Group.LOAD)
    assert list(option_lines(row)) == ["      --no-op TIME            do nothing"]
