"""Runs the commands of a page whose output is shown there, and prints the new outputs.

    python tools/readme_outputs.py [PAGE]    (README.md; takes some seconds for each command)

A command is an `sh` block that a `text` block follows. The built-in echo server listens on port 3001 meanwhile, and
each command runs in an empty folder. Nothing is written: lines that a page leaves out are its author's choice.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ws_load_test.echo import EchoProcess

PORT = 3001
TIMEOUT_S = 120
"""Longer than any command of the README takes."""
_SHOWN = re.compile(r"^```sh\n(?P<command>(?:(?!```).*\n)+)```\n+```text\n", re.MULTILINE)


def main() -> None:
    """Prints the line of each command, the command, and its output."""
    page = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "README.md")
    text = page.read_text(encoding="utf-8")
    # The program of this environment, whatever is first on the path.
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}", "COLUMNS": "80"}
    with EchoProcess(port=PORT), tempfile.TemporaryDirectory() as folder:
        for found in _SHOWN.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            print(f"--- {page.name}:{line}\n{found['command']}")
            done = subprocess.run(
                ["bash", "-c", found["command"]],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            print(done.stdout + done.stderr, flush=True)


if __name__ == "__main__":
    main()
