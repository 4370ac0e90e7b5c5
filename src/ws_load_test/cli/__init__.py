"""The command line: arguments to a plan, a plan to a run, a run to a report and an exit code.

The only room that knows argv, the environment, signals and the terminal. Everything heavy is imported where it is
needed, so that ``--help`` and a mistyped option answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import TYPE_CHECKING

from ws_load_test.common.errors import ExitCode, LoadTestError, PlanError
from ws_load_test.common.faults import classify_host_error
from ws_load_test.common.version import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
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
        return _complain(many + "\n  ".join(map(str, error.problems)), error.exit_code)
    except LoadTestError as error:
        return _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, `head` perhaps; Python must not complain about it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OUTPUT_FAILED
    except OSError as error:
        if classify_host_error(error) is not None or error.errno == errno.EAGAIN:
            return _complain(f"this machine cannot carry the run: {error.strerror}", ExitCode.USAGE)
        return _complain(f"standard output cannot be written: {error.strerror}", ExitCode.OUTPUT_FAILED)
    except Exception:  # noqa: BLE001 - the last line of defence: whatever comes here is a bug of ours
        traceback.print_exc()
        return _complain("this is a bug of ws-load-test; please report the lines above", ExitCode.BUG)
    return code


def _help_page(arguments: Sequence[str]) -> str | None:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if arguments and not {"-h", "--help"} & set(options):
        return None
    from ws_load_test.cli.help_pages import PAGES

    return PAGES.get(arguments[0] if arguments else "", PAGES[""])


def _complain(text: str, code: ExitCode) -> int:
    sys.stderr.write(f"{PROGRAM}: {text}\n")
    return code
