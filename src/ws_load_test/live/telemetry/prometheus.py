"""``--metrics-port``: what is known of a run, served to whoever asks over HTTP, Prometheus for one.

The client library of Prometheus writes the text, in OpenMetrics or in the older format, as the request wants it.
"""

from __future__ import annotations

import logging
import socket
from socketserver import TCPServer, ThreadingMixIn
from threading import Event, Thread, get_ident
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ws_load_test.common.errors import UsageError
from ws_load_test.metrics.metric_families import PREFIX, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric

    from ws_load_test.live.telemetry.snapshot import RunMetrics

PATH = "/metrics"
SLOWEST_REQUEST_S = 10.0
"""A request that takes longer to arrive is given up."""
_log = logging.getLogger("ws_load_test")


class PrometheusEndpoint:
    """An HTTP server in threads of its own; it listens as soon as it is made."""

    def __init__(self, live: RunMetrics, host: str, port: int, linger_s: float = 0) -> None:
        """Listens; port 0 is any that is free. It stays up to be read once more after `close`, `linger_s` at most.

        Raises:
            UsageError: The client library is not installed, or nobody can listen there.
        """
        app = _app(live)
        self._live = live
        self._last = _FinalScrape()
        try:
            family, address = _resolved(host, port)
            self._server = _Server(family, (address, port), self._last.ended)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--metrics-port: cannot listen on {_bracketed(host)}:{port}: {_why(error)}; "
                "name another port, 0 for any that is free, or another --metrics-host"
            ) from None
        self._server.set_app(self._last.noting(app))
        self.url = f"http://{_bracketed(address)}:{self._server.server_port}{PATH}"
        """Where it is."""
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="metrics endpoint", daemon=True)
        self._thread.start()
        self._linger_s = linger_s

    def close(self) -> None:
        """Stops listening, unless it is to be read once more."""
        if self._linger_s:
            self._last.begin()
        else:
            self._stop()

    def wait_for_last_scrape(self) -> None:
        """Waits until someone has read what was known at the end, and stops."""
        try:
            # What never ran has no last metrics.
            if self._linger_s and self._live.latest.reached_ns and not self._last.seen.wait(self._linger_s):
                _log.warning("--metrics-linger: nobody has read the last metrics at %s", self.url)
        finally:
            self._stop()

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _FinalScrape:
    """Notices when a request that came after `begin` was answered with all metrics."""

    def __init__(self) -> None:
        self.seen = Event()
        self._begun = False
        self._whole: set[int] = set()
        """Threads that have sent an answer to its end."""

    def begin(self) -> None:
        """From now on, what is read is the last that is known."""
        self._begun = True

    def noting(self, app: WSGIApplication) -> WSGIApplication:
        """Returns the same application, whose answers are noticed."""

        def noted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # Some families by name (?name[]=...) are not what is known at the end.
            all_of_it = environ["PATH_INFO"] == PATH and "name[]" not in parse_qs(environ["QUERY_STRING"])
            if self._begun and environ["REQUEST_METHOD"] == "GET" and all_of_it:
                return _TrackedResponse(app(environ, start_response), lambda: self._whole.add(get_ident()))
            return app(environ, start_response)

        return noted

    def ended(self) -> None:
        """Called in the thread of a request that is over, whether or not its answer was sent."""
        if get_ident() in self._whole:
            self._whole.discard(get_ident())
            self.seen.set()


class _TrackedResponse:
    """An answer that tells when all of it has been sent; a client that hangs up before is sent no more."""

    def __init__(self, parts: Iterable[bytes], sent: Callable[[], None]) -> None:
        self._parts = list(parts)
        self._sent = sent

    def __len__(self) -> int:
        # The server takes the length of an answer's only part for its Content-Length.
        return len(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        # Asked for more, so the kernel has what was yielded.
        self._sent()


class _Collector:
    """Gives the families of a run to the client library."""

    def __init__(self, live: RunMetrics) -> None:
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Yields what is known now."""
        return map(_metric, self._live.latest.families)


def _metric(family: Family) -> Metric:
    from prometheus_client.metrics_core import Metric  # noqa: PLC0415 - of an extra

    name = PREFIX + family.name
    metric = Metric(name, family.text, family.kind, family.unit)
    for suffix, labels, value in family.samples():
        metric.add_sample(name + suffix, dict(labels), value)
    return metric


def _app(live: RunMetrics) -> WSGIApplication:
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415 - of an extra
    except ImportError:
        raise UsageError(
            "--metrics-port: needs Prometheus' client library; install it with pip install 'ws-load-test[prometheus]'"
        ) from None
    # It finds out the names by itself, for requests that ask for some of them (?name[]=...).
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Collector(live))
    metrics: WSGIApplication = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return _refused(start_response, "404 Not Found", f"There is only {PATH} here.\n", ())
        method = environ["REQUEST_METHOD"]
        if method not in {"GET", "HEAD"}:
            return _refused(start_response, "405 Method Not Allowed", "GET it.\n", [("Allow", "GET, HEAD")])
        if method == "GET":
            return metrics(environ, start_response)

        def start_bare(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda _: None

        started: list[tuple[str, list[tuple[str, str]]]] = []
        length = sum(map(len, metrics({**environ, "REQUEST_METHOD": "GET"}, start_bare)))
        status, headers = started[0]
        start_response(status, [*headers, ("Content-Length", str(length))])
        return []

    return app


def _refused(
    start_response: StartResponse, status: str, text: str, headers: Iterable[tuple[str, str]]
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
    return [text.encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    daemon_threads = True

    def __init__(self, family: int, address: tuple[str, int], ended: Callable[[], None]) -> None:
        self.address_family = family
        self._ended = ended
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Binds without asking a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def shutdown_request(self, request: Any) -> None:
        """Called when a request has been answered, or has failed."""
        super().shutdown_request(request)
        self._ended()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as it is called
        """A client that leaves too early must not fill the terminal."""
        _log.debug("a request for metrics failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = SLOWEST_REQUEST_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Says nothing."""


def _resolved(host: str, port: int) -> tuple[int, str]:
    """Returns the address family and the address of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return family, str(address[0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _why(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        # What nobody is asked for: an empty part, one of more than 63 letters, a letter that no name has.
        return "no machine can have such a name"
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
