"""Draws wave.svg and wave-page.png of docs/images: the report and two charts of a node that is restarted under load.

    python tools/pictures_waves.py [FOLDER]    (docs/images; takes half a minute, and Debian's package chromium)

The run is that of examples/rolling_restart.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.report.exports import Results
from ws_load_test.report.terminal.brief import brief_lines
from ws_load_test.report.terminal.tables import node_table, wave_table

sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
from page_clip import draw_clip, opened_page, settle
from pictures import draw, picture_folder
from rolling_restart import rolling_restart

if TYPE_CHECKING:
    from rich.console import Console

CONNECTIONS, DURATION = 200, "16s"
WIDTH, MARGIN, SETTLE_S = 1200, 32, 8


def main() -> None:
    """Runs the example once, and draws both pictures."""
    folder = picture_folder()
    result = rolling_restart(CONNECTIONS, DURATION)
    results = Results([result.recording], result.summary, aggregate([result.recording]))
    lines = [*brief_lines(results), Text(), *wave_table(result.summary), Text(), *node_table(result.summary)]

    def show(console: Console) -> None:
        for line in lines:
            console.print(line, soft_wrap=True)

    draw(folder / "wave.svg", "ws-load-test", show)
    with opened_page(results, WIDTH) as chromium:
        settle(chromium, "light", SETTLE_S)
        box = "document.querySelector('#connections').getBoundingClientRect()"
        left, top, right, bottom = chromium.run(f"[{box}.left, {box}.top, {box}.right, {box}.bottom]")
        width, height = right - left + 2 * MARGIN, bottom - top + 2 * MARGIN
        draw_clip(chromium, folder / "wave-page.png", (left - MARGIN, top - MARGIN, width, height))


if __name__ == "__main__":
    main()
