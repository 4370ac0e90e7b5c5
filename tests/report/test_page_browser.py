"""Pages in a real browser: nothing wrong, nothing asked for, every chart drawn, and all that a reader may do."""

import base64
import dataclasses
import itertools

import pytest
from chromium import PROGRAM, browser

from factories.pages import KINDS
from ws_load_test.report.html.document import (
    Chart,
    Head,
    Section,
    document,
)
from ws_load_test.report.html.run import lines, page

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium, of Debian's package chromium")
MARKS = """[...document.querySelectorAll('[data-figure]')].map((plot) =>
  [plot.dataset.figure, plot.querySelectorAll('.trace path, .hm image, .bars .point, .points path').length])"""
PLACE = """(() => { const box = document.querySelector(%r).getBoundingClientRect();
  return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"""
PAPER = "document.querySelector('#percentiles .main-svg').style.background"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 26)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def test_the_charts_of_every_kind_of_run_are_drawn(chromium, tmp_path):
    # All on one page: what takes long is reading the library.
    charts = [
        dataclasses.replace(part, key=f"kind-{number}-{part.key}")
        for number, make in enumerate(KINDS.values())
        for section in page(make())[1]
        for part in section.parts
        if isinstance(part, Chart)
    ]
    path = tmp_path / "all.html"
    path.write_text("".join(document("all", Head("all", "plain"), [Section("all", charts)])), encoding="utf-8")
    chromium.open(path)
    drawn = dict(chromium.run(MARKS))
    assert list(drawn) == [chart.key for chart in charts]
    assert all(drawn.values()), drawn
    assert chromium.complaints == []
    assert chromium.requests == [path.as_uri()]


@pytest.fixture(scope="module")
def page_of_a_run(chromium, tmp_path_factory):
    """Opened once: what a test changes, the next one puts back."""
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text("".join(lines(KINDS["usual"]())), encoding="utf-8")
    chromium.open(path)
    return path


@pytest.fixture
def usual(chromium, page_of_a_run):
    chromium.scheme("light")
    chromium.until(f"{PAPER} === {LIGHT!r}")
    return chromium


def test_a_whole_run_is_drawn_whole_without_a_request(usual, page_of_a_run):
    # What a target said is there, and is text.
    assert usual.run("document.querySelectorAll('main b, header b, svg b, svg a').length") == 0
    assert "</script><script>alert(1)</script><!--<b>x</b>?%{text}" in usual.run(
        "document.querySelector('#faults .legend').textContent"
    )
    assert usual.complaints == []
    assert usual.requests == [page_of_a_run.as_uri()]
    drawn = usual.run(MARKS)
    assert all(count for _, count in drawn), drawn
    assert [key for key, _ in drawn] == [
        "response-over-time",
        "percentiles",
        "heat-map",
        "rates",
        "connections",
        "faults",
        "opening",
        "processor",
        "send-lag",
        "loop-lag",
    ]


def test_charts_follow_the_scheme_of_colours(usual):
    assert usual.run(PAPER) == LIGHT
    usual.scheme("dark")
    assert usual.until(f"{PAPER} === {DARK!r} && {PAPER}") == DARK
    assert usual.run("getComputedStyle(document.body).backgroundColor") == DARK
    usual.scheme("light")
    assert usual.until(f"{PAPER} === {LIGHT!r} && {PAPER}") == LIGHT
    assert usual.complaints == []


def test_a_click_on_the_legend_hides_a_line_and_another_scheme_keeps_it_hidden(usual):
    usual.run("document.querySelector('#response-over-time').scrollIntoView({block: 'center'})")
    hidden = "document.querySelector('#response-over-time .plot')._fullData.filter((one) => one.visible !== true)"
    usual.click(usual.run(PLACE % "#response-over-time .legendtoggle"))
    assert usual.until(f"{hidden}.map((one) => one.name).join()") == "p50"
    usual.scheme("dark")
    usual.until(f"{PAPER} === {DARK!r}")
    assert usual.run(f"{hidden}.map((one) => one.name)") == ["p50"]
    usual.run("Plotly.restyle(document.querySelector('#response-over-time .plot'), {visible: true}); 0")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("percentiles", "µs"),
        ("heat-map", "answers"),
        ("response-over-time", "µs"),
        ("rates", "/s, "),
        ("faults", "1, "),
        ("processor", "%, "),
    ],
)
def test_a_pointer_over_a_chart_shows_the_numbers(key, told, usual):
    usual.run(f"document.querySelector('#{key}').scrollIntoView({{block: 'center'}})")
    # A bar or a cell is under the pointer; a line has points.
    marks = {"heat-map": f"#{key} .hm image", "faults": f"#{key} .bars .point:nth-child(2) path"}
    at = usual.run(PLACE % marks.get(key, f"#{key} .scatterlayer .points path:nth-child(4)"))
    text = f"document.querySelector('#{key} .hoverlayer').textContent"
    for nudge in (0, 1):
        usual.mouse("mouseMoved", {"x": at["x"] + nudge, "y": at["y"] + 20 * (key == "heat-map") + nudge})
    assert told in usual.until(text)


def test_it_prints_in_light_colours_and_narrow_enough_for_the_paper(usual):
    usual.scheme("dark")
    usual.until(f"{PAPER} === {DARK!r}")
    usual.run("""window.printed = [];
      addEventListener('beforeprint', () => printed.push(...[...document.querySelectorAll('.plot > * .main-svg')].map(
        (one) => [one.style.background, one.getAttribute('width')])))""")
    pdf = base64.b64decode(usual.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert pdf.startswith(b"%PDF")
    sizes = usual.run("printed.filter(([background]) => background)")
    assert len(sizes) == 10
    assert all(one == [LIGHT, "680"] for one in sizes)
    # And on the screen it is as it was.
    assert usual.until(f"{PAPER} === {DARK!r} && {PAPER}") == DARK
    assert usual.complaints == []


def test_a_telephone_shows_all_of_it_without_scrolling_sideways(usual):
    usual.call("Emulation.setDeviceMetricsOverride", width=400, height=800, deviceScaleFactor=1, mobile=False)
    widest = "Math.max(...[...document.querySelectorAll('.main-svg')].map((one) => one.getBoundingClientRect().right))"
    usual.until(f"{widest} <= 400")
    assert usual.run("document.scrollingElement.scrollWidth") <= 400
    usual.call("Emulation.clearDeviceMetricsOverride")
    usual.until(f"{widest} > 900")


def test_the_command_line_is_copied_by_its_button(usual):
    usual.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    usual.run("scrollTo(0, 0); document.querySelector('button.copy').scrollIntoView({block: 'center'})")
    written = usual.run("document.querySelector('.command code').textContent")
    assert written.startswith("ws-load-test ws://h:1/ -c 10 --stages 1s:42,20s@42 --warmup 1s")
    usual.click(usual.run(PLACE % "button.copy"))
    assert (
        usual.until(
            "document.querySelector('button.copy').textContent !== 'Copy'"
            " && document.querySelector('button.copy').textContent"
        )
        == "Copied"
    )
    usual.call("Page.bringToFront")
    assert usual.run("navigator.clipboard.readText()") == written
    assert usual.complaints == []


def test_a_page_without_a_clipboard_copies_what_it_selects(usual):
    usual.until("document.querySelector('button.copy').textContent === 'Copy'")
    usual.run("navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); 0")
    usual.click(usual.run(PLACE % "button.copy"))
    usual.until("document.querySelector('button.copy').textContent === 'Copied'")
    assert usual.run("getSelection().toString()") == usual.run("document.querySelector('.command code').textContent")
    usual.run("getSelection().removeAllRanges()")


def test_everything_is_reached_by_the_keyboard_and_named(usual):
    assert usual.run("""[...document.querySelectorAll('[role=img], [role=region], nav, section')].every((one) =>
      one.getAttribute('aria-label') || document.getElementById(one.getAttribute('aria-labelledby')).textContent)""")
    levels = usual.run("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    usual.run("document.querySelector('#percentiles summary').focus()")
    for kind in ("keyDown", "keyUp"):
        usual.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert usual.until("document.querySelector('#percentiles details').open")


def test_the_policy_lets_no_other_script_run_and_nothing_be_fetched(usual):
    usual.run("""const one = document.createElement('script'); one.textContent = 'window.ran = true';
      document.body.append(one)""")
    assert usual.run("window.ran === undefined")
    assert usual.run("fetch('https://example.org/').then(() => 'fetched', () => 'refused')") == "refused"
    told = usual.run(
        "new Promise((done) => { const one = new Image(); one.onerror = () => done('refused');"
        " one.onload = () => done('loaded'); one.src = 'https://example.org/x.png'; })"
    )
    assert told == "refused"


def test_the_library_offers_no_button_that_sends_a_chart_away(usual):
    names = usual.run("[...document.querySelectorAll('#percentiles .modebar-btn')].map((one) => one.dataset.title)")
    assert sorted(name.lower() for name in names) == ["download plot as a png", "pan", "reset axes", "zoom"]
