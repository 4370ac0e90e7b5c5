"""Pages as files: their structure, their policy, and that nobody's words can be more than words."""

import base64
import hashlib
import json
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_host_rows import host

from factories.pages import EVIL, KINDS
from factories.results import NASTY
from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode, OutputError
from ws_load_test.common.sanitize import sanitize
from ws_load_test.report.html import plotly
from ws_load_test.report.html.document import (
    Head,
    KeyValueRows,
    Section,
    Table,
    Text,
    as_json,
    document,
)
from ws_load_test.report.html.run import lines
from ws_load_test.report.results import Results

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """What a browser would make of it, as far as tests ask."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.scripts, self._open = [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.scripts[-1] += data
        elif self._open and self._open[-1] != "style":
            self.texts.append(data)

    def every(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self):
        return " ".join("".join(self.texts).replace("\N{NO-BREAK SPACE}", " ").split())


def page_of(name):
    return Page("".join(lines(KINDS[name]())))


@pytest.fixture(scope="module")
def usual():
    return page_of("usual")


def test_it_is_one_file_whose_policy_knows_its_scripts_and_nothing_else(usual):
    data, *scripts = usual.scripts
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    policy = next(meta["content"] for meta in usual.every("meta") if "http-equiv" in meta)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    assert policy.startswith(f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline';")
    assert len(scripts) == 3
    assert "button.copy" in scripts[0]
    assert "plotly.js v" in scripts[1][:100]
    assert "MIT license" in scripts[1][:200]
    assert json.loads(data).keys() == {plot["data-figure"] for plot in usual.every("div") if "data-figure" in plot}
    for _, attrs in usual.elements:
        assert not attrs.keys() & {"src", "onclick", "onload"}
        assert attrs.get("href", "#").startswith("#")


def test_headings_are_in_order_and_names_are_unique(usual):
    levels = [int(tag[1]) for tag, _ in usual.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(levels) == 3
    ids = Counter(attrs["id"] for _, attrs in usual.elements if "id" in attrs)
    assert set(ids.values()) == {1}
    assert {link["href"][1:] for link in usual.every("a")} <= ids.keys()
    assert usual.every("html") == [{"lang": "en"}]
    assert all(len(usual.every(tag)) == 1 for tag in ("header", "nav", "main", "footer"))


def test_every_chart_is_named_and_has_its_numbers_as_a_table(usual):
    plots = [plot for plot in usual.every("div") if "data-figure" in plot]
    assert len(plots) == 10
    assert all(plot["role"] == "img" and plot["aria-label"].startswith("Chart: ") for plot in plots)
    assert len(usual.every("details")) == len(plots)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_run_is_a_page_without_an_empty_chart(name):
    page = page_of(name)
    figures = json.loads(page.scripts[0]) if page.scripts else {}
    assert len(page.scripts) == ((3 if page.every("button") else 2) + 1 if figures else 0)
    for key, figure in figures.items():
        for trace in figure["data"]:
            # A heat map comes as counts, or with its heights.
            drawn = trace.get("customdata", trace.get("z")) if trace["type"] == "heatmap" else trace["x"]
            assert len(drawn), key
    # A person reads how it ended, and that every message is in one count.
    assert page.text.count("due ") >= 1
    assert re.search(r"due ([\d,]+) = sent ([\d,]+) \+ dropped", page.text)


def test_the_machines_of_a_run_on_several_have_a_row_each():
    made = KINDS["usual"]()
    generator = replace(made.summary.generator, start_spread_ns=300_000)
    hosts = [host("alpha"), host(EVIL, lost_workers=1)]
    several = Results(made.recordings, replace(made.summary, hosts=hosts, generator=generator), made.aggregate)
    page = Page("".join(lines(several)))
    assert "all workers began within 300 µs" in page.text
    assert "3 of 4" in page.text
    assert sanitize(EVIL) in page.text


@settings(deadline=None)
@given(st.text() | st.just(NASTY) | st.just(EVIL))
def test_a_text_is_shown_as_it_is_wherever_it_stands(words):
    parts = [Text(words), KeyValueRows([(words, words)]), Table([words, words], [[words, words]], words)]
    page = Page("".join(document(words, Head(words, "bad", [words], [Text(words)]), [Section(words, parts)])))
    assert page.scripts == []
    shown = "".join(page.texts).replace("\N{NO-BREAK SPACE}", " ")
    assert shown.count(sanitize(words)) >= 14 or not words.strip()
    assert Counter(tag for tag, _ in page.elements)["section"] == 1


@settings(deadline=None)
@given(
    st.recursive(
        st.text() | st.floats(allow_nan=False, allow_infinity=False),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
        max_leaves=9,
    )
)
def test_data_come_back_from_a_script_element_as_they_were(data):
    text = as_json(data)
    assert json.loads(text) == data
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_a_number_that_json_has_not_is_refused():
    with pytest.raises(ValueError, match="Out of range"):
        as_json({"y": [float("nan")]})


def test_what_a_target_said_is_in_the_page_and_is_not_markup():
    text = "".join(lines(KINDS["usual"]()))
    page = Page(text)
    assert sanitize(EVIL) in "".join(page.texts)
    assert "alert(1)</script>" not in text
    # Plotly would take tags for its own, and shows character references as what they stand for.
    names = [trace["name"] for trace in json.loads(page.scripts[0])["faults"]["data"]]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--&lt;b&gt;x&lt;/b&gt;?%{text}" in names


def test_sections_without_parts_and_tables_without_numbers():
    parts = [Table(["", "requested", "n"], [["a", "–", "5"], ["b", "–", "1.20 ms"]])]
    text = "".join(document("t", Head("v", "good"), [Section("empty", []), Section("there", parts)]))
    page = Page(text)
    assert "empty" not in page.text
    # A column of dashes stands where text does, one of numbers at the right.
    assert re.findall(r"<td([^>]*)>([^<]+)</td>", text) == [
        ("", "–"),
        (' class="number"', "5"),
        ("", "–"),
        (' class="number"', "1.20\N{NO-BREAK SPACE}ms"),
    ]


def test_without_the_library_a_page_is_refused_before_the_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(plotly.importlib.util, "find_spec", lambda name: None)
    # The address is nobody's: a run would say that it could not open a connection.
    assert main(["ws://127.0.0.1:9/", "-n", "1", "--html", str(tmp_path / "x.html")]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "--html: the page's charts need plotly; install it with pip install 'ws-load-test[html]'" in told
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="need plotly"):
        "".join(lines(KINDS["usual"]()))
    # And a page that has no charts needs none.
    assert "".join(document("t", Head("v", "plain"), [Section("s", [Text("x")])])).endswith("</html>\n")


SCHEMES = {"light": r":root \{(.*?)\}", "dark": r":root:not\(\[data-print\]\) \{(.*?)\}"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_colours_stand_out_from_the_paper(scheme):
    style = (Path(plotly.__file__).parent / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", re.search(SCHEMES[scheme], style, re.DOTALL)[1]))
    for name in ("ink", "soft", "link", "good", "doubt", "bad"):
        for under in ("paper", "panel"):
            assert contrast(colours[name], colours[under]) >= 4.5, (name, under)
    for number in range(1, 9):
        assert contrast(colours[f"series-{number}"], colours["paper"]) >= 3, number


def contrast(one, other):
    """The contrast ratio of WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_page_is_made_without_the_library_s_python_half():
    assert "".join(lines(KINDS["usual"]()))
    assert "plotly" not in sys.modules
