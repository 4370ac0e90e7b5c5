"""Built-in echo server, which a first run can use as its target.

It echoes text and binary messages, answers pings and closes, and injects faults that the query of the URL asks for
(`ws_load_test.echo.fault_options`), so that a plan can be tried against a target that misbehaves in a known way.
Its rooms (`ws_load_test.echo.room_options`) send what one session publishes to all members, with faults of known size.

Three ways to run it:

* `EchoProcess`: in one or several child processes, with CPUs of their own; for demos and benchmarks.
* `EchoServer`: inside a running event loop; for tests, with counters to compare with.
* `run_echo` / `serve`: until stopped; for the command line.
"""

from ws_load_test.echo.multi_process import run_echo, serve_several
from ws_load_test.echo.node import NodeOptions
from ws_load_test.echo.process import EchoCounts, EchoProcess
from ws_load_test.echo.room_counts import RoomCounts, RoomsReport
from ws_load_test.echo.server import EchoServer, serve

__all__ = [
    "EchoCounts",
    "EchoProcess",
    "EchoServer",
    "NodeOptions",
    "RoomCounts",
    "RoomsReport",
    "run_echo",
    "serve",
    "serve_several",
]
