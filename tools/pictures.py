"""Draws live.svg and report.svg of docs/images: a live view in the middle of a run, and the report at its end.

    python tools/pictures.py [FOLDER]    (docs/images)

Runs against the built-in server, 20 seconds in all, with a second of faults so that there is something to see.
"""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group

from ws_load_test import make_plan, run
from ws_load_test.echo import EchoProcess
from ws_load_test.live.layout import render
from ws_load_test.live.lines import Viewport
from ws_load_test.live.run_state import RunState
from ws_load_test.metrics.interval_event import IntervalEvent
from ws_load_test.report.terminal.run import print_report

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.metrics.recording import Interval

IMAGES = Path(__file__).parents[1] / "docs" / "images"
VIEWPORT = Viewport(100, 36)
SHOWN_AFTER_NS = 14 * 10**9
OPTIONS = {
    "connections": 200,
    "stages": "8s:4000,12s@4000",
    "disconnect": "25%@9s",
    "slo": ["p99 < 50ms", "errors < 0.1%"],
    "workers": 1,
}
_FONT_FACE = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    """Runs the program once, and writes both pictures."""
    live, report = (picture_folder() / name for name in ("live.svg", "report.svg"))
    with EchoProcess() as server:
        plan = make_plan(server.url, **OPTIONS)
        state = RunState(plan)

        def on_interval(interval: Interval) -> None:
            state.on_interval(IntervalEvent.decode(interval))
            if interval.phase == "measured" and interval.to_ns >= SHOWN_AFTER_NS and not live.exists():
                lines = render(state, VIEWPORT)
                draw(live, "ws-load-test", lambda console: console.print(Group(*lines)))

        live.unlink(missing_ok=True)
        result = run(plan, on_interval=on_interval)
    draw(
        report,
        "ws-load-test",
        lambda console: print_report([result.recording], result.summary, console=console, detail="full"),
    )


def picture_folder() -> Path:
    """Returns the folder of the command line, made if it is not there; without one, that of the documentation."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(exist_ok=True)
    return folder


def draw(path: Path, title: str, show: Callable[[Console], None]) -> None:
    """Writes what is shown on a console as a picture that needs nothing from the network."""
    console = Console(record=True, file=StringIO(), width=VIEWPORT.width, force_terminal=True, highlight=False)
    show(console)
    # The reader's browser would otherwise fetch rich's font from a public server.
    drawn = _FONT_FACE.sub("", console.export_svg(title=title, unique_id=path.stem))
    path.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
