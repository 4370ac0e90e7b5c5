"""Draws page-light.png and page-dark.png of docs/images: the page of a run against the built-in server, in Chromium.

python tools/pictures_page.py [FOLDER]    (docs/images; takes a quarter of a minute, and Debian's package chromium)
"""

import json

from page_clip import draw_clip, opened_page, settle
from pictures import picture_folder

from ws_load_test import make_plan
from ws_load_test.analysis.aggregate import aggregate
from ws_load_test.api import run
from ws_load_test.echo import EchoProcess
from ws_load_test.report.exports import Results

LOAD = {
    "connections": 40,
    "stages": "6s:1500,8s@1500",
    "reconnect": "100ms",
    "disconnect": "30%@10s",
    "name": "checkout, with the cache",
    "slo": ["p99 < 50ms", "errors < 0.5%"],
}
FAULTS = "?delay=2ms&close=1011&after=400"
PICTURES = {
    "page-light.png": ("light", "header", "header"),
    "page-dark.png": ("dark", "[aria-labelledby=section-1]", "#heat-map"),
}
"""By file name: the color scheme, and the first and last element shown."""
WIDTH, MARGIN = 1400, 12
SETTLE_S = 2
_EDGES = (
    "[{}, {}].map((name) => document.querySelector(name).getBoundingClientRect()).map((box) => [box.top, box.bottom])"
)


def main() -> None:
    """Runs the load once, and writes both pictures."""
    folder = picture_folder()
    with EchoProcess() as server:
        result = run(make_plan(f"{server.url}{FAULTS}", **LOAD))
    recordings = [result.recording]
    with opened_page(Results(recordings, result.summary, aggregate(recordings)), WIDTH) as chromium:
        for name, (scheme, first, last) in PICTURES.items():
            settle(chromium, scheme, SETTLE_S)
            (top, _), (_, bottom) = chromium.run(_EDGES.format(json.dumps(first), json.dumps(last)))
            draw_clip(chromium, folder / name, (0, top - MARGIN, WIDTH, bottom - top + 2 * MARGIN))


if __name__ == "__main__":
    main()
