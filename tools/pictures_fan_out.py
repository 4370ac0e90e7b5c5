"""Draws fan-out.svg and fan-out-page.png of docs/images: the report and two charts of a chat.

    python tools/pictures_fan_out.py [FOLDER]    (docs/images; takes half a minute, and Debian's package chromium)

The built-in server loses one delivery in a thousand, and passes a message on to one member after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from page_clip import draw_clip, opened_page, settle
from pictures import draw, picture_folder
from rich.text import Text

from ws_load_test import make_plan
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.api import run
from ws_load_test.echo import EchoProcess
from ws_load_test.report.exports import Results
from ws_load_test.report.terminal.brief import brief_lines
from ws_load_test.report.terminal.fan_out import fan_out_table

if TYPE_CHECKING:
    from rich.console import Console

SERVER = "?chat&ack=1&lose=0.1%25&fan-delay=100us"
LOAD = {
    "publishers": 6,
    "subscribers": 120,
    "rooms": 6,
    "rate": 60,
    "duration": "12s",
    "timeout": "2s",
    "match": "order",
    "first_message": '{"op": "join", "room": "{room}"}',
    "message": '{"op": "say", "room": "{room}", "text": "{marker}"}',
}
WIDTH, MARGIN, SETTLE_S = 1200, 16, 8


def main() -> None:
    """Runs the chat once, and draws both pictures."""
    folder = picture_folder()
    with EchoProcess() as server:
        result = run(make_plan(f"{server.url}{SERVER}", **LOAD))
    results = Results([result.recording], result.summary, aggregate([result.recording]))
    lines = [*brief_lines(results), Text(), *fan_out_table(result.summary)]

    def show(console: Console) -> None:
        for line in lines:
            console.print(line, soft_wrap=True)

    draw(folder / "fan-out.svg", "ws-load-test", show)
    with opened_page(results, WIDTH) as chromium:
        settle(chromium, "light", SETTLE_S)
        # The section of deliveries, down to its heat map.
        names = ("[aria-labelledby=section-1]", "#reach", "#delivery-groups")
        first, *last = (f"document.querySelector('{name}').getBoundingClientRect()" for name in names)
        top, *bottoms = chromium.run(f"[{first}.top, {', '.join(f'{box}.bottom' for box in last)}]")
        height = max(bottoms) - top
        draw_clip(chromium, folder / "fan-out-page.png", (0, top - MARGIN, WIDTH, height + 2 * MARGIN))


if __name__ == "__main__":
    main()
