"""Help of each command: prose written here, options from the catalogue.

`help_pages.py` and docs/reference/cli.md are generated from it by ``python tools/generate_cli_docs.py``.
"""

from __future__ import annotations

from dataclasses import replace

from ws_load_test.cli.experiment_pages import AB, CAPACITY, COMPARE
from ws_load_test.cli.page_parts import NOTES, RUN_GROUPS, CommandPage, Section, own_option, with_words
from ws_load_test.plan.options.catalog import BY_NAME, EXPORTS, names_in

MAIN = CommandPage(
    command="",
    title="a load generator for WebSocket APIs",
    usage=(
        "ws-load-test URL [options]        put load on URL, report response times",
        "ws-load-test --plan FILE.toml     as a file says; sessions of several steps",
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
        Section(group.value, tuple(BY_NAME[name] for name in names_in(group)), NOTES.get(group, ""))
        for group in RUN_GROUPS
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
  A chat: sessions that join, speak now and then and leave, as a file says:
      ws-load-test --plan chat.toml
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
                own_option("host", "ADDRESS", "address to listen on", "127.0.0.1"),
                own_option("port", "PORT", "port to listen on, 0 for any that is free", "3001"),
                own_option("tls", "", "serve wss:// with a self-signed certificate, made at the start"),
                own_option("write_ca", "FILE", "write that certificate to FILE, for --cacert of a client"),
                own_option(
                    "processes",
                    "N",
                    "share the port among N processes: more cores, and each has a limit on open files of its own, so"
                    " that N processes hold N times as many connections",
                    "1",
                ),
                own_option(
                    "close_code",
                    "CODE",
                    "close code of its sessions when it is stopped; 1006 sends no close frame",
                    "1001, going away",
                ),
                own_option("drain", "TIME", "spread these closes over a time", "0s"),
                own_option("node_name", "NAME", "name in the header X-Node, for ?node", "the port"),
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
                own_option("ssh", "HOST,HOST...", "machines to start it on; the first has the scheduler as well"),
                own_option(
                    "remote_python",
                    "PATH",
                    "the Python there that has ws-load-test[cluster]",
                    "the path of the one that runs this",
                ),
                own_option("ssh_config", "FILE", "file with users, ports and keys of SSH", "~/.ssh/config"),
                own_option("port", "PORT", "port of the scheduler", "8786"),
                own_option("idle_timeout", "TIME", "end the cluster after this time without a run", "1 h"),
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
                with_words("summary"),
                with_words("json"),
                with_words("fail_if_saturated"),
                with_words("fail_if", help="check this instead of the conditions that were recorded"),
                with_words("slo", help="the same with what must hold"),
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

IMPORT = CommandPage(
    command="import",
    title="make a plan file of a captured session",
    usage=("ws-load-test import CAPTURE [options] > scenario.toml",),
    introduction="""\
CAPTURE is a HAR file with WebSocket messages, as browsers and Playwright write it, or the file that --probe -o
writes; - is standard input. What the client sent becomes the steps of a role, what came back their awaits: values that
were received and sent later are captured, and counters, UUIDs and times become fields. What repeats becomes
iterations. Sessions with one target are roles of one plan: what they share becomes {room}, what comes from one to the
others {marker}. Secrets become {env.NAME}; their values are not in the file.""",
    sections=(
        Section(
            "",
            (
                own_option("socket", "N|TEXT", "take session N (from 1), or those with TEXT in their URL"),
                own_option("speed", "N", "divide the waits between messages by N", "1"),
                replace(
                    own_option("output", "DIR", "write DIR/scenario.toml, and each binary message in a file beside it"),
                    short="o",
                ),
                own_option("force", "", "overwrite these files if they are there already"),
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
