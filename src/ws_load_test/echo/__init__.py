"""The built-in echo server: a first run needs nothing else.

It echoes text and binary messages, answers pings and closes, and gives faults on request through the
query of the URL (see `ws_load_test.echo.fault_injection` for the list), so that a plan can be tried against a
target that misbehaves in a known way.

Three ways to have one:

* `EchoProcess`: a process of its own, or several, with processors of their own; for demos and benchmarks.
* `EchoServer`: inside a running event loop; for tests, with counters to compare with.
* `run_echo` / `serve`: until stopped; for the command line.
"""

from ws_load_test.echo.multi_process import run_echo, serve_several
from ws_load_test.echo.process import EchoCounts, EchoProcess
from ws_load_test.echo.server import EchoServer, serve

__all__ = ["EchoCounts", "EchoProcess", "EchoServer", "run_echo", "serve", "serve_several"]
