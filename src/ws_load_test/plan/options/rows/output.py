"""Options of the command line alone: machines, results, live output, and how a plan is used. No plan holds them."""

from __future__ import annotations

from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.spec import Group, OptionSpec, Owner, Requirements

NEEDS_CLUSTER: Requirements = {("cluster",): "needs a cluster; add --cluster ADDRESS"}
NEEDS_PORT: Requirements = {("metrics_port",): "needs --metrics-port, the port to listen on"}
PROBE_RECORDS_NOTHING = "a probe records nothing; leave it out, or take --json and a file of your own"
NOT_WHILE_IT_RUNS = {
    "ab": "it shows one run while it goes on, and ab makes many short ones",
    "capacity": "a search is many short runs, and gives no metrics while they go; -o DIR keeps the recording of each",
    "--probe": PROBE_RECORDS_NOTHING,
}
LEVELS = ("debug", "info", "warn", "error")
"""Log levels, the most detailed first."""


def _of_one_run(name: str) -> dict[str, str]:
    """Returns the refusals of a file that holds one run."""
    return {
        "ab": f"it writes one run; `report --{name}` does it from the recordings of -o",
        "capacity": "it is made of one run; keep the recordings with -o DIR, and make it of one of them with `report`",
        "--probe": PROBE_RECORDS_NOTHING,
    }


MACHINES = (
    OptionSpec(
        name="cluster",
        metavar="ADDRESS",
        help="run on the hosts of a Dask cluster: tls://scheduler:8786, or a scheduler file",
        group=Group.MACHINES,
        parse=option_values.text,
        owner=Owner.CLUSTER,
        refused_by={
            "--probe": "a probe opens its one connection from this machine; leave one of them out",
        },
    ),
    OptionSpec(
        name="hosts",
        metavar="N",
        help="wait for N hosts, and use no more; -w counts for each host",
        group=Group.MACHINES,
        parse=option_values.workers,
        owner=Owner.CLUSTER,
        default="those that there are",
        requires=NEEDS_CLUSTER,
    ),
    OptionSpec(
        name="on_worker_lost",
        metavar="ACTION",
        help="what the other workers do when one is lost: continue or stop",
        group=Group.MACHINES,
        parse=option_values.choice("continue", "stop"),
        owner=Owner.CLUSTER,
        default="continue",
        requires=NEEDS_CLUSTER,
    ),
    OptionSpec(
        name="cluster_ca",
        metavar="FILE",
        help="TLS with the cluster: certificate of its authority",
        group=Group.MACHINES,
        parse=option_values.text,
        owner=Owner.CLUSTER,
        requires=NEEDS_CLUSTER,
    ),
    OptionSpec(
        name="cluster_cert",
        metavar="FILE",
        help="TLS with the cluster: certificate of this client",
        group=Group.MACHINES,
        parse=option_values.text,
        owner=Owner.CLUSTER,
        requires=NEEDS_CLUSTER,
    ),
    OptionSpec(
        name="cluster_key",
        metavar="FILE",
        help="TLS with the cluster: private key of this client",
        group=Group.MACHINES,
        parse=option_values.text,
        owner=Owner.CLUSTER,
        requires=NEEDS_CLUSTER,
    ),
    OptionSpec(
        name="insecure_cluster",
        metavar="",
        help="allow a scheduler without TLS on another machine than this",
        group=Group.MACHINES,
        parse=option_values.boolean,
        owner=Owner.CLUSTER,
        requires=NEEDS_CLUSTER,
    ),
)
RESULTS = (
    OptionSpec(
        name="output",
        metavar="FILE",
        help="write a recording, which `report` reads; with --probe all messages of its session, which `import` reads",
        group=Group.RESULTS,
        parse=option_values.output_file,
        owner=Owner.OUTPUT,
        short="o",
        may_begin_with_hyphen=True,
    ),
    OptionSpec(
        name="force",
        metavar="",
        help="overwrite the file of -o if it is there already",
        aliases=("overwrite",),
        group=Group.RESULTS,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
        refused_by={
            "ab": "no recording of rounds is overwritten; name a new directory with -o",
            "capacity": "no recording of steps is overwritten; name a new folder with -o",
        },
    ),
    OptionSpec(
        name="hdr",
        metavar="FILE",
        help="write an interval log for HdrHistogram's tools; here and below, - as FILE is standard output",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="exports.hdr_interval_log",
        refused_by=_of_one_run("hdr"),
    ),
    OptionSpec(
        name="hgrm",
        metavar="FILE",
        help="write the percentiles, as HdrHistogram's tools read them",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="exports.hdr_percentiles",
        refused_by=_of_one_run("hgrm"),
    ),
    OptionSpec(
        name="csv",
        metavar="FILE",
        help="write a row for each second",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="exports.csv_intervals",
        refused_by=_of_one_run("csv"),
    ),
    OptionSpec(
        name="junit",
        metavar="FILE",
        help="write the run and its thresholds as test cases",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="exports.junit",
        refused_by=_of_one_run("junit"),
    ),
    OptionSpec(
        name="markdown",
        metavar="FILE",
        help="write a short report; $GITHUB_STEP_SUMMARY is appended to",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="exports.markdown",
        refused_by={"--probe": PROBE_RECORDS_NOTHING},
    ),
    OptionSpec(
        name="openmetrics",
        metavar="FILE",
        help="write counters and histograms in the OpenMetrics text format",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="exports.openmetrics",
        refused_by=_of_one_run("openmetrics"),
    ),
    OptionSpec(
        name="html",
        metavar="FILE",
        help="write a page with charts, which works offline",
        group=Group.RESULTS,
        parse=option_values.text,
        owner=Owner.OUTPUT,
        may_begin_with_hyphen=True,
        export_module="html.run",
        refused_by={"--probe": PROBE_RECORDS_NOTHING},
    ),
    OptionSpec(
        name="summary",
        metavar="full|compact",
        help="print the whole report, or its first screen",
        group=Group.RESULTS,
        parse=option_values.choice("full", "compact"),
        owner=Owner.OUTPUT,
        default="full, but compact on a terminal with fewer rows",
        refused_by={
            "ab": "its result is one table",
            "capacity": "its result is one table",
            "--probe": "it shows every step; there is nothing to shorten",
        },
    ),
    OptionSpec(
        name="json",
        metavar="",
        help="print the summary as JSON instead of the report",
        group=Group.RESULTS,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
    ),
    OptionSpec(
        name="quiet",
        metavar="",
        help="print neither report nor progress",
        group=Group.RESULTS,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
        short="q",
    ),
    OptionSpec(
        name="live",
        metavar="",
        help="show the run full screen even in CI; with --no-live never. Otherwise it is shown on a terminal, and"
        " elsewhere one line every 10 s on standard error",
        group=Group.RESULTS,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
        refused_by={
            "ab": "it shows one run; ab shows a line for each round, where there is a terminal",
            "capacity": "shows one run; a search has a line for each step on a terminal, and needs not be asked for it",
        },
    ),
    OptionSpec(
        name="log_level",
        metavar="LEVEL",
        help="what to log on standard error: debug, info, warn, error",
        group=Group.RESULTS,
        parse=option_values.choice(*LEVELS),
        owner=Owner.OUTPUT,
        default="warn",
        short="v",
        former_names=("verbosity",),
    ),
)
WHILE_IT_RUNS = (
    OptionSpec(
        name="metrics_port",
        metavar="PORT",
        help="serve metrics to Prometheus at http://127.0.0.1:PORT/metrics; 0 is any free port",
        group=Group.WHILE_IT_RUNS,
        parse=option_values.unchecked,
        owner=Owner.METRICS,
        refused_by=NOT_WHILE_IT_RUNS,
    ),
    OptionSpec(
        name="metrics_host",
        metavar="ADDRESS",
        help="serve them at this address instead: 0.0.0.0 is every address of this machine",
        group=Group.WHILE_IT_RUNS,
        parse=option_values.unchecked,
        owner=Owner.METRICS,
        default="127.0.0.1",
        requires=NEEDS_PORT,
        refused_by=NOT_WHILE_IT_RUNS,
    ),
    OptionSpec(
        name="metrics_allow_host",
        metavar="NAME",
        help="answer requests for this name as well, as Host headers have it; otherwise only for loopback, ADDRESS, and"
        " the address that was reached, so that no page in a browser reads the metrics",
        group=Group.WHILE_IT_RUNS,
        parse=option_values.unchecked,
        owner=Owner.METRICS,
        repeatable=True,
        requires=NEEDS_PORT,
        refused_by=NOT_WHILE_IT_RUNS,
    ),
    OptionSpec(
        name="metrics_linger",
        metavar="TIME",
        help="after the run, serve them until they are read once more, this long at most",
        group=Group.WHILE_IT_RUNS,
        parse=option_values.unchecked,
        owner=Owner.METRICS,
        default="0s",
        requires=NEEDS_PORT,
        refused_by=NOT_WHILE_IT_RUNS,
    ),
    OptionSpec(
        name="otlp",
        metavar="URL",
        help="push metrics to an OpenTelemetry collector: http://host:4317 (gRPC), or http://host:4318/v1/metrics"
        " (HTTP)",
        group=Group.WHILE_IT_RUNS,
        parse=option_values.unchecked,
        owner=Owner.METRICS,
        refused_by=NOT_WHILE_IT_RUNS,
    ),
)
PLAN = (
    OptionSpec(
        name="plan",
        metavar="FILE.toml",
        help="read options from a file, under the same names; the command line wins. --no-binary, --no-ping and so on"
        " undo a flag of the file. It can have roles, whose sessions go through several steps: `ws-load-test help"
        " scenarios`",
        group=Group.PLAN,
        parse=option_values.text,
        owner=Owner.OUTPUT,
    ),
    OptionSpec(
        name="explain",
        metavar="",
        help="print the plan in words, and stop",
        group=Group.PLAN,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
        refused_by={
            "ab": "it explains one plan; leave out ab, and give one URL",
            "capacity": "a search has no plan before its end; --max shows how far it may go",
        },
    ),
    OptionSpec(
        name="probe",
        metavar="",
        help="open one connection, send one message, and show every step",
        group=Group.PLAN,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
        aliases=("dry_run",),
        refused_by={
            "ab": "it opens one connection to one target; leave out ab",
            "capacity": "a probe sends one message and finds no limit; leave `capacity` out",
        },
    ),
    OptionSpec(
        name="fail_if_saturated",
        metavar="",
        help="fail (exit code 5) if the generator itself was the bottleneck",
        group=Group.PLAN,
        parse=option_values.boolean,
        owner=Owner.OUTPUT,
        former_names=("strict",),
        refused_by={
            "capacity": "needs not be said: where the generator is the limit, no number is given, and the exit code"
            " is 5"
        },
    ),
)
