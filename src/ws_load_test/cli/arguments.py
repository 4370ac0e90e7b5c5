"""What may stand on the command line, and which command it starts.

Values stay text here: `options.py` reads them, so that a plan file and a script get the same answers to the same
mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.common.version import PROGRAM, __version__

Text = str | None
Flag = bool | None
# Not every name with a hyphen is an option: a hyphen alone is standard output.
_File = Annotated[Text, Parameter(allow_leading_hyphen=True)]


@dataclass(frozen=True, kw_only=True)
class Exports:
    """The files that a run and `report` write for other programs; None where it was not given."""

    hdr: _File = None
    hgrm: _File = None
    csv: _File = None
    junit: _File = None
    markdown: _File = None
    openmetrics: _File = None
    html: _File = None

    def given(self) -> dict[str, Any]:
        """The options that were given."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}


@dataclass(frozen=True, kw_only=True)
class Options(Exports):
    """Every option of a run; None where it was not given."""

    header: Annotated[list[str] | None, Parameter(name=["--header", "-H"], consume_multiple=False)] = None
    subprotocol: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    cookie: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    origin: Text = None
    user: Text = None
    bearer: Text = None
    insecure: Flag = None
    cacert: Text = None
    cert: Text = None
    key: Text = None
    sni: Text = None
    tls_min: Text = None
    ciphers: Text = None
    tls_resume: Flag = None
    connect_to: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    unix_socket: Text = None
    proxy: Text = None
    follow_redirects: Flag = None
    deflate: Text = None
    bind: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None

    connections: Annotated[Text, Parameter(name=["--connections", "-c"])] = None
    in_flight: Text = None
    duration: Annotated[Text, Parameter(name=["--duration", "-d"])] = None
    messages: Annotated[Text, Parameter(name=["--messages", "-n"])] = None
    warmup: Text = None
    connect_rate: Text = None
    ramp: Text = None
    connection_stages: Text = None

    rate: Annotated[Text, Parameter(name=["--rate", "-r"])] = None
    rate_per_connection: Text = None
    stages: Text = None
    arrivals: Text = None
    seed: Text = None
    max_in_flight: Text = None
    ping_interval: Text = None

    message: Annotated[
        list[str] | None, Parameter(name=["--message", "-m"], allow_leading_hyphen=True, consume_multiple=False)
    ] = None
    weights: Text = None
    size: Text = None
    binary: Flag = None
    ping: Flag = None
    feed: Text = None
    feed_order: Text = None
    first_message: Annotated[list[str] | None, Parameter(allow_leading_hyphen=True, consume_multiple=False)] = None

    match: Text = None
    expect: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    expect_first: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    ignore: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    auto_reply: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    skip_first: Text = None
    check_utf8: Flag = None

    reconnect: Text = None
    lifetime: Text = None
    disconnect: Text = None
    slow_readers: Text = None
    stalled_readers: Text = None
    no_pong_clients: Text = None

    fail_if: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    abort_if: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    abort_grace: Text = None

    timeout: Text = None
    connect_timeout: Text = None
    workers: Annotated[Text, Parameter(name=["--workers", "-w"])] = None

    cluster: Text = None
    hosts: Text = None
    on_worker_lost: Text = None
    insecure_cluster: Flag = None
    cluster_ca: Text = None
    cluster_cert: Text = None
    cluster_key: Text = None

    output: Annotated[Text, Parameter(name=["--output", "-o"])] = None
    json: Flag = None
    quiet: Annotated[Flag, Parameter(name=["--quiet", "-q"])] = None
    live: Flag = None
    log_level: Annotated[Literal["debug", "info", "warn", "error"] | None, Parameter(name=["--log-level", "-v"])] = None

    metrics_port: Text = None
    metrics_host: Text = None
    metrics_linger: Text = None
    otlp: Text = None

    plan: Text = None
    explain: Flag = None
    probe: Annotated[Flag, Parameter(name=["--probe", "--dry-run"])] = None
    fail_if_saturated: Flag = None


@dataclass(frozen=True, kw_only=True)
class CapacityOptions(Options):
    """Every option of a search for a capacity: a run's, and its own."""

    find: Text = None
    slo: Annotated[list[str] | None, Parameter(consume_multiple=False)] = None
    first: Annotated[Text, Parameter(name="--from")] = None
    max: Text = None
    precision: Text = None
    step_duration: Text = None
    max_step_duration: Text = None
    cooldown: Text = None


_SearchOptions = Annotated[CapacityOptions | None, Parameter(name="*")]
_Options = Annotated[Options | None, Parameter(name="*")]
_Exports = Annotated[Exports | None, Parameter(name="*")]

app = App(
    name=PROGRAM,
    version=f"{PROGRAM} {__version__}",
    version_flags=["--version"],
    help_flags=[],
    default_parameter=Parameter(negative_iterable=()),
)


@app.default
def flood(
    url: Annotated[list[str] | None, Parameter(name=["--url", "-u", "--gateway", "-g"])] = None,
    *,
    options: _Options = None,
) -> int:
    """Floods a target."""
    from ws_load_test.cli.run import run

    return run(url, (options or Options()).given())


@app.command
def demo(*, options: _Options = None) -> int:
    """Floods the built-in echo server."""
    from ws_load_test.cli.run import demo

    return demo((options or Options()).given())


@app.command
def capacity(
    url: Annotated[list[str] | None, Parameter(name=["--url", "-u", "--gateway", "-g"])] = None,
    *,
    options: _SearchOptions = None,
) -> int:
    """Finds the highest load that meets objectives."""
    from ws_load_test.cli.capacity import capacity

    return capacity(url, (options or CapacityOptions()).given())


@app.command
def echo(
    *,
    host: str = "127.0.0.1",
    port: int = 3001,
    tls: bool = False,
    write_ca: Path | None = None,
    processes: int = 1,
) -> int:
    """Runs the built-in echo server."""
    from ws_load_test.echo import run_echo

    run_echo(host, port, tls, processes=processes, ready=lambda line: print(line, flush=True), write_ca=write_ca)
    return ExitCode.PASSED


@app.command
def cluster(
    action: str = "",
    /,
    *,
    ssh: Annotated[list[str] | None, Parameter(consume_multiple=False, negative=())] = None,
    remote_python: Text = None,
    ssh_config: Text = None,
    port: int = 8786,
    idle_timeout: str = "1 h",
) -> int:
    """Starts a cluster by SSH."""
    from ws_load_test.cli.cluster import cluster_up

    if action != "up":
        raise UsageError(f"cluster: there is one thing to do, for example {PROGRAM} cluster up --ssh host1,host2")
    return cluster_up(ssh or (), python=remote_python, config=ssh_config, port=port, idle=idle_timeout)


@app.command
def report(
    *recordings: str,
    json: bool = False,
    fail_if_saturated: bool = False,
    fail_if: Annotated[list[str] | None, Parameter(consume_multiple=False, negative=())] = None,
    exports: _Exports = None,
) -> int:
    """Prints the report of recordings."""
    from ws_load_test.cli.report import report

    wanted = (exports or Exports()).given()
    return report(recordings, as_json=json, strict=fail_if_saturated, fail_if=fail_if or (), wanted=wanted)


@app.command
def schema(name: str = "", /) -> int:
    """Prints the JSON schema of a summary, a plan or a recording."""
    from ws_load_test.cli.schema import print_schema

    return print_schema(name)


@app.command
def compare(
    *sides: str,
    confidence: Text = None,
    fail_on_regression: Text = None,
    json: bool = False,
    markdown: _File = None,
    html: _File = None,
) -> int:
    """Compares recordings."""
    from ws_load_test.cli.compare import compare_files

    return compare_files(
        sides,
        confidence=confidence,
        fail_on_regression=fail_on_regression,
        as_json=json,
        wanted=_given(markdown=markdown, html=html),
    )


@app.command
def ab(
    *urls: str,
    rounds: Text = None,
    round_duration: Text = None,
    confidence: Text = None,
    fail_on_regression: Text = None,
    options: _Options = None,
) -> int:
    """Measures two targets in turn, and compares them."""
    from ws_load_test.cli.ab import run_ab

    return run_ab(
        urls,
        (options or Options()).given(),
        rounds=rounds,
        round_time=round_duration,
        confidence=confidence,
        fail_on_regression=fail_on_regression,
    )


def _given(**options: Text) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def dispatch(arguments: list[str]) -> int:
    """Runs the command that the arguments name; returns its exit code.

    Raises:
        UsageError: the arguments are not a command's.
    """
    try:
        return int(
            app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or ExitCode.PASSED
        )
    except UnusedCliTokensError as error:
        # Not repeated: what has no place here may be an address with a password.
        count = len(error.unused_tokens or ())
        what = "a value that has" if count == 1 else f"{count} values that have"
        raise UsageError(
            f"the command line ends with {what} no place there; write options as --name VALUE, and a URL only once "
            f"or several in a row ({PROGRAM} --help lists the options)"
        ) from None
    except CycloptsError as error:
        text = str(error)
        for argument in arguments:
            # The value of an option that there is none of may be a secret.
            if argument.startswith("-"):
                text = text.replace(argument, argument.partition("=")[0])
        raise UsageError(f"{' '.join(text.split())} ({PROGRAM} --help lists the options)") from None
