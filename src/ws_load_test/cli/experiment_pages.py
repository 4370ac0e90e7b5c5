"""Help of the commands that are made of several runs: compare, ab, capacity."""

from __future__ import annotations

from ws_load_test.cli.page_parts import CommandPage, Section, with_words
from ws_load_test.plan.options.catalog import owned_by
from ws_load_test.plan.options.spec import Owner

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
                with_words("json", help=_COMPARE_JSON),
                with_words("markdown", help=_COMPARE_MARKDOWN),
                with_words("html", help=_COMPARE_HTML),
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
                with_words(
                    "warmup", help="how long the load runs in each round before anything counts", default="500ms"
                ),
                with_words("seed", help="seed of the order and of --arrivals poisson; printed with the result"),
                with_words("confidence"),
                with_words("metric"),
                with_words(
                    "fail_on_regression", help="fail (exit code 1) if b is worse in something by more than this: 5%"
                ),
                with_words(
                    "output",
                    metavar="DIR",
                    help="keep the recordings: DIR/a/01.jsonl, DIR/b/01.jsonl, ...; `compare DIR/a DIR/b` gives the"
                    " same result again",
                ),
                with_words("json", help=_COMPARE_JSON),
                with_words("markdown", help=_COMPARE_MARKDOWN),
                with_words("html", help=_COMPARE_HTML),
                with_words("quiet"),
                with_words("log_level"),
                with_words("plan", help="read options from a file; those about length and about one run are left out"),
                with_words("slo", help="fail (exit code 1) unless this holds for each target, over all of its rounds"),
                with_words("fail_if_saturated"),
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
                with_words(
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
                with_words(
                    "output",
                    metavar="DIR",
                    help="keep the recording of each step in this new folder, and the result in capacity.json",
                ),
                with_words(
                    "markdown", help="write a short report; $GITHUB_STEP_SUMMARY is appended to; - is standard output"
                ),
                with_words("html", help="write a page with the chart and the table"),
                with_words("json", help="print the result as JSON"),
                with_words("quiet", help="print nothing"),
                with_words("log_level"),
                with_words("plan", help="read options from a file; those about load and length are left out"),
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
