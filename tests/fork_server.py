"""Forks workers and echo servers from a process that has imported them, which costs 3 ms in place of 350 ms each.

A test whose point is the program itself, or its environment, starts it as users do: `pytest.mark.real_programs`.
"""

import array
import asyncio
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path

ENTRIES = ("ws_load_test.worker.__main__", "ws_load_test.echo.__main__")
"""Modules whose `main` is run in a fork."""
ALSO_IMPORTED = ("ws_load_test.engine.portable", "ws_load_test.engine.native.engine", "ws_load_test.echo.multi_process")
LONGEST_REQUEST_BYTES = 1 << 17
"""Bytes of a request with an environment, which takes some 5 kB."""
HIGHEST = 1 << 16
"""Number above which this process has no descriptors."""
ENGINE = "TEST_ENGINE"
"""Environment variable with the engine of tests."""
STATUS = 3
"""Place of the socket for the exit code among the descriptors of a request, behind the three of a program."""


class ForkServer:
    """The process that forks, as those who ask it see it."""

    def __init__(self):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        with far:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(far.fileno())], pass_fds=[far.fileno()], env=environment
            )
        self._socket = near
        self.rests = False
        """True while a test has programs of its own."""

    def fork(self, module, words, streams, inherited=()):
        """Forks a program; returns its process id, and the socket that has its exit code once it has ended.

        Args:
            module: One of `ENTRIES`.
            words: Arguments.
            streams: Descriptors of its standard input, output and error.
            inherited: Further descriptors, which keep their numbers.
        """
        near, far = socket.socketpair()
        request = {
            "module": module,
            "words": words,
            "env": dict(os.environ),
            "cwd": str(Path.cwd()),
            "keep": [*inherited],
        }
        with far:
            descriptors = array.array("i", [*streams, far.fileno(), *inherited])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            self._socket.sendmsg([json.dumps(request).encode()], rights)
        return int(near.recv(20)), near

    def living(self):
        """Returns the process ids of the forks that have not ended."""
        self._socket.send(b"living")
        return json.loads(self._socket.recv(1 << 16))

    def close(self):
        self._socket.close()
        self._process.wait()


class ForkedWorker:
    """A worker with the part of asyncio's `Process` that `WorkerProcess` uses."""

    @classmethod
    async def start(cls, server, limit):  # noqa: ANN206 - as in other tests
        ours, theirs = [], []
        for is_input in (True, False, False):
            read, write = os.pipe()
            theirs.append(read if is_input else write)
            ours.append(write if is_input else read)
        self = cls()
        try:
            self.pid, status = server.fork(ENTRIES[0], [], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(ours[0], "wb", 0)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        self.stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        self._outputs = []
        self.stdout, self.stderr = [await self._reader(descriptor, limit) for descriptor in ours[1:]]
        status.setblocking(False)
        self._code = loop.create_task(self._end(status))
        return self

    async def _reader(self, descriptor, limit):
        reader = asyncio.StreamReader(limit=limit)
        made = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
        )
        self._outputs.append(made[0])
        return reader

    async def _end(self, status):
        with status:
            try:
                return int(await asyncio.get_running_loop().sock_recv(status, 20))
            finally:
                self.stdin.close()

    async def wait(self):
        return await asyncio.shield(self._code)

    def kill(self):
        if self._code.done():
            raise ProcessLookupError
        os.kill(self.pid, signal.SIGKILL)


class ForkedEcho:
    """An echo server with the part of `subprocess.Popen` that `EchoProcess` uses."""

    def __init__(self, server, words, inherited):
        ours, theirs = os.pipe(), os.pipe()
        try:
            self.pid, self._status = server.fork(ENTRIES[1], words, [ours[0], theirs[1], 2], inherited)
        finally:
            os.close(ours[0])
            os.close(theirs[1])
        self.stdin, self.stdout = os.fdopen(ours[1], "w", encoding="utf-8"), os.fdopen(theirs[0], encoding="utf-8")
        self._code = None

    def poll(self):
        with contextlib.suppress(TimeoutError, BlockingIOError):
            self._wait(0)
        return self._code

    def wait(self, timeout=None):
        try:
            return self._wait(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired("echo", timeout) from None

    def _wait(self, timeout):
        if self._code is None:
            self._status.settimeout(timeout)
            self._code = int(self._status.recv(20))
        return self._code

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self._status:
            self._wait(None)
        self.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()


def prefer(name):
    """Makes an engine the one that runs what it can where a plan names none (``--engine auto``)."""
    registry = import_module("ws_load_test.engine.registry")
    registry.PREFERRED = (name, *registry.PREFERRED)


# --- The process that forks ---


def serve(requests):
    """Answers requests until they end."""
    for module in (*ENTRIES, *ALSO_IMPORTED):
        # The compiled engine need not be built.
        with contextlib.suppress(ImportError):
            import_module(module)
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    children = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if wake in ready:
                wake.recv(1 << 10)
                reap(children)
            if requests not in ready:
                continue
            data, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST_BYTES, 64)
            if not data:
                return
            if data == b"living":
                reap(children)
                requests.send(json.dumps([*children]).encode())
                continue
            pid = os.fork()
            if not pid:
                run(json.loads(data), descriptors)
            status = socket.socket(fileno=descriptors.pop(STATUS))
            status.send(str(pid).encode())
            children[pid] = status
            for descriptor in descriptors:
                os.close(descriptor)


def reap(children):
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with children.pop(pid) as end, contextlib.suppress(OSError):
            end.send(str(os.waitstatus_to_exitcode(status)).encode())


def run(request, descriptors):
    """Runs the program in the fork, and ends it."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        # Above all places that they are to have.
        moved = [os.dup(descriptor) for descriptor in descriptors]
        beyond = max([*moved, *descriptors, *request["keep"]]) + 1
        moved = [os.dup2(descriptor, beyond + number) for number, descriptor in enumerate(moved)]
        places = [0, 1, 2, None, *request["keep"]]
        for descriptor, place in zip(moved, places, strict=True):
            if place is not None:
                os.dup2(descriptor, place)
        low = 3
        for place in sorted(request["keep"]):
            os.closerange(low, place)
            low = place + 1
        os.closerange(low, HIGHEST)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        if os.environ.get(ENGINE):
            prefer(os.environ[ENGINE])
        sys.argv[1:] = request["words"]
        code = import_module(request["module"]).main() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
