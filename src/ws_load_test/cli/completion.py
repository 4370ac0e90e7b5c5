"""``--install-completion``: completion of commands and options by the shell, as cyclopts generates it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from ws_load_test.common.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from cyclopts import App

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = get_args(Shell)


def install_completion(app: App, shell: str) -> int:
    """Writes the completion of a shell to where that reads it; returns the exit code.

    Raises:
        UsageError: The shell is none of `SHELLS`, or is not known, or the file cannot be written.
    """
    hint = f"write --install-completion {', '.join(SHELLS[:-1])} or {SHELLS[-1]}"
    if shell and shell not in SHELLS:
        raise UsageError(f'--install-completion: there is none for "{shell}"; {hint}')
    try:
        path = app.install_completion(shell=next((one for one in SHELLS if one == shell), None))
    except OSError as error:
        raise UsageError(f"--install-completion: cannot write {error.filename}: {error.strerror}") from None
    except Exception as error:
        if "shell" not in str(error).lower():
            raise
        raise UsageError(f"--install-completion: cannot tell the shell that this is; {hint}") from None
    print(f"{path} was written; start a new shell to use it")
    return ExitCode.PASSED
