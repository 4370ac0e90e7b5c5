"""Endpoint of ``--metrics-port``: serves the metrics of a run over HTTP, for example to Prometheus.

The client library of Prometheus writes the text, in OpenMetrics or in the older format, as the request asks for it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from socketserver import TCPServer, ThreadingMixIn
from threading import Event, Thread, get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ws_load_test.common.errors import UsageError, cause_of
from ws_load_test.live.telemetry.served_names import ServedNames
from ws_load_test.metrics.metric_families import PREFIX, Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.metrics_core import Metric

    from ws_load_test.live.telemetry.snapshot import RunMetrics

PATH = "/metrics"
REQUEST_TIMEOUT_S = 10.0
"""Longest time for a request to arrive: a client that sends none must not hold a thread forever."""
MOST_CLIENTS = 64
"""Connections at a time: a scraper needs one, and each has a thread."""
_REACHED = "ws_load_test.reached"
"""Key of an environment that has the local address of the connection."""
_log = logging.getLogger(__name__)


class PrometheusEndpoint:
    """An HTTP server in threads of its own; it listens as soon as it is made."""

    def __init__(
        self, metrics: RunMetrics, host: str, port: int, linger_s: float = 0, allowed: Sequence[str] = ()
    ) -> None:
        """Starts to listen.

        Args:
            metrics: The metrics to serve.
            host: Address or name to listen on.
            port: Port to listen on; 0 is any that is free.
            linger_s: How long it stays up after `close`, until it has been read once more.
            allowed: Names to answer for besides those of loopback and of the address that is listened on.

        Raises:
            UsageError: The client library is not installed, or the address cannot be listened on.
        """
        app = _app(metrics)
        self._metrics = metrics
        self._final_scrape = _FinalScrape()
        try:
            family, address = _resolve(host, port)
            self._server = _Server(family, (address, port), self._final_scrape.ended)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--metrics-port: cannot listen on {_bracketed(host)}:{port}: {_why(error)}; "
                "name another port, 0 for any that is free, or another --metrics-host"
            ) from None
        names = ServedNames(host, address, *allowed)
        self._server.set_app(self._final_scrape.watch(_only_for(names, app)))
        self.url = f"http://{_bracketed(address)}:{self._server.server_port}{PATH}"
        """Address of the metrics."""
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), name="metrics endpoint", daemon=True)
        self._thread.start()
        self._linger_s = linger_s

    def close(self) -> None:
        """Stops listening, unless it is to be read once more."""
        if self._linger_s:
            self._final_scrape.begin()
        else:
            self._stop()

    def wait_for_last_scrape(self) -> None:
        """Waits until a client has read the last metrics, and stops."""
        try:
            # A run that had no interval has no last metrics.
            if self._linger_s and self._metrics.latest.elapsed_ns and not self._final_scrape.seen.wait(self._linger_s):
                _log.warning("--metrics-linger: no client has read the last metrics at %s", self.url)
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
        """Threads that have sent a response to its end."""

    def begin(self) -> None:
        """Records that the metrics are the last ones from now on."""
        self._begun = True

    def watch(self, app: WSGIApplication) -> WSGIApplication:
        """Returns the application, with its responses tracked."""

        def tracked(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            # A request for some families by name (?name[]=...) does not read all metrics.
            reads_all = environ["PATH_INFO"] == PATH and "name[]" not in parse_qs(environ["QUERY_STRING"])
            if self._begun and environ["REQUEST_METHOD"] == "GET" and reads_all:
                return _TrackedResponse(app(environ, start_response), lambda: self._whole.add(get_ident()))
            return app(environ, start_response)

        return tracked

    def ended(self) -> None:
        """Called in the thread of a request that is over, whether or not its response was sent."""
        if get_ident() in self._whole:
            self._whole.discard(get_ident())
            self.seen.set()


class _TrackedResponse:
    """A response that calls back when all of it has been sent; not when its client hangs up before."""

    def __init__(self, parts: Iterable[bytes], sent: Callable[[], None]) -> None:
        self._parts = list(parts)
        self._sent = sent

    def __len__(self) -> int:
        # The server uses the length of a response's only part as its Content-Length.
        return len(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        # The server asked for more, so the kernel has all parts.
        self._sent()


class _Collector:
    """Gives the families of a run to the client library."""

    def __init__(self, metrics: RunMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yields the families of the latest snapshot."""
        return map(_metric, self._metrics.latest.families)


def _metric(family: Family) -> Metric:
    from prometheus_client.metrics_core import Metric  # noqa: PLC0415 - of an extra

    name = PREFIX + family.name
    metric = Metric(name, family.text, family.kind, family.unit)
    for suffix, labels, value in family.samples():
        metric.add_sample(name + suffix, dict(labels), value)
    return metric


def _only_for(names: ServedNames, app: WSGIApplication) -> WSGIApplication:
    """Returns the application, closed to requests for another host than this."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not names.serves(environ.get("HTTP_HOST"), environ[_REACHED]):
            text = "No metrics are served under this name; the option --metrics-allow-host adds one.\n"
            return _refuse(start_response, "421 Misdirected Request", text, ())
        return app(environ, start_response)

    return guarded


def _app(metrics: RunMetrics) -> WSGIApplication:
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app  # noqa: PLC0415 - of an extra
    except ImportError:
        raise UsageError(
            "--metrics-port: needs Prometheus' client library; install it with pip install 'ws-load-test[prometheus]'"
        ) from None
    # The registry finds out the names itself, for requests that ask for some of them (?name[]=...).
    registry = CollectorRegistry(auto_describe=True)
    registry.register(_Collector(metrics))
    serve: WSGIApplication = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return _refuse(start_response, "404 Not Found", f"There is only {PATH} here.\n", ())
        method = environ["REQUEST_METHOD"]
        if method not in {"GET", "HEAD"}:
            return _refuse(start_response, "405 Method Not Allowed", "GET it.\n", [("Allow", "GET, HEAD")])
        if method == "GET":
            return serve(environ, start_response)

        def start_bare(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda _: None

        started: list[tuple[str, list[tuple[str, str]]]] = []
        length = sum(map(len, serve({**environ, "REQUEST_METHOD": "GET"}, start_bare)))
        status, headers = started[0]
        start_response(status, [*headers, ("Content-Length", str(length))])
        return []

    return app


def _refuse(
    start_response: StartResponse, status: str, text: str, headers: Iterable[tuple[str, str]]
) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
    return [text.encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """HTTP server with a thread for each request."""

    daemon_threads = True

    def __init__(self, family: int, address: tuple[str, int], ended: Callable[[], None]) -> None:
        self.address_family = family
        self._ended = ended
        self._since_s: dict[socket.socket, float] = {}
        """Instant at which each connection was taken, in seconds."""
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Binds without looking up this machine's name, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - as it is called
        """Takes no more connections than `MOST_CLIENTS` at a time."""
        return len(self._since_s) < MOST_CLIENTS

    def process_request(self, request: Any, client_address: Any) -> None:
        """Notes when the connection was taken."""
        self._since_s[request] = monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Cuts off clients whose request takes too long as a whole, byte by byte as it may come."""
        super().service_actions()
        earliest_s = monotonic() - REQUEST_TIMEOUT_S
        for request, since_s in tuple(self._since_s.items()):
            if since_s < earliest_s:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection whose request has been answered, or has failed."""
        self._since_s.pop(request, None)
        super().shutdown_request(request)
        self._ended()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as it is called
        """Logs a failed request at debug level: clients that leave too early must not fill the terminal."""
        _log.debug("a request for metrics failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_TIMEOUT_S

    def get_environ(self) -> WSGIEnvironment:
        """Adds the local address of the connection."""
        return {**super().get_environ(), _REACHED: str(self.connection.getsockname()[0])}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is called
        """Logs nothing: a line for each request would fill the terminal."""


def _resolve(host: str, port: int) -> tuple[int, str]:
    """Returns the address family and the address of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return family, str(address[0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _why(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        # Raised before any look-up: an empty part, one of more than 63 letters, a letter that no name has.
        return "no machine can have such a name"
    return cause_of(error)
