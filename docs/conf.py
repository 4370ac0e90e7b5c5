"""Settings of the documentation's site: Sphinx with MyST's Markdown and the theme Furo (`make site`)."""

from importlib import metadata

project = "ws-load-test"
copyright = "the ws-load-test developers"  # noqa: A001 - Sphinx' name
release = version = metadata.version("ws-load-test")
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"ws-load-test {release}"
html_show_sphinx = False
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# A warning fails the build, and a link without a target is a warning.
nitpicky = True
