"""The command line: arguments to a plan, a plan to a run, a run to a report and an exit code.

The only package that knows argv, the environment, signals and the terminal. Everything heavy is imported where it is
needed, so that ``--help`` and a mistyped option answer at once.
"""

from __future__ import annotations

import errno
import sys
import traceback
from typing import TYPE_CHECKING

from ws_load_test.cli.streams import complain, fail_to_print, open_closed_streams
from ws_load_test.common.errors import ExitCode, LoadTestError, PlanError, UsageError
from ws_load_test.common.faults import classify_host_error
from ws_load_test.common.sanitize import sanitize
from ws_load_test.common.version import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    page: str | None = None
    try:
        page = _help_page(arguments)
        if page is not None:
            sys.stdout.write(page)
            sys.stdout.flush()
            return ExitCode.PASSED
        from ws_load_test.cli.arguments import dispatch

        code = dispatch(arguments)
        sys.stdout.flush()
    except PlanError as error:
        many = f"the plan has {len(error.problems)} problems:\n  " if len(error.problems) > 1 else ""
        return complain(many + "\n  ".join(map(str, error.problems)), error.exit_code)
    except LoadTestError as error:
        return complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC and (classify_host_error(error) is not None or error.errno == errno.EAGAIN):
            return complain(f"this machine cannot carry the run: {error.strerror}", ExitCode.USAGE)
        return fail_to_print(error)
    except Exception:  # noqa: BLE001 - the last line of defence: whatever comes here is a bug of ours
        traceback.print_exc()
        return complain("this is a bug of ws-load-test; please report the lines above", ExitCode.BUG)
    return code


def _help_page(arguments: Sequence[str]) -> str | None:
    """Returns the page that is asked for; None where the arguments are no request for help.

    Raises:
        UsageError: There is no such command or topic.
    """
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    asks = not arguments or arguments[0] in ("help", "version") or bool({"-h", "--help"} & set(options))
    if not asks:
        return None
    from ws_load_test.cli.help_pages import PAGES

    if arguments[:1] == ["version"]:
        from ws_load_test.common.version import __version__
        from ws_load_test.engine.registry import ENGINES, why_no_io_uring, why_not_built

        missing = {name: why_not_built(name) for name in ENGINES}
        lines = [f"{PROGRAM} {__version__}"]
        lines += [f"{name} engine: {f'not built ({why})' if why else 'built'}" for name, why in missing.items()]
        if not missing["native"]:
            lines.append(f"io_uring for the native engine: {why_no_io_uring() or 'allowed'}")
        return "\n".join(lines) + "\n"
    if arguments[:1] == ["help"]:
        return _topic(arguments[1:], PAGES)
    if arguments and arguments[0] in PAGES and arguments[0] != "-h":
        return PAGES[arguments[0]]
    return PAGES["" if "--help" in options else "-h"]


def _topic(words: Sequence[str], pages: Mapping[str, str]) -> str:
    name = " ".join(words)
    if not name:
        return pages[""]
    for key in (f"help {name}", name):
        if key in pages:
            return pages[key]
    from difflib import get_close_matches

    topics = [key.removeprefix("help ") for key in pages if key.startswith("help ")]
    commands = [key for key in pages if key and key != "-h" and not key.startswith("help ")]
    near = get_close_matches(name, topics + commands, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    known = f"there are the topics {', '.join(topics)}, and the commands {', '.join(commands)}"
    raise UsageError(f"help: no topic {sanitize(name)}{meant or '; ' + known}")
