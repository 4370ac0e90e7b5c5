"""The Autobahn test suite, as it must be had: installed for CPython 2.7 in a place of its own, run, and stopped.

The release that is used, 0.8.2, needs CPython 2.7. Nothing of it gets into the project's own environment, and
nothing of the project into the suite's.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

PACKAGES = Path(__file__).with_name("suite.txt")
INSTALL_TIMEOUT_S = 600
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 5
_IS_CPYTHON_27 = (
    "import platform, sys; "
    "sys.exit(not (platform.python_implementation() == 'CPython' and sys.version_info[:2] == (2, 7)))"
)
# Namespace packages (zope) are found only where .pth files are read, hence `addsitedir`.
# It listens on loopback only, which the suite itself has no option for, and ends when its standard input does, so
# that it does not outlive a runner that was killed.
_SERVER = """
import os, site, sys, threading
site.addsitedir(os.environ["PYTHONPATH"])
from autobahntestsuite import wstest, fuzzing
listen = fuzzing.listenWS
fuzzing.listenWS = lambda factory, context=None: listen(factory, context, interface="127.0.0.1")
watch = threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)))
watch.daemon = True
watch.start()
wstest.run()
"""


class SuiteError(Exception):
    """The suite cannot be had or does not run; one sentence for people."""


class NoPython27Error(SuiteError):
    """There is no CPython 2.7."""


def _candidates() -> Iterator[str]:
    if "PYTHON27" in os.environ:
        yield os.environ["PYTHON27"]
        return
    yield "python2.7"
    roots = [Path.home() / ".pyenv"]
    if "PYENV_ROOT" in os.environ:
        roots.insert(0, Path(os.environ["PYENV_ROOT"]))
    for root in roots:
        yield from sorted((str(path) for path in root.glob("versions/2.7*/bin/python")), reverse=True)


def find_python27() -> str:
    """The CPython 2.7 to use: $PYTHON27 if it is set, else python2.7 on the path, else the newest of pyenv's.

    Raises:
        NoPython27Error: none of them is there and is CPython 2.7.
    """
    for candidate in _candidates():
        program = shutil.which(candidate)
        # A shim of pyenv's is on the path whether or not the version behind it is.
        if (
            program
            and subprocess.run([program, "-c", _IS_CPYTHON_27], capture_output=True, check=False).returncode == 0
        ):
            return program
    if "PYTHON27" in os.environ:
        raise NoPython27Error(f"PYTHON27 names {os.environ['PYTHON27']!r}, which is no CPython 2.7")
    raise NoPython27Error("no CPython 2.7 found: name one with PYTHON27, or install one, for instance with pyenv")


def _bare_environment(packages: Path) -> dict[str, str]:
    """What the suite's Python sees: its own packages, and none of the user's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return environment | {"PYTHONPATH": str(packages), "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}


def install(python27: str) -> Path:
    """Installs the suite unless it is there; returns the directory with its packages.

    Raises:
        SuiteError: pip failed; the end of what it said is in the text.
    """
    made_for = subprocess.run(
        [python27, "-c", "import sys; print(sys.version)"], capture_output=True, check=True
    ).stdout
    name = "autobahn-" + hashlib.sha256(PACKAGES.read_bytes() + made_for).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ws-load-test"
    place = cache / name
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    print(f"installing the test suite into {place} (once, about a minute)", flush=True)
    # Under another name until it is whole, so that an installation that was stopped is not taken for one.
    making = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
    command = [python27, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--quiet"]
    try:
        done = subprocess.run(
            [*command, "--requirement", str(PACKAGES), "--target", str(making)],
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_TIMEOUT_S,
            env=_bare_environment(Path(os.devnull)),
        )
        if done.returncode:
            raise SuiteError(f"pip of {python27} could not install the test suite:\n{done.stderr[-3000:].strip()}")
        try:
            making.rename(place)
        except OSError:
            if not place.is_dir():  # else somebody else was faster
                raise
    except subprocess.TimeoutExpired:
        raise SuiteError(f"pip of {python27} took more than {INSTALL_TIMEOUT_S} s") from None
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return place


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class FuzzingServer:
    """The suite's fuzzing server on a free port of loopback; a context manager that stops it surely."""

    def __init__(self, python27: str, packages: Path, cases: list[str], output: Path) -> None:
        """`cases` are the suite's patterns, `output` is the directory for its reports (and its log)."""
        self.output = output
        self.log = output / "server.log"
        self.url = f"ws://127.0.0.1:{_free_port()}"
        self.cases: list[str] = []
        """The ids of the cases that it has, in its order."""
        self.ran: list[str] = []
        """Those that it was asked to run."""
        output.mkdir(parents=True, exist_ok=True)
        specification = output / "specification.json"
        specification.write_text(
            json.dumps(
                {
                    "url": self.url,
                    "outdir": str(output),
                    "cases": cases,
                    "exclude-cases": [],
                    "exclude-agent-cases": {},
                }
            )
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [python27, "-c", _SERVER, "-m", "fuzzingserver", "-s", str(specification), "-u", "0"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=output,
                env=_bare_environment(packages),
            )

    def __enter__(self) -> Self:
        """Waits until it listens.

        Raises:
            SuiteError: it ended instead, or did not come up in time.
        """
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _wait(self) -> None:
        until_s = time.monotonic() + START_TIMEOUT_S
        port = int(self.url.rpartition(":")[2])
        while time.monotonic() < until_s and self._process.poll() is None:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            said = self.log.read_text(errors="replace")[-2000:].strip()
            raise SuiteError(f"the fuzzing server did not start; it said:\n{said}")
        listed = [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("Cases = ")]
        self.cases = [str(case) for case in ast.literal_eval(listed[0].removeprefix("Cases = "))]

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
