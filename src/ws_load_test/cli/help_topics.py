"""Topics of `ws-load-test help TOPIC`: prose written here, lists from the catalogues.

As the pages of commands, they are generated into `help_pages.py`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from ws_load_test.cli.command_pages import MAIN
from ws_load_test.messages.fields import FIELD_KINDS
from ws_load_test.metrics.catalog import CONDITION_METRICS, PART_CONDITIONS

WIDTH = 80
"""Columns of a page: those of the narrowest terminal in use."""
_SHORT_COLUMN = 28
"""Column at which the meanings of the short page begin."""

SHORT = """\
ws-load-test: a load generator for WebSocket APIs

  ws-load-test ws://localhost:3001 -c 10               as fast as replies come
  ws-load-test ws://localhost:3001 -c 200 -r 5000      5,000 messages a second
  ws-load-test ws://localhost:3001 -c 200 --stages 30s:1000,2m:5000
  ws-load-test wss://api.example --probe -m '{"op":1}' one message, step by step
  ws-load-test --plan chat.toml                        sessions of several steps
  ws-load-test demo                                    against a built-in server

  -c, --connections N       connections (1)
  -r, --rate N/s            messages a second, whatever the server does
      --in-flight N         without -r: messages in flight on each connection
  -d, --duration TIME       length: 10s, 2m (10s)
  -n, --messages N          or a number of messages
  -m, --message TEXT|@FILE  what to send; {seq}, {uuid}, ... are filled in
      --match RULE          which reply answers which message: order, json:id
  -H, --header "NAME: TEXT" add a header; also --bearer, --cookie, --user
      --fail-if CONDITION   exit code 1 if it holds: "p99 > 50ms", "errors > 1%"
  -o, --output FILE         keep the recording, for `report` and `compare`
      --html FILE           write a page with charts; --json for scripts

  capacity URL              the highest load that meets objectives
  ab URL_A URL_B            measure two targets in turn, and compare them
  compare BASE NEW          what is better or worse in recordings, beyond chance
  report RECORDING          the report again, of several recordings as one
  echo                      a server to try it on

  --help                    every option; COMMAND --help has those of a command
  help TOPIC                {topics}
"""


def topics() -> dict[str, str]:
    """Returns the page of each topic."""
    pages = {
        "conditions": _conditions(),
        "messages": _messages(),
        "matching": _MATCHING,
        "streams": _STREAMS,
        "fan-out": _FAN_OUT,
        "scenarios": _SCENARIOS,
        "waves": _WAVES,
        "load": _LOAD,
        "exit-codes": f"Exit codes of a run\n\n{MAIN.exit_codes}\n\n{_EXIT_CODES}",
        "results": _RESULTS,
        "cluster": _CLUSTER,
    }
    return {name: wrapped(text).rstrip("\n") + "\n" for name, text in pages.items()}


def wrapped(text: str) -> str:
    """Returns text whose paragraphs fit a page; those with an indented line stand as they are."""
    return "\n\n".join(
        part if "\n  " in f"\n{part}" else textwrap.fill(part, WIDTH, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


def short_page() -> str:
    """Returns the page of `-h`, one screen of 80 columns."""
    first, *rest = textwrap.wrap(", ".join(topics()), WIDTH - _SHORT_COLUMN, break_on_hyphens=False)
    return SHORT.replace("{topics}", "\n".join([first, *(" " * _SHORT_COLUMN + line for line in rest)]))


def _entries(entries: Iterable[tuple[str, str]], column: int) -> Iterator[str]:
    for name, meaning in entries:
        label = f"  {name}"
        lines = textwrap.wrap(meaning, WIDTH - column, break_long_words=False, break_on_hyphens=False)
        if len(label) > column - 2:
            yield label
            label = ""
        for line in lines:
            yield f"{label:<{column}}{line}"
            label = ""


def _conditions() -> str:
    def listed(*kinds: str, parts: bool = False) -> str:
        found = [
            (spec.condition or "", spec.help)
            for spec in CONDITION_METRICS.values()
            if spec.kind in kinds and (spec in PART_CONDITIONS) == parts
        ]
        return "\n".join(_entries(found, 25))

    return f"""\
Conditions: what --fail-if and --abort-if compare

  [any] METRIC OPERATOR LIMIT         operators: < <= > >= == !=

  --fail-if "p99 > 50ms"              exit code 1 if it holds at the end
  --fail-if "connect.p95 > 1s"        the same of the time to open a connection
  --fail-if "errors > 0.1%"           a share; "errors > 3" is a count
  --fail-if "rate < 9500"             answered messages a second
  --fail-if "any p99 > 80ms"          judged on each second by itself
  --abort-if "errors > 5%"            stop the run as soon as it holds
  --fail-if "faults.reset > 0"        one kind of fault
  --fail-if "steps.join.p99 > 1s"     one step of a scenario

Times, each with .p50, .p99, .p99.9, .mean, .min, .max or .stdev (a statistic
alone is that of the response time):
{listed("time")}

Counts, and shares of a whole with %:
{listed("count", "labeled")}

Rates and sizes:
{listed("rate", "size")}

Of the whole run, a time and numbers:
{listed("duration", "ratio")}

Times of a scenario's parts; NAME is that of a step or a reaction, in all roles
that have it, or ROLE/NAME (steps.NAME.p99 is that of its response time):
{listed("time", parts=True)}

Counts, shares and rates of a scenario's parts, and the longest silence:
{listed("count", "labeled", "rate", "duration", parts=True)}

A condition on something that was never measured fails, and says why."""


def _messages() -> str:
    fields = "\n".join(_entries(((kind.example, kind.help) for kind in FIELD_KINDS), 26))
    return f"""\
Messages: what is sent

  -m TEXT                   the text; without -m it is PING
  -m @FILE                  the contents of a file
  -m @a.json -m @b.json     several, in turn; weighted with --weights
  --size 1KiB               so many random letters instead
  --binary                  send as a binary message
  --ping                    send ping frames instead, matched by their pongs
  --feed users.csv          rows for {{feed.COLUMN}}, CSV or JSON lines
  --first-message TEXT      sent once on each connection before the load
  --protocol socket.io      begin with a preset: handshake, heartbeat, matching;
                            alone with --explain it is printed

Fields in braces are filled in for each message, all other braces stay:
{fields}

In URL, --header, --cookie, --user, --bearer and --subprotocol they are filled in for
each connection. `--probe` sends one message and shows every step."""


_MATCHING = """\
Matching: which reply answers which message

  --match order             the next reply answers the oldest message (default)
  --match json:id           the reply has the message's id, here at the path id
  --match json:id=ref.id    the reply has it elsewhere
  --match regex:PATTERN     the id is what the pattern's group finds in both
  --match msgpack:id        as json:, in MessagePack messages
  --match protobuf:1.3      as json:, in Protocol Buffers, by field numbers
  --match echo              the reply equals the message
  --match none              no reply is awaited; send only

  --skip-first N            the first N messages of a session are greetings
  --ignore CHECK            a message that satisfies this answers nothing
  --expect CHECK            a reply that fails this is a fault
  --auto-reply CHECK=>TEXT  answer messages of the server that satisfy this
  --timeout TIME            how long to wait for a reply (10s)

  A CHECK is contains:TEXT, regex:PATTERN, json:PATH=VALUE, or json:PATH (it is
  there); msgpack:PATH and protobuf:1.3 as json:PATH.

In order, one lost or unsolicited message shifts every later reply by one, so that
times are wrong; the report then says that the pairing is in doubt. By id, pushes,
duplicates and late replies are counted apart and shift nothing.

`--probe` shows what a server sends, and suggests a rule."""

_STREAMS = """\
Streams: answers of many messages, as of a language model

  --until json:done=true    the last message of an answer
  --first CHECK             the message that counts as the first
  --stall 1s                a longer gap between two messages is a stall
  --count json:usage.tokens a number in the last message

  --fail-if "first.p95 > 800ms"     time to the first message
  --fail-if "gap.p99 > 250ms"       between two messages of an answer
  --fail-if "broken_off > 0.1%"     answers without their last message

Example, against `ws-load-test echo`:
  ws-load-test "ws://localhost:3001/?stream=20&gap=20ms" -c 10 -r 20 \\
      -m '{"id": {seq}}' --match json:id --until json:done=true"""

_FAN_OUT = """\
Fan-out: one message to many sessions, as in a chat or a feed

  --publishers 10           sessions that send -m, all together at --rate
  --subscribers 1000        sessions that only receive
  --everyone                instead: each of the -c sessions does both
  --rooms 10                session i is in room i mod 10, which is {room}
  {marker}                  in -m: by it each delivery is recognized
  --publish-url "POST URL"  publish by HTTP instead
  --timed 100               time the deliveries to 100 subscribers, count all
  --reconnect now --recovery expected
                            who comes back must get what was published meanwhile

  --slo "delivery.p99 < 100ms"      each delivery, from when it was due
  --slo "last.p99 < 200ms"          the last delivery of each publish
  --slo "reach >= 99.99%"           delivered, of those that were expected
  --fail-if "misdelivered > 0"      came to a session that is not in the room

Example, against `ws-load-test echo`:
  ws-load-test "ws://localhost:3001/?room={room}" --subscribers 200 --rooms 10 \\
      --publishers 10 --rate 20 -m '{"room": "{room}", "text": "{marker}"}'
`--probe` shows one delivery between two sessions."""

_SCENARIOS = """\
Scenarios: sessions that go through several steps, in a plan file with roles

  url = "ws://localhost:3001/?chat"
  connections = 20
  [role.user]
  [[role.user.open]]          # once in each session, before the load
  name = "join"
  send = '{"op": "join", "room": "a"}'
  await = "json:op=joined"    # the message that completes the step
  [[role.user.steps]]         # again and again
  name = "say"
  wait = "exp:2s"             # first a random time, on average 2 s
  send = '{"op": "say", "room": "a", "id": {seq}}'
  await = "json:id={seq}"

  --plan chat.toml --explain        in words, with the load to expect
  --plan chat.toml --probe          one session of each role, step by step
  --plan chat.toml -c 50 -d 30s     the command line wins over the file
  --fail-if "steps.say.p99 > 1s" --fail-if "sessions.failed > 0"

  import session.har -o DIR         a plan file of what a browser recorded
  --protocol phoenix --explain      a file that begins with a protocol's steps
  schema plan-file                  JSON schema for editors
  python = "game.py:player"         in a role: a coroutine in place of steps

The file above runs against `ws-load-test echo`. Further keys: leave, on (messages
that no step awaits), timer, share, stay, iterations, rate, arrive, capture, like,
deliver-to (docs/scenarios.md)."""

_WAVES = """\
Waves: sessions that the target ends together, as in a deployment

Each disconnect wave is found by itself, in every run.

  --reconnect exponential:100ms..10s
                            dial lost sessions again, as clients do
  --run-at '60s: ./deploy.sh'
                            start the deployment at an instant of the load
  --node header:X-Node      count sessions and times by node of the target
  --disconnect 30%@10s      the contrary: cut sessions off ourselves

  --slo "waves.back < 30s"          until as many sessions are open as before
  --slo "waves.abrupt == 0"         sessions ended without an announcement
  --slo "waves.bounced == 0"        sessions that came back and ended again
  --slo "nodes.skew < 1.5"          sessions of the fullest node"""

_LOAD = """\
Load: how much is sent, and when

Closed loop (no -r): each connection keeps --in-flight messages in flight, and sends
the next when a reply comes. The server sets the pace.

Open loop: messages fall due on a schedule, whether or not the server keeps up, and
are measured from then, so that a server that freezes cannot hide it.

  -r 5000                   5,000 messages a second over all connections
  --stages 30s:1000,2m@1000,10s:0
                            rise to 1,000/s in 30 s, stay for 2 minutes, fall
  --arrivals poisson        at random instants (exponential gaps)
  --max-in-flight N         messages that may wait for replies; more are dropped
  --connection-stages 30s:500
                            connections that come and go
  --connect-rate 100        how fast connections are opened
  --open-timeout 1m         begin with those that are open after a minute
  --reply-instant read      take the instant of reading a reply, not that when
                            the kernel received it
  --warmup 5s               load before anything counts
  -d 1m, -n 100000          length in time or messages

Units: times 500ms, 10s, 2m; rates 500, 2k/s, 90/m; sizes 512, 64kB, 1MiB; shares 5%
or 0.05."""

_EXIT_CODES = """\
A failed run goes before a failed condition: a run whose connections never opened exits
with 3 whatever --fail-if says. `compare`, `ab` and `capacity` have codes of their own:
`ws-load-test ab --help`."""

_RESULTS = """\
Results: what a run leaves behind

  -o run.jsonl              the recording: every second's histograms and counts
  --json                    the summary as JSON (`ws-load-test schema summary`)
  --html page.html          a page with charts, one file that needs no network
  --markdown FILE           a short report; $GITHUB_STEP_SUMMARY is appended to
  --junit FILE              a test case for each condition, for CI
  --csv FILE                one row for each second
  --openmetrics FILE        for Prometheus' text file collector
  --hdr FILE, --hgrm FILE   HdrHistogram's log, and its table of percentiles

  --metrics-port PORT       live, for Prometheus; --otlp URL for OpenTelemetry

All of these come from a recording as well:
  ws-load-test report run.jsonl --html page.html
  ws-load-test report machine-a.jsonl machine-b.jsonl
  ws-load-test compare monday.jsonl tuesday.jsonl"""

_CLUSTER = """\
Cluster: load from several machines

  pip install 'ws-load-test[cluster]'          on each machine
  ws-load-test cluster up --ssh host1,host2    start it, and print the options
  ws-load-test URL -c 100000 --cluster tls://host1:8786 ...

The plan, feeds and certificates are sent along. Clocks are compared, and the report
has a row for each machine. Any Dask cluster does: over SSH, on Kubernetes, in clouds
(docs/clusters.md)."""
