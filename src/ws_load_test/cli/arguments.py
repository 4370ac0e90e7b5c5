"""Commands and their parameters, derived from the option catalogue.

Values stay text here: the catalogue's parsers read them, so that the command line, a plan file and Python report the
same mistakes in the same words.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError, UnusedCliTokensError

from ws_load_test.cli.help_pages import PAGES
from ws_load_test.common.errors import ExitCode, UsageError
from ws_load_test.common.version import PROGRAM, __version__
from ws_load_test.plan import values as option_values
from ws_load_test.plan.options.catalog import BY_NAME, FORMER_NAMES, OPTIONS
from ws_load_test.plan.options.commands import COMMAND_OPTIONS
from ws_load_test.plan.options.spec import OptionSpec, Text
from ws_load_test.plan.other_tools import LETTERS, OPTION_NAMES, VALUES

Command = TypeVar("Command", bound=Callable[..., int])


@dataclass(kw_only=True)
class GivenOptions:
    """Base of the classes that hold a command's options, one field each; None where an option was not given."""

    def given(self) -> dict[str, Any]:
        """Returns the options that were given, by their names in the catalogue."""
        values = {field.name.removesuffix("_"): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def takes(options: Iterable[OptionSpec]) -> Callable[[Command], Command]:
    """Returns a decorator that gives a command's parameter `options` a field for each option."""
    names = [_FIELDS[option.name] for option in options if option.name != "url"]

    def decorate(command: Command) -> Command:
        # cyclopts takes the classes of the standard library, to which "types" belongs, for single values. What compares
        # and prints the options, and a docstring made of them, would take longer to make than the arguments to parse.
        namespace = {"__module__": __name__, "__doc__": "Options of a command."}
        taken = make_dataclass(
            "Options", names, bases=(GivenOptions,), namespace=namespace, repr=False, eq=False, kw_only=True
        )
        command.__annotations__["options"] = Annotated[taken | None, Parameter(name="*")]
        return command

    return decorate


def parameter(option: OptionSpec) -> Any:
    """Returns the type of an option on the command line, with its names."""
    kind = bool | None if option.is_flag else list[str] | None if option.repeatable else str | None
    settings = Parameter(
        name=list(option.flags),
        # Not every value with a hyphen is an option: a hyphen alone is standard output.
        allow_leading_hyphen=option.may_begin_with_hyphen,
        negative_iterable=(),
        consume_multiple=False if option.repeatable and option.name != "url" else None,
    )
    return Annotated[kind, settings]


_FIELDS: Mapping[str, tuple[str, Any, None]] = {
    # `from` is no name of a field.
    option.name: (option.name + "_" * keyword.iskeyword(option.name), parameter(option), None)
    for option in OPTIONS
}
"""Option -> the field that holds it on a command line."""

app = App(
    name=PROGRAM,
    version=f"{PROGRAM} {__version__}",
    version_flags=["--version"],
    help_flags=[],
    default_parameter=Parameter(negative_iterable=()),
)
_LETTERS = {f"-{letter}": f"--{name.replace('_', '-')}" for letter, name in LETTERS.items()}
_MAIN_FLAGS = {flag: option.flag for option in OPTIONS for flag in option.flags}
"""Every name of an option -> the one that errors suggest."""
_SUGGESTION = re.compile(r"Did you mean (-[\w-]+)\?")
_Urls = Annotated[list[str] | None, Parameter(name=list(BY_NAME["url"].flags))]


def _number(option: str, written: str, parse: Callable[[str], int]) -> int:
    """Parses the value of an option that is not in the catalogue.

    Raises:
        UsageError: it is no such number.
    """
    try:
        return parse(written)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _given(options: GivenOptions | None) -> dict[str, Any]:
    return {} if options is None else options.given()


@app.default
@takes(COMMAND_OPTIONS[""])
def run(url: _Urls = None, *, options: GivenOptions | None = None) -> int:
    """Puts load on a target."""
    from ws_load_test.cli.run import run

    return run(url, _given(options))


@app.command
@takes(COMMAND_OPTIONS["demo"])
def demo(*, options: GivenOptions | None = None) -> int:
    """Puts load on the built-in echo server."""
    from ws_load_test.cli.run import demo

    return demo(_given(options))


@app.command
@takes(COMMAND_OPTIONS["capacity"])
def capacity(url: _Urls = None, *, options: GivenOptions | None = None) -> int:
    """Finds the highest load that meets objectives."""
    from ws_load_test.cli.capacity import capacity

    return capacity(url, _given(options))


@app.command
def echo(
    *,
    host: str = "127.0.0.1",
    port: str = "3001",
    tls: bool = False,
    write_ca: Path | None = None,
    processes: str = "1",
    close_code: str = "1001",
    drain: str = "0s",
    node_name: str = "",
) -> int:
    """Runs the built-in echo server."""
    from ws_load_test.echo import NodeOptions, run_echo

    listening = _number("--port", port, option_values.port)
    count = _number("--processes", processes, option_values.workers)
    code = _number("--close-code", close_code, option_values.non_negative_int)
    node = NodeOptions(node_name, code, _number("--drain", drain, option_values.duration))
    run_echo(
        host, listening, tls, processes=count, ready=lambda line: print(line, flush=True), write_ca=write_ca, node=node
    )
    return ExitCode.PASSED


@app.command
def cluster(
    action: str = "",
    /,
    *,
    ssh: Annotated[list[str] | None, Parameter(consume_multiple=False, negative=())] = None,
    remote_python: Text = None,
    ssh_config: Text = None,
    port: str = "8786",
    idle_timeout: str = "1 h",
) -> int:
    """Starts a cluster by SSH."""
    from ws_load_test.cli.cluster import cluster_up

    if action != "up":
        raise UsageError(f"cluster: there is one thing to do, for example {PROGRAM} cluster up --ssh host1,host2")
    listening = _number("--port", port, option_values.port)
    return cluster_up(ssh or (), python=remote_python, config=ssh_config, port=listening, idle=idle_timeout)


@app.command
@takes(COMMAND_OPTIONS["report"])
def report(*recordings: str, options: GivenOptions | None = None) -> int:
    """Prints the report of recordings."""
    from ws_load_test.cli.report import report

    return report(recordings, _given(options))


@app.command
def schema(name: str = "", /) -> int:
    """Prints the JSON schema of a summary, a plan or a recording."""
    from ws_load_test.cli.schema import print_schema

    return print_schema(name)


@app.command(name="import")
def import_(
    capture: str = "",
    /,
    *extra: str,
    socket: Text = None,
    speed: str = "1",
    output: Annotated[Text, Parameter(name=["--output", "-o"], allow_leading_hyphen=True)] = None,
    force: bool = False,
) -> int:
    """Makes a plan file of a capture."""
    from ws_load_test.cli.import_capture import import_file

    return import_file(capture, extra, socket=socket, speed=speed, output=output, force=force)


@app.command
@takes(COMMAND_OPTIONS["compare"])
def compare(*sides: str, options: GivenOptions | None = None) -> int:
    """Compares recordings."""
    from ws_load_test.cli.compare import compare_files

    return compare_files(sides, _given(options))


@app.command
@takes(COMMAND_OPTIONS["ab"])
def ab(*urls: str, options: GivenOptions | None = None) -> int:
    """Measures two targets in turn, and compares them."""
    from ws_load_test.cli.ab import run_ab

    return run_ab(urls, _given(options))


@app.command(name="--install-completion")
def install_completion(shell: str = "", /) -> int:
    """Installs completion for a shell."""
    from ws_load_test.cli.completion import install_completion

    return install_completion(app, shell)


def dispatch(arguments: list[str]) -> int:
    """Runs the command that the arguments name; returns its exit code.

    Raises:
        UsageError: the arguments are not a command's.
    """
    _check_command(arguments)
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
        renamed = (
            _present_name(error.token.keyword or error.token.value) if isinstance(error, UnknownOptionError) else ""
        )
        if renamed:
            raise UsageError(renamed) from None
        text = _SUGGESTION.sub(lambda found: _suggestion(arguments, found[1]), str(error))
        for argument in arguments:
            # The value of an option that there is none of may be a secret.
            if argument.startswith("-"):
                text = text.replace(argument, argument.partition("=")[0])
        raise UsageError(f"{' '.join(text.split())} ({PROGRAM} --help lists the options)") from None


def _suggestion(arguments: list[str], flag: str) -> str:
    """Returns the question for an option; empty where only the dashes are alike."""
    written = [argument.partition("=")[0].lstrip("-") for argument in arguments if argument.startswith("-")]
    is_near = difflib.get_close_matches(flag.lstrip("-"), written, n=1)
    return f"Did you mean {_MAIN_FLAGS.get(flag, flag)}?" if is_near else ""


def _check_command(arguments: list[str]) -> None:
    """Checks that a first word that can only be meant as a command is one.

    Raises:
        UsageError: There is no such command.
    """
    word = arguments[0] if arguments else ""
    if not re.fullmatch(r"[A-Za-z][A-Za-z-]*", word) or word == "localhost":
        return
    commands = [page for page in PAGES if page and page != "-h" and not page.startswith("help ")]
    if word in commands:
        return
    near = difflib.get_close_matches(word.lower(), [*commands, "help", "version"], n=1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(commands)}, help and version"
    raise UsageError(f"unknown command {word}; {meant} (a run begins with a URL: {PROGRAM} ws://host:port, or --plan)")


def _present_name(argument: str) -> str:
    """Returns an error with the present name of an option, or ours for that of another tool; empty if none is known."""
    written = argument.partition("=")[0]
    name, no = written.removeprefix("--"), ""
    if written in _LETTERS:
        return f"{written}: there is no such option; write {_LETTERS[written]}"
    if (meant := OPTION_NAMES.get(name.replace("-", "_"))) is not None:
        value = f" {name}" if name in VALUES else ""
        return f"{written}: there is no such option; write {BY_NAME[meant].flag}{value}"
    if name.startswith("no-") and name.replace("-", "_") not in FORMER_NAMES:
        name, no = name.removeprefix("no-"), "no-"
    present = FORMER_NAMES.get(name.replace("-", "_"), "")
    return present and f"{written}: was renamed; write --{no}{present.replace('_', '-')}"
