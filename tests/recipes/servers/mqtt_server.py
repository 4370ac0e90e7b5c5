"""A real MQTT broker, mosquitto, kept by this process; what it saw is counted from its own log."""

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from serving import listener, seen, until_told

CONFIG = """
# it would become another user, who may not write to the directory
user root
# mosquitto 2.0 with the libwebsockets of Debian 12 starts only if there is a listener of another kind as well
listener 0 {directory}/mqtt
listener {port} 127.0.0.1
# without it, 127.0.0.1 is taken for "everywhere"
socket_domain ipv4
protocol websockets
allow_anonymous true
# unlike standard output, it is not kept back in a buffer
log_dest stderr
log_type all
"""


def start(directory):
    with listener() as probe:  # mosquitto takes no open socket: a port that was free a moment ago must do
        port = probe.getsockname()[1]
    config = Path(directory, "mosquitto.conf")
    config.write_text(CONFIG.format(port=port, directory=directory), encoding="utf-8")
    command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True), port


def wait_for(broker, port):
    until = time.monotonic() + 5
    while broker.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    broker.kill()
    sys.exit(f"mosquitto did not start: {broker.stderr.read()}")


def count(log):
    """Counts lines such as "17: Received PUBLISH from auto-1 (d0, q1, r0, m1, 'load/test', ... (5 bytes))"."""
    for line in log:
        words = line.split()
        if "Received" in words:
            seen[words[words.index("Received") + 1]] += 1
        seen["connected"] += "New client connected" in line
        seen["right"] += "q1, r0, m1, 'load/test', ... (5 bytes)" in line


with tempfile.TemporaryDirectory() as directory:
    broker, port = start(directory)
    try:
        wait_for(broker, port)
        counter = threading.Thread(target=count, args=(broker.stderr,))
        counter.start()
        until_told(port)
    finally:
        broker.kill()
        broker.wait()
