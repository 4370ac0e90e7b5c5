"""The help pages, written by hand: what `--help` prints, without waiting for anything to be imported."""

MAIN = """\
ws-load-test: a load generator for WebSocket APIs

  ws-load-test URL [options]          flood URL with messages and report the response times
  ws-load-test capacity URL [options] find the highest rate, or number of connections, that meets objectives
  ws-load-test demo [options]         the same against the built-in echo server
  ws-load-test echo [options]         run that server by itself
  ws-load-test cluster up             start a cluster of other machines, for --cluster
  ws-load-test report RECORDING...    the report of a recording, or of several as one
  ws-load-test compare BASE NEW...    what is better or worse in other recordings, as far as the data say
  ws-load-test ab URL_A URL_B         measure two targets in turn, and compare them
  ws-load-test schema NAME            the JSON schema of a summary, a plan or a recording
  ws-load-test COMMAND --help         more about one of them

Opens many connections, floods them with messages or sends on a schedule, and prints how long the replies
took, from High Dynamic Range histograms over all connections.

Target
  URL, -u, -g, --url, --gateway URL   what to test: ws://host:port/path or wss://...; several are taken in turn
  -H, --header "NAME: VALUE"          a header of the upgrade request; repeatable
      --subprotocol NAME              a subprotocol to offer; repeatable
      --user NAME:PASSWORD            basic authentication
      --bearer TOKEN|@FILE            a bearer token
      --cookie NAME=VALUE             a cookie; repeatable
      --origin URL                    the Origin header, as a browser sends it
      --connect-to HOST[:PORT]           connect there instead of to the URL's host; several are taken in turn
      --unix-socket PATH              connect to a socket of this machine
      --proxy URL                     go through http://, socks4:// or socks5://[user:password@]host:port
      --bind ADDRESS                  source addresses to take in turn: one, several, or a network 10.0.0.0/28
      --follow-redirects              follow up to 5 redirects instead of counting them as refusals
      --deflate on|PARAMETERS         offer compression (permessage-deflate), for example
                                      "client_max_window_bits=10; server_no_context_takeover"

TLS
      --insecure                      take any certificate
      --cacert FILE                   PEM file of the authorities to trust
      --cert FILE, --key FILE         PEM files of our own certificate and its key
      --sni NAME                      the server name to ask for, instead of the URL's host
      --tls-min 1.2|1.3               the oldest version to accept (1.2)
      --ciphers LIST                  ciphers of TLS 1.2, as OpenSSL writes them
      --tls-resume                    resume TLS sessions instead of beginning each anew

Load
  -c, --connections N                 how many connections (1)
      --in-flight N                   flood: keep this many messages in flight on each connection (1)
  -r, --rate RATE                     or send on a schedule, over all connections: 500, 2k/s, 90/m; 0 only holds
                                      the connections. Times then count from when a message was due.
      --rate-per-connection RATE      the same, for each connection
      --stages TIME:RATE,...          a rate that changes: 30s:1000,2m:5000 goes in lines, 30s@1000 in steps
      --arrivals KIND                 constant, or poisson: as independent users would send (constant)
      --seed N                        of poisson; printed with the plan, so that a run can be repeated
      --max-in-flight N               on a schedule: hold messages back while N wait on their connection, and
                                      drop those that wait longer than --timeout
  -d, --duration TIME                 how long to send: 10s, 500ms, 2m; a bare number is seconds (10s)
  -n, --messages N                    how many messages in all, instead of a duration
      --warmup TIME                   send this long before anything counts (0s)
      --connect-rate RATE             open this many connections a second: 500, 2k/s, 90/m
      --ramp TIME                     or spread the opening of all of them over this time
      --connection-stages TIME:N,...  on a schedule: a number of connections that changes, up and down
      --ping-interval TIME                on a schedule: ping each connection this often, and time the pongs

Message
  -m, --message TEXT|@FILE|@DIR       what to send (PING); several are sent in turn, as all files of DIR are
      --weights N,N,...               how often each of several messages is sent
      --size SIZE                     or generated text of this size: 512, 64kB, 1MiB, 100..1000 (any between),
                                      normal:1kB,200B or exp:1kB (random, by mean)
      --binary                        send it as binary
      --ping                          send ping frames, and take their pongs for the replies
      --feed FILE                     rows for {feed.COLUMN}: CSV with a header line, or JSON lines
      --feed-order ORDER              round-robin, random, or connection: one row for each (round-robin)
      --first-message TEXT|@FILE      sent once in each session before the load; several wait for each reply
  Fields in braces are filled in anew for each message, all other braces stay as they are:
      {seq}  {connection}  {uuid}  {now_ms}  {random:8}  {int:1..100}  {feed.COLUMN}
  In URL, --header, --cookie, --user, --bearer and --subprotocol they are filled in for each connection.

Replies
      --match RULE                    which reply answers which message: order, echo (it says the same), json:PATH
                                      or regex:PATTERN (it has the same id), json:PATH=PATH (where the reply
                                      has it elsewhere), none (send only) (order)
      --skip-first N                  the first N messages of a session are greetings and answer nothing
      --ignore CHECK                  what satisfies this answers nothing; repeatable
      --auto-reply CHECK=>TEXT            what satisfies this is answered with TEXT; repeatable
      --expect CHECK                  a reply that does not satisfy this is a fault; repeatable
      --expect-first CHECK            a first reply that does not satisfy this is a fault, and ends the session
      --check-utf8               check that texts are UTF-8, too
  A CHECK is contains:TEXT, regex:PATTERN, json:PATH=VALUE, or json:PATH (it is there). A PATH is made of names and
  places: id, data.items[0].id

Sessions
      --reconnect POLICY              dial lost sessions again: none, now, a delay such as 1s, or exponential,
                                      exponential:100ms..30s (none; with --disconnect, now)
      --lifetime TIME                 close each session after this time, and open another in its place
      --disconnect SHARE@TIME              cut off this share of the connections at once, and see how all come back
      --slow-readers SHARE:SPEED              let this share of the connections read slowly: 5%:1kB/s
      --stalled-readers SHARE, --no-pong-clients SHARE      let them stop reading, or answer no ping; measured are the others

Verdict
      --fail-if "CONDITION"           the run has failed (exit code 1) if this holds at its end; repeatable
      --abort-if "CONDITION"          the same, and the run is stopped as soon as it holds; repeatable
      --abort-grace TIME              measure this long before --abort-if is looked at (5s)
  A CONDITION compares a metric with a limit: "p99 > 50ms", "connect.p95 > 1s", "errors > 0.1%", "unanswered > 0",
  "faults.reset > 0", "rate < 9500"; "any p99 > 80ms" is judged on each second by itself. docs/thresholds.md has them all.

Limits
      --timeout TIME                  how long a reply may take (10s)
      --connect-timeout TIME          how long opening a connection may take (10s)
  -w, --workers N                     worker processes (one for each core)

Other machines
      --cluster ADDRESS               have the hosts of a Dask cluster do it: tls://scheduler:8786, or a scheduler file
      --hosts N                       wait for N hosts, and take no more (those that there are); -w is for each host
      --on-worker-lost ACTION         what the others do: continue, or stop (continue)
      --cluster-ca FILE, --cluster-cert FILE, --cluster-key FILE
                                      for TLS with the cluster: its authority, our certificate, its key
      --insecure-cluster              allow a scheduler without TLS on another machine than this

Results
  -o, --output FILE                   write a recording, which `report` reads
      --hdr FILE, --hgrm FILE         write an interval log, or the percentiles, as HdrHistogram's tools read them
      --csv FILE                      write a row for each second
      --junit FILE                    write the run and its thresholds as test cases
      --markdown FILE                 write a short report; to $GITHUB_STEP_SUMMARY it is added
      --html FILE                     write a page with charts, which works offline
      --openmetrics FILE              write counters and histograms; - as FILE is standard output, here and above
      --json                          print the summary as JSON instead of the report
  -q, --quiet                         print neither report nor progress
      --live, --no-live               show the run on a screen of its own even in CI, or never: then, and where there is
                                      no terminal, a line on standard error every 10 s
  -v, --log-level LEVEL               what to tell on standard error: debug, info, warn, error (warn)

While it runs
      --metrics-port PORT             serve metrics to Prometheus at http://127.0.0.1:PORT/metrics; 0 is any free port
      --metrics-host ADDRESS          listen there instead: 0.0.0.0, to be read from other machines
      --metrics-linger TIME           stay up after the run until they are read once more, this long at most (0s)
      --otlp URL                      push metrics to an OpenTelemetry collector: http://host:4317 (gRPC), or
                                      http://host:4318/v1/metrics (HTTP)

Plan
      --plan FILE.toml                read options from a file, under the same names; the command line wins
      --no-binary, --no-ping, ...     undo a flag of the plan file
      --explain                       print the plan in words, and stop
      --probe                       open one connection, send one message, and show every step
      --fail-if-saturated                        fail when the generator itself was the bottleneck
  -h, --help                          this page
      --version                       the version

Examples
  One connection, ten seconds of PING:
      ws-load-test ws://localhost:3001
  5,000 messages a second over 200 connections, whatever the server does:
      ws-load-test ws://localhost:3001 -c 200 -r 5000
  A thousand connections with 4 messages in flight on each, for a minute:
      ws-load-test wss://api.example/live -c 1000 --in-flight 4 -d 1m
  Exactly 100,000 messages read from a file, a token in a header, the recording kept:
      ws-load-test wss://api.example -c 50 -n 100000 -m @order.json -H "Authorization: Bearer ..." -o run.jsonl
  What an API does with one message, step by step; then replies told apart by their id, one token each:
      ws-load-test wss://api.example --probe --bearer @token.txt -m '{"id": {seq}, "op": "time"}'
      ws-load-test wss://api.example -c 100 -r 1000 --feed users.csv --bearer {feed.token} \\
          -m '{"id": {seq}, "op": "time"}' --match json:id --expect json:ok=true
  Two recordings, of two machines perhaps, as one report:
      ws-load-test report first.jsonl second.jsonl

Exit codes
  0 done and passed         1 a threshold, or a dry run, failed      2 wrong usage or plan
  3 no connection could be opened      4 a worker was lost      5 generator-bound, with --fail-if-saturated
  70 a bug of ours          74 a file could not be written      130 interrupted
"""

DEMO = """\
ws-load-test demo: flood the built-in echo server

  ws-load-test demo [options]

Starts the echo server in a process of its own, floods it for 5 seconds over 100 connections, and prints
the report. Takes the options of `ws-load-test --help`, all but the URL.

Examples
  ws-load-test demo
  ws-load-test demo -c 1000 --in-flight 16 -d 10s
"""

ECHO = """\
ws-load-test echo: run the built-in echo server until Ctrl-C

  ws-load-test echo [options]

      --host ADDRESS      address to listen on (127.0.0.1)
      --port PORT         port to listen on, 0 for any that is free (3001)
      --tls               serve wss:// with a self-signed certificate, made on the spot
      --write-ca FILE     write that certificate to FILE, for --cacert of a client
      --processes N       share the port among N processes: more cores, and each has a limit on open files of its
                          own, so that N processes hold N times as many connections (1)

It echoes text and binary messages, puts fragments together, answers pings and closes. Its URL can ask for
faults, so that you can see what they look like in a report:

  ?delay=20ms             answer late              ?silent=0.01            leave this share of messages unanswered
  ?close=1011&after=5     close after 5 messages   ?reset&after=5          or reset the connection
  ?status=503             refuse the upgrade       ?push=100               push 100 messages a second unasked
  ?fragment=3             reply in 3 fragments     ?ping=1s                ping, and close where no pong comes
  ?limit=1000             answer no more messages a second over all connections of a process that ask for the same;
                          the others wait in a queue, as before a saturated server

Examples
  ws-load-test echo --port 3001
  ws-load-test echo --processes 3
  ws-load-test "ws://127.0.0.1:3001/?delay=20ms" -c 10 -d 5s
"""

CLUSTER = """\
ws-load-test cluster: start a cluster on other machines, for --cluster of a run

  ws-load-test cluster up --ssh HOST,HOST... [options]

      --ssh HOST,HOST...       machines to start it on; the first has the scheduler as well
      --remote-python PATH     the Python there that has ws-load-test[cluster] (the path of the one that runs this)
      --ssh-config FILE        where users, ports and keys of SSH are read, instead of ~/.ssh/config
      --port PORT              the scheduler's port (8786)
      --idle-timeout TIME      end it after so long without a run, should nobody else (1 h)

Certificates are made on the spot, and only who has them can use the cluster. It is up until Ctrl-C, and prints
the options that lead a run to it. docs/clusters.md describes Kubernetes and of clouds.

Examples
  ws-load-test cluster up --ssh generator1,generator2
"""

REPORT = """\
ws-load-test report: the report of one recording, or of several merged

  ws-load-test report RECORDING... [options]

      --json                   print the summary as JSON instead
      --fail-if-saturated                 fail when the generator itself was the bottleneck
      --fail-if "CONDITION"    judge by this instead of the conditions that were recorded; repeatable
      --hdr FILE               write an interval log for HdrHistogram's tools; - is standard output, here and below
      --hgrm FILE              write the percentiles, as HdrHistogram's tools read them
      --csv FILE               write a row for each second
      --junit FILE             write the run and its thresholds as test cases
      --markdown FILE          write a short report; to $GITHUB_STEP_SUMMARY it is added
      --html FILE              write a page with charts, which works offline
      --openmetrics FILE       write counters and histograms

Merging is exact: counts are added and histograms merged bucket for bucket, whichever machine made them.
A recording of a run that was killed can be read as far as it goes.

Examples
  ws-load-test report run.jsonl
  ws-load-test report machine-a.jsonl machine-b.jsonl --json
  ws-load-test report run.jsonl --fail-if "p99 > 50ms" --fail-if "errors > 0.1%"
"""

COMPARE = """\
ws-load-test compare: what is better or worse in other recordings, as far as the data say

  ws-load-test compare BASE NEW... [options]

BASE and each NEW are a recording, or a directory of recordings (*.jsonl) that are repeats of the same thing.
Each NEW is compared with BASE: percentiles and mean of the response times, throughput, errors, and with
repeats the connect times. What is called better or worse is so beyond chance; "no difference" is what the
data cannot tell from none.

      --confidence SHARE             how sure to be that nothing is called different if nothing is (95%)
      --fail-on-regression SHARE     exit with 1 if something is worse, and by more than this: 5%
      --json                         print the comparison as JSON instead
      --markdown FILE                write it as Markdown; to $GITHUB_STEP_SUMMARY it is added; - is standard output
      --html FILE                    write a page with the percentiles of all sides over each other

Two runs vary from second to second, and from one to the next by what else the machine does. Of single
recordings only the first can be seen, and each needs 5 seconds at least. 4 or more repeats of each side show
both; `ws-load-test ab` takes the machine out of it altogether. docs/compare.md says what is computed.

Examples
  ws-load-test compare monday.jsonl tuesday.jsonl
  ws-load-test compare base/ new/ --fail-on-regression 5%
  ws-load-test compare base.jsonl one.jsonl other.jsonl --html compared.html

Exit codes
  0 compared, whatever came out        1 a regression, or nothing to conclude from, with --fail-on-regression
  2 wrong usage, or no recording       70 a bug of ours        74 a file could not be written
"""

AB = """\
ws-load-test ab: measure two targets in turn, and compare them

  ws-load-test ab URL_A URL_B [options]

Machines drift: two runs one after the other differ by that alone. So both targets are measured in short rounds, a
pair of rounds at a time, in an order that chance decides, and each round opens its connections anew. The result says
of b against a what `ws-load-test compare` says, from pairs of rounds.

      --rounds N                     how many rounds of each target (10)
      --round-duration TIME                   how long each is measured (2s); there is no -d here
      --warmup TIME                  how long the load runs in each round before anything counts (500ms)
      --seed N                       of the order, and of --arrivals poisson; printed, so that it can be repeated
      --confidence SHARE             how sure to be that nothing is called different if nothing is (95%)
      --fail-on-regression SHARE     exit with 1 if something is worse in b, and by more than this: 5%
  -o, --output DIR                   keep the recordings: DIR/a/01.jsonl, DIR/b/01.jsonl, ...; `compare DIR/a DIR/b`
                                     says the same again
      --json, --markdown FILE, --html FILE, -q, -v, --fail-if-saturated
                                     as in `ws-load-test compare --help` and `ws-load-test --help`

All other options of a run are those of both targets: -c, -r, -m, -H and so on. It takes 2 x N x (TIME + warm-up), and
some tenths of a second for each round. Ctrl-C once ends the round, and the rounds so far are reported. Of a plan file,
what says how long and what is made of one run is left out, and told.

Examples
  ws-load-test ab ws://localhost:3001 ws://localhost:3002 -c 10
  ws-load-test ab wss://old.example wss://new.example -c 100 -r 2000 --rounds 20 --round-duration 5s -o rounds
  ws-load-test ab ws://localhost:3001 ws://localhost:3002 --fail-on-regression 5% --markdown ab.md

Exit codes
  0 compared, whatever came out        1 a regression, or nothing to conclude from, with --fail-on-regression
  2 wrong usage or plan, or this machine could not go on; the rounds before that are reported
  3 one of them never opened a connection      4 a worker was lost      5 generator-bound, with --fail-if-saturated
  70 a bug of ours        74 a file could not be written        130 interrupted; the rounds so far are reported
"""

CAPACITY = """\
ws-load-test capacity: find the highest load that still meets objectives

  ws-load-test capacity URL --slo "OBJECTIVE" [options]

Runs one step of load after the other: twice as much until the objectives are missed, then halfway between, until
the limit is known closely enough; then both ends are tried again, until each has turned out the same way twice.
A step that misses while the generator itself is at its limit is never taken for the limit of the target.

Search
      --slo "OBJECTIVE"       what must hold: "p99 < 50ms", "errors < 0.1%"; repeatable ("errors < 0.1%"). Written
                              as a CONDITION of --fail-if. The target must keep up with the load as well.
      --find rate             the highest rate of messages over -c connections (100); the default
      --find connections      the highest number of connections, each sending --rate-per-connection (1), or keeping
                              --in-flight N messages in flight, or all together -r RATE; -r 0 only holds them
      --from AMOUNT           the least amount of interest, where the search begins (100)
      --max AMOUNT            the most; without it, as far as it goes
      --precision SHARE       how far the ends of the answer may lie apart, 1% to 50% (5%)
      --step-duration TIME             how long each step measures at least (5s), after --warmup (1s)
      --max-step-duration TIME     and at most; between them, as long as the objectives need (60s)
      --cooldown TIME             wait between steps (1s)

Results
  -o, --output DIR            keep the recording of each step in this new folder, and the answer in capacity.json
      --markdown FILE         write a short report; to $GITHUB_STEP_SUMMARY it is added; - is standard output
      --html FILE             write a page with the chart and the table
      --json                  print what was found as JSON
  -q, --quiet                 print nothing
  -v, --log-level LEVEL       what to tell on standard error: debug, info, warn, error (warn)
      --plan FILE.toml        read options from a file; what it says of how much and how long is left out

Of the options of a run (ws-load-test --help) it takes those of target, TLS, message, replies, sessions (but --disconnect)
and limits, --warmup, --connect-rate, --ramp, --arrivals, --seed, --max-in-flight and --ping-interval.

Examples
  ws-load-test capacity ws://localhost:3001 --slo "p99 < 50ms" --slo "errors < 0.1%"
  ws-load-test capacity "ws://localhost:3001/?limit=1000" --slo "p99 < 50ms" --step-duration 2s --from 500
  ws-load-test capacity wss://api.example --find connections --rate-per-connection 0.5 --slo "p99 < 200ms" -o steps

Exit codes
  0 the limit was found, or everything up to --max met the objectives
  1 not even --from met them; or the steps contradict each other, or leave open whether --max does; or the target
    let nobody in any more
  2 wrong usage or plan, or this machine cannot carry the first step
  3 no connection could be opened                5 the generator was at its limit first
  70 a bug of ours            74 a file could not be written        130 interrupted; what is known is told
"""

SCHEMA = """\
ws-load-test schema: the JSON schema of a summary, a plan or a recording

  ws-load-test schema summary         what --json prints, and what ends a recording
  ws-load-test schema plan            the plan in the header of a recording
  ws-load-test schema recording       one line of a recording: header, interval or trailer

The dialect is JSON Schema 2020-12. Every field has a description. docs/reference/summary.md is the same for people.

Exit codes
  0 printed        2 there is no such schema
"""

PAGES = {
    "": MAIN,
    "demo": DEMO,
    "echo": ECHO,
    "cluster": CLUSTER,
    "report": REPORT,
    "compare": COMPARE,
    "schema": SCHEMA,
    "ab": AB,
    "capacity": CAPACITY,
}
