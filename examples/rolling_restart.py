"""Restarts one of two nodes under load, and prints what that did to the sessions.

    python examples/rolling_restart.py [CONNECTIONS [DURATION]]

Both nodes are built-in servers. After a quarter of the time node b is asked to stop (SIGTERM): it closes its sessions
with code 1012, spread over half a second, and starts again. `--run-at` would do the same on the command line; the
report shows the wave, the commands, and the sessions of each node.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from rich.console import Console

from ws_load_test import Result, make_plan, run
from ws_load_test.common.units import parse_duration_ns
from ws_load_test.report.terminal.run import print_report

SERVER = f"{sys.executable} -m ws_load_test.echo --close-code 1012 --drain 500ms"


def start_node(name: str, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """Starts a server; returns it and its URL, which asks for the node's name in the upgrade response."""
    command = [*SERVER.split(), "--node-name", name, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    # Reaps it: the shell that restarts it waits until the process is gone.
    threading.Thread(target=server.wait, daemon=True).start()
    return server, f"{server.stdout.readline().strip()}?node"


def restart(server: subprocess.Popen[str], url: str, name: str) -> str:
    """Returns the shell command that stops a server, waits for its end, and starts it again."""
    port = url.rpartition(":")[2].partition("/")[0]
    again = f"{SERVER} --node-name {name} --port {port}"
    wait = f"while kill -0 {server.pid} 2>&-; do sleep 0.02; done"
    return f"kill {server.pid}; {wait}; {again} >/dev/null 2>&1 &"


def rolling_restart(connections: int, duration: str) -> Result:
    """Runs a load on two nodes, of which one is restarted after a quarter of the time."""
    staying, staying_url = start_node("a")
    going, going_url = start_node("b")
    try:
        # Short in the report: the shell that runs the command inherits it.
        os.environ["RESTART_B"] = restart(going, going_url, "b")
        after_ns = parse_duration_ns(duration) // 4
        return run(
            make_plan(
                [staying_url, going_url],
                connections=connections,
                duration=duration,
                rate=max(10, connections // 5),
                reconnect="exponential:50ms..1s",
                node="header:X-Node",
                run_at=f'{after_ns}ns: eval "$RESTART_B"',
                slo=["waves.back < 5s", "waves.abrupt == 0"],
            )
        )
    finally:
        for server in (staying, going):
            with server:
                server.terminate()


def main() -> int:
    """Prints the report; returns the exit code of the run."""
    given = sys.argv[1:]
    result = rolling_restart(int(given[0]) if given else 1000, given[1] if len(given) > 1 else "12s")
    print_report([result.recording], result.summary, console=Console(), detail="full")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
