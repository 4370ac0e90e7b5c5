"""A real browser without a screen, steered by its DevTools protocol, for the tests of pages."""

import contextlib
import json
import shutil
import subprocess
import time
from http.client import HTTPConnection

from websockets.sync.client import connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1100,900",
)
PATIENCE_S = 60
_COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


class Browser:
    """One tab."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.complaints = []
        """Errors and warnings of the page, and whatever it wrote to its console."""
        self.requests = []
        """What it asked for, but for what it holds itself."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _note(self, event):
        if event["method"] in _COMPLAINTS:
            self.complaints.append(event["params"])
        elif event["method"] == "Network.requestWillBeSent":
            url = event["params"]["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                self.requests.append(url)

    def run(self, script):
        """The value of a script, which may be a promise."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, script):
        """The value of a script as soon as it is true."""
        limit = time.monotonic() + PATIENCE_S
        while not (value := self.run(script)):
            assert time.monotonic() < limit, script
            time.sleep(0.02)
        return value

    def open(self, path):
        """Loads a page and waits until its charts are drawn; forgets what came before."""
        self.complaints, self.requests = [], []
        self.call("Emulation.setEmulatedMedia", features=[])
        self.call("Emulation.clearDeviceMetricsOverride")
        self.call("Page.navigate", url=path.as_uri())
        self.until(
            f"location.href === {json.dumps(path.as_uri())} && document.readyState === 'complete'"
            " && (!document.getElementById('figures') || document.documentElement.dataset.drawn !== undefined)"
        )

    def mouse(self, kind, at, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=at["x"], y=at["y"], **more)

    def click(self, at):
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, at, button="left", clickCount=1)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])


@contextlib.contextmanager
def browser(folder):
    """Starts Chromium with a profile in `folder`, and ends it."""
    assert PROGRAM is not None
    words = [PROGRAM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_tab(process, folder), max_size=None, compression=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tab(process, folder):
    """The address of the tab, as soon as the browser has told its port."""
    limit = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "Chromium ended at once"
        assert time.monotonic() < limit, "Chromium does not open its port"
        with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
            port = int((folder / "DevToolsActivePort").read_text().splitlines()[0])
            with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as asked:
                asked.request("GET", "/json")
                tabs = json.loads(asked.getresponse().read())
            return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        time.sleep(0.02)
