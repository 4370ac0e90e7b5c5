"""Help of each command: prose written here, options from the catalogue.

`help_pages.py` and docs/reference/cli.md are generated from it by ``python tools/generate_cli_docs.py``.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

from ws_load_test.messages.fields import FIELD_KINDS
from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.catalog import BY_NAME, EXPORTS, RUN_OPTIONS, names_in, owned_by
from ws_load_test.plan.options.spec import Group, OptionSpec, Owner


@dataclass(frozen=True, slots=True)
class Section:
    """Options under a heading; without a heading they follow the introduction."""

    heading: str
    options: tuple[OptionSpec, ...]
    note: str = ""
    """Remark on all of the options, as it stands on the page."""


@dataclass(frozen=True, slots=True)
class CommandPage:
    """Help of one command."""

    command: str
    """Word on the command line; empty for a run."""
    title: str
    usage: tuple[str, ...]
    introduction: str
    sections: tuple[Section, ...]
    remarks: str = ""
    """Text after the options."""
    examples: str = ""
    exit_codes: str = ""


def _option(name: str, **changes: str) -> OptionSpec:
    """Returns an option with other words for a command in which it means something special."""
    row = BY_NAME[name]
    return replace(
        row,
        help=changes.get("help", row.help),
        default=changes.get("default", row.default),
        metavar=changes.get("metavar", row.metavar),
    )


def _own(name: str, metavar: str, help: str, default: str = "") -> OptionSpec:  # noqa: A002 - the field of that name
    """Returns an option of one command alone, whose value its code checks."""
    return OptionSpec(
        name=name,
        metavar=metavar,
        help=help,
        group=Group.PLAN,
        parse=option_values.unchecked,
        owner=Owner.OUTPUT,
        default=default,
    )


_FIELD_EXAMPLES = textwrap.fill(
    "  ".join(kind.example for kind in FIELD_KINDS), 72, initial_indent="      ", subsequent_indent="      "
)
MESSAGE_NOTE = f"""\
  Fields in braces are filled in anew for each message; all other braces stay
  as they are:
{_FIELD_EXAMPLES}
  In URL, --header, --cookie, --user, --bearer and --subprotocol they are
  filled in for each connection."""
CHECK_NOTE = """\
  A CHECK is contains:TEXT, regex:PATTERN, json:PATH=VALUE, or json:PATH (it is
  there). A PATH is made of names and places: id, data.items[0].id.
  msgpack:PATH and protobuf:1.3 (field numbers) look into binary messages."""
CONDITION_NOTE = """\
  A CONDITION compares a metric with a limit: "p99 > 50ms", "connect.p95 > 1s",
  "errors > 0.1%", "unanswered > 0", "faults.reset > 0", "rate < 9500";
  "any p99 > 80ms" is checked on each second by itself. An OBJECTIVE is the
  contrary: "p99 < 50ms".
  `ws-load-test help conditions` lists every metric."""
_NOTES = {Group.MESSAGE: MESSAGE_NOTE, Group.REPLIES: CHECK_NOTE, Group.VERDICT: CONDITION_NOTE}
_RUN_GROUPS = tuple(group for group in Group if any(option.group is group for option in RUN_OPTIONS))

MAIN = CommandPage(
    command="",
    title="a load generator for WebSocket APIs",
    usage=(
        "ws-load-test URL [options]        put load on URL, report response times",
        "ws-load-test capacity URL         the highest load that meets objectives",
        "ws-load-test demo                 a run against the built-in echo server",
        "ws-load-test echo                 start that server by itself",
        "ws-load-test cluster up           start workers on other machines",
        "ws-load-test report RECORDING...  the report of one recording or several",
        "ws-load-test compare BASE NEW...  what is better or worse beyond chance",
        "ws-load-test ab URL_A URL_B       measure two targets in turn, compare them",
        "ws-load-test import CAPTURE       make a plan file of a captured session",
        "ws-load-test schema NAME          JSON schema of plan files and results",
        "ws-load-test COMMAND --help       more about one of them",
        "ws-load-test help TOPIC           more about conditions, messages, load, ...",
    ),
    introduction="""\
Opens many connections and sends messages, either as fast as replies come (closed loop) or on a
schedule (open loop), and prints how long the replies took, from High Dynamic Range histograms over all connections.""",
    sections=tuple(
        Section(group.value, tuple(BY_NAME[name] for name in names_in(group)), _NOTES.get(group, ""))
        for group in _RUN_GROUPS
    ),
    examples="""\
  One connection, ten seconds of PING:
      ws-load-test ws://localhost:3001
  5,000 messages a second over 200 connections, whatever the server does:
      ws-load-test ws://localhost:3001 -c 200 -r 5000
  A thousand connections with 4 messages in flight on each, for a minute:
      ws-load-test wss://api.example/live -c 1000 --in-flight 4 -d 1m
  Exactly 100,000 messages read from a file, a token, the recording kept:
      ws-load-test wss://api.example -c 50 -n 100000 -m @order.json \\
          --bearer @token.txt -o run.jsonl
  How an API handles one message, step by step:
      ws-load-test wss://api.example --probe --bearer @token.txt \\
          -m '{"id": {seq}, "op": "time"}'
  Replies matched by their id, a token for each connection:
      ws-load-test wss://api.example -c 100 -r 1000 --feed users.csv \\
          --bearer {feed.token} -m '{"id": {seq}, "op": "time"}' \\
          --match json:id --expect json:ok=true
  Two recordings, of two machines perhaps, as one report:
      ws-load-test report first.jsonl second.jsonl""",
    exit_codes="""\
  0 done and passed                  5 generator-bound (--fail-if-saturated)
  1 a threshold or a probe failed   70 a bug of ours
  2 wrong usage or plan             74 a file could not be written
  3 nothing was measured, or judged 130 interrupted
  4 a worker was lost""",
)

DEMO = CommandPage(
    command="demo",
    title="a run against the built-in echo server",
    usage=("ws-load-test demo [options]",),
    introduction="""\
Starts the echo server in a process of its own, sends it 5,000 messages a second over 100 connections for 5 seconds,
and prints the report. Takes the options of `ws-load-test --help`, all but the URL; with --in-flight it has no rate.""",
    sections=(),
    examples="""\
  ws-load-test demo
  ws-load-test demo -c 1000 --in-flight 16 -d 10s""",
)

ECHO = CommandPage(
    command="echo",
    title="start the built-in echo server, until Ctrl-C",
    usage=("ws-load-test echo [options]",),
    introduction="",
    sections=(
        Section(
            "",
            (
                _own("host", "ADDRESS", "address to listen on", "127.0.0.1"),
                _own("port", "PORT", "port to listen on, 0 for any that is free", "3001"),
                _own("tls", "", "serve wss:// with a self-signed certificate, made at the start"),
                _own("write_ca", "FILE", "write that certificate to FILE, for --cacert of a client"),
                _own(
                    "processes",
                    "N",
                    "share the port among N processes: more cores, and each has a limit on open files of its own, so"
                    " that N processes hold N times as many connections",
                    "1",
                ),
                _own(
                    "close_code",
                    "CODE",
                    "close code of its sessions when it is stopped; 1006 sends no close frame",
                    "1001, going away",
                ),
                _own("drain", "TIME", "spread these closes over a time", "0s"),
                _own("node_name", "NAME", "name in the header X-Node, for ?node", "the port"),
            ),
        ),
    ),
    remarks="""\
It echoes text and binary messages, puts fragments together, answers pings and closes. Its URL can ask for
faults, which shows what they look like in a report:

  ?delay=20ms          answer late
  ?silent=0.01         leave this share of messages unanswered
  ?close=1011&after=5  close after 5 messages
  ?reset&after=5       or reset the connection
  ?status=503          refuse the upgrade
  ?push=100            push 100 messages a second unasked
  ?fragment=3          reply in 3 fragments
  ?ping=1s             ping, and close where no pong comes
  ?node                name the server in the upgrade response: X-Node
  ?limit=1000          answer no more messages a second over all connections of
                       a process that ask for the same; the others wait in a
                       queue, as before a saturated server
  ?stream=20&gap=20ms  answer with 20 messages, 20 ms apart; the last one has
                       "done": true and "usage": {"tokens": 20}
  ?stream=20&stall=1s@10  with one gap longer by 1 s in every tenth answer
  ?stream=20&cut=10    without its end in every tenth answer

Sessions can be in rooms: what one of them publishes goes to all members, and
what is to be measured is known.

  ?room=NAME           be a member: each message goes to all members
  ?chat                instead join, leave and publish by messages:
                       {"op": "join", "room": "a"}, answered
                       {"op":"joined","room":"a"}; leave, answered left;
                       {"op": "say", "room": "a", ...}
  ?self=no             leave the publisher out
  ?ack=1               answer {"op":"ack","id":7} to the publisher, after the
                       deliveries of its message
  ?lose=0.1%           do not send this share of the deliveries
  ?duplicate=1%        send this share twice
  ?swap=1%             send this share after the member's next delivery
  ?misdeliver=0.1%     send this share to a member of another room as well
  ?fan-delay=10us      wait so long between one member and the next
  ?nodes=2             deal sessions to 2 nodes whose rooms are not shared
  ?replay=5s           send what was published within 5 s before to who joins
  ?stuck=1             send nothing to the first member of the room

self, ack and fan-delay are read from the publisher's URL, nodes from both,
the others from the member's. POST /publish?room=NAME publishes its body,
GET /rooms answers the exact counts of deliveries and faults as JSON, and
GET /rooms?reset or DELETE /rooms starts them anew. A member for which 4 MiB
wait because it does not read is closed with 1008.""",
    examples="""\
  ws-load-test echo --port 3001
  ws-load-test echo --processes 3
  ws-load-test "ws://127.0.0.1:3001/?delay=20ms" -c 10 -d 5s""",
)

CLUSTER = CommandPage(
    command="cluster",
    title="start a cluster on other machines, for --cluster of a run",
    usage=("ws-load-test cluster up --ssh HOST,HOST... [options]",),
    introduction="",
    sections=(
        Section(
            "",
            (
                _own("ssh", "HOST,HOST...", "machines to start it on; the first has the scheduler as well"),
                _own(
                    "remote_python",
                    "PATH",
                    "the Python there that has ws-load-test[cluster]",
                    "the path of the one that runs this",
                ),
                _own("ssh_config", "FILE", "file with users, ports and keys of SSH", "~/.ssh/config"),
                _own("port", "PORT", "port of the scheduler", "8786"),
                _own("idle_timeout", "TIME", "end the cluster after this time without a run", "1 h"),
            ),
        ),
    ),
    remarks="""\
Certificates are made at the start, and give access to the cluster. It runs until Ctrl-C, and prints the options that
a run needs to use it. docs/clusters.md describes Kubernetes and clouds.""",
    examples="""\
  ws-load-test cluster up --ssh generator1,generator2""",
)

REPORT = CommandPage(
    command="report",
    title="the report of one recording, or of several merged",
    usage=("ws-load-test report RECORDING... [options]",),
    introduction="",
    sections=(
        Section(
            "",
            (
                _option("summary"),
                _option("json"),
                _option("fail_if_saturated"),
                _option("fail_if", help="check this instead of the conditions that were recorded"),
                _option("slo", help="the same with what must hold"),
                *(BY_NAME[name] for name in EXPORTS),
            ),
        ),
    ),
    remarks="""\
Merging is exact: counts are added and histograms merged bucket for bucket, whichever machine made them.
A recording of a run that was killed can be read as far as it goes.""",
    examples="""\
  ws-load-test report run.jsonl
  ws-load-test report machine-a.jsonl machine-b.jsonl --json
  ws-load-test report run.jsonl --fail-if "p99 > 50ms" --fail-if "errors > 0.1%\"""",
)

_SHORT_REPORT = "write a short report; $GITHUB_STEP_SUMMARY is appended to; - is standard output"
_COMPARE_JSON = "print the comparison as JSON instead of the report"
_COMPARE_MARKDOWN = "write it as Markdown; $GITHUB_STEP_SUMMARY is appended to; - is standard output"
_COMPARE_HTML = "write a page with the percentiles of all sides over each other"
COMPARE = CommandPage(
    command="compare",
    title="what is better or worse in other recordings, as far as the data show",
    usage=("ws-load-test compare BASE NEW... [options]",),
    introduction="""\
BASE and each NEW are a recording, or a directory of recordings (*.jsonl) that are repeats of the same test.
Each NEW is compared with BASE: percentiles and mean of the response times, throughput, errors, and with
repeats the connect times. A difference is called better or worse only beyond chance; "no difference" means that
the data cannot tell one.""",
    sections=(
        Section(
            "",
            (
                *owned_by(Owner.COMPARISON),
                _option("json", help=_COMPARE_JSON),
                _option("markdown", help=_COMPARE_MARKDOWN),
                _option("html", help=_COMPARE_HTML),
            ),
        ),
    ),
    remarks="""\
Two runs vary from second to second, and from one to the next by what else the machine does. Single recordings
show only the first, and each needs 5 seconds at least. 4 or more repeats of each side show both; `ws-load-test ab`
takes the machine out of it altogether. docs/compare.md explains what is computed.""",
    examples="""\
  ws-load-test compare monday.jsonl tuesday.jsonl
  ws-load-test compare base/ new/ --fail-on-regression 5%
  ws-load-test compare base.jsonl one.jsonl other.jsonl --html compared.html""",
    exit_codes="""\
  0 compared, whatever the result
  1 a regression, or nothing to conclude from, with --fail-on-regression
  2 wrong usage, or no recording
  3 a side measured nothing
  70 a bug of ours
  74 a file could not be written""",
)

AB = CommandPage(
    command="ab",
    title="measure two targets in turn, and compare them",
    usage=("ws-load-test ab URL_A URL_B [options]",),
    introduction="""\
Machines drift: two runs one after the other differ by that alone. So both targets are measured in short rounds, a
pair of rounds at a time, in random order, and each round opens its connections anew. The result compares b with a as
`ws-load-test compare` does, from pairs of rounds.""",
    sections=(
        Section(
            "",
            (
                *owned_by(Owner.AB),
                _option("warmup", help="how long the load runs in each round before anything counts", default="500ms"),
                _option("seed", help="seed of the order and of --arrivals poisson; printed with the result"),
                _option("confidence"),
                _option("metric"),
                _option(
                    "fail_on_regression", help="fail (exit code 1) if b is worse in something by more than this: 5%"
                ),
                _option(
                    "output",
                    metavar="DIR",
                    help="keep the recordings: DIR/a/01.jsonl, DIR/b/01.jsonl, ...; `compare DIR/a DIR/b` gives the"
                    " same result again",
                ),
                _option("json", help=_COMPARE_JSON),
                _option("markdown", help=_COMPARE_MARKDOWN),
                _option("html", help=_COMPARE_HTML),
                _option("quiet"),
                _option("log_level"),
                _option("plan", help="read options from a file; those about length and about one run are left out"),
                _option("slo", help="fail (exit code 1) unless this holds for each target, over all of its rounds"),
                _option("fail_if_saturated"),
            ),
        ),
    ),
    remarks="""\
All other options of a run are those of both targets: -c, -r, -m, -H and so on. It takes 2 x N x (TIME + warm-up), and
some tenths of a second for each round. Ctrl-C once ends the round, and the rounds so far are reported.""",
    examples="""\
  ws-load-test ab ws://localhost:3001 ws://localhost:3002 -c 10
  ws-load-test ab wss://old.example wss://new.example -c 100 -r 2000 \\
      --rounds 20 --round-duration 5s -o rounds
  ws-load-test ab ws://localhost:3001 ws://localhost:3002 \\
      --fail-on-regression 5% --markdown ab.md""",
    exit_codes="""\
  0 compared, whatever the result
  1 a regression, or nothing to conclude from, with --fail-on-regression; or a
    target misses a --slo
  2 wrong usage or plan, or this machine could not go on; the rounds before that
    are reported
  3 one of them never measured anything, or times could not be judged
  4 a worker was lost
  5 generator-bound, with --fail-if-saturated
  70 a bug of ours
  74 a file could not be written
  130 interrupted; the rounds so far are reported""",
)

CAPACITY = CommandPage(
    command="capacity",
    title="find the highest load that still meets objectives",
    usage=('ws-load-test capacity URL --slo "OBJECTIVE" [options]',),
    introduction="""\
Runs one step of load after the other: twice as much until the objectives are missed, then halfway between, until
the limit is known closely enough; then both ends are tried again, until each has had the same outcome twice.
A step that misses while the generator itself is at its limit is never taken for the limit of the target.""",
    sections=(
        Section(
            "Search",
            (
                _option(
                    "slo",
                    help='what must hold: "p99 < 50ms", "errors < 0.1%"; the target must keep up with the load as well',
                    default='"errors < 0.1%"',
                ),
                *owned_by(Owner.CAPACITY),
            ),
        ),
        Section(
            "Results",
            (
                _option(
                    "output",
                    metavar="DIR",
                    help="keep the recording of each step in this new folder, and the result in capacity.json",
                ),
                _option(
                    "markdown", help="write a short report; $GITHUB_STEP_SUMMARY is appended to; - is standard output"
                ),
                _option("html", help="write a page with the chart and the table"),
                _option("json", help="print the result as JSON"),
                _option("quiet", help="print nothing"),
                _option("log_level"),
                _option("plan", help="read options from a file; those about load and length are left out"),
            ),
        ),
    ),
    remarks="""\
Of the options of a run (ws-load-test --help) it takes those of target, TLS, message, replies, sessions (but
--disconnect) and limits, --warmup, --connect-rate, --ramp, --arrivals, --seed, --max-in-flight and --ping-interval.""",
    examples="""\
  ws-load-test capacity ws://localhost:3001 --slo "p99 < 50ms" \\
      --slo "errors < 0.1%"
  ws-load-test capacity "ws://localhost:3001/?limit=1000" \\
      --slo "p99 < 50ms" --step-duration 2s --from 500
  ws-load-test capacity wss://api.example --find connections \\
      --rate-per-connection 0.5 --slo "p99 < 200ms" -o steps""",
    exit_codes="""\
  0 the limit was found, or everything up to --max met the objectives
  1 not even --from met them; or the steps contradict each other, or leave open
    whether --max does; or the target refuses new connections
  2 wrong usage or plan, or this machine cannot carry the first step
  3 the first step measured nothing, or times could not be judged
  5 the generator was at its limit first
  70 a bug of ours
  74 a file could not be written
  130 interrupted; the result so far is printed""",
)

IMPORT = CommandPage(
    command="import",
    title="make a plan file of a captured session",
    usage=("ws-load-test import CAPTURE [options] > scenario.toml",),
    introduction="""\
CAPTURE is a HAR file with WebSocket messages, as browsers and Playwright write it, or the file that --probe -o
writes; - is standard input. What the client sent becomes the steps of a role, what came back their awaits: values that
were received and sent later are captured, and counters, UUIDs and times become fields. What repeats becomes
iterations. Secrets become {env.NAME}; their values are not in the file.""",
    sections=(
        Section(
            "",
            (
                _own("socket", "N|TEXT", "take session N (from 1), or the one with TEXT in its URL"),
                _own("speed", "N", "divide the waits between messages by N", "1"),
                replace(
                    _own("output", "DIR", "write DIR/scenario.toml, and each binary message in a file beside it"),
                    short="o",
                ),
                _own("force", "", "overwrite these files if they are there already"),
            ),
        ),
    ),
    remarks="""\
Comments in the file say where each value comes from, and name the variables to set. Look it over before a run:
`ws-load-test --plan scenario.toml --explain`. A HAR file and a session file hold all messages as they were, with their
secrets.""",
    examples="""\
  ws-load-test import app.har > scenario.toml
  ws-load-test import app.har --socket /chat --speed 2 -o scenario
  ws-load-test wss://api.example --probe -m '{"op": "time"}' -o session.jsonl
  ws-load-test import session.jsonl > scenario.toml""",
    exit_codes="""\
  0 the plan file was written
  2 wrong usage, or no session in the capture
  70 a bug of ours
  74 a file could not be written""",
)

SCHEMA = CommandPage(
    command="schema",
    title="print a JSON schema",
    usage=("ws-load-test schema summary|plan|recording|capacity|plan-file",),
    introduction="""\
Prints the JSON schema of the object that --json prints, of the plan in a recording, of a line of a recording, of
what capacity --json prints, or of plan files, which editors complete and check by it.""",
    sections=(),
    examples="""\
  ws-load-test schema summary > summary.schema.json
  ws-load-test schema plan-file > plan-file.schema.json""",
)

COMMANDS: tuple[CommandPage, ...] = (MAIN, CAPACITY, DEMO, ECHO, CLUSTER, REPORT, COMPARE, AB, IMPORT, SCHEMA)
