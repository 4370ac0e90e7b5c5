"""Drawing of a clip of a run's page in Chromium, for the tools that make the pictures of docs/images."""

from __future__ import annotations

import base64
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ws_load_test.report.exports import Results, export

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "report"))
from chromium import browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chromium import Browser


@contextlib.contextmanager
def opened_page(results: Results, width: int) -> Iterator[Browser]:
    """Writes the page of a run, and yields a browser of that many pixels' width that shows it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        page = Path(scratch, "run.html")
        for error in export({"html": str(page)}, results):
            sys.exit(str(error))
        with browser(Path(scratch, "profile")) as chromium:
            chromium.open(page)
            chromium.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
            )
            yield chromium


def settle(chromium: Browser, scheme: str, seconds: float) -> None:
    """Chooses a color scheme, and waits until the charts are drawn in it."""
    chromium.scheme(scheme)
    time.sleep(seconds)


def draw_clip(chromium: Browser, path: Path, box: tuple[float, float, float, float]) -> None:
    """Writes a part of the page as a picture: its left and top edge, width and height in pixels."""
    x, y, width, height = box
    clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
    shot = chromium.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    path.write_bytes(base64.b64decode(shot["data"]))
