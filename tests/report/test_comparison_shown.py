"""Comparisons as they are shown: at a terminal, as Markdown, as data, as a page."""

import json
import re

import numpy as np
import pytest
from markdown_it import MarkdownIt

from factories.comparison import drawn, interval, recording
from factories.results import NASTY
from ws_load_test.analysis.comparison.compare import compare
from ws_load_test.analysis.comparison.metrics import Verdict
from ws_load_test.analysis.comparison.samples import Variant
from ws_load_test.report.exports.comparison import data, markdown
from ws_load_test.report.html.comparison import page
from ws_load_test.report.terminal.comparison import ComparisonReport, outcome_lines, rows, show_change


def made(name, seed, **options):
    return Variant.of(name, [drawn(np.random.default_rng(seed), **options)])


@pytest.fixture(scope="module")
def outcome():
    base = made("base.jsonl", 1, per_s=1500)
    worse, same = made("new.jsonl", 22, per_s=1500, slower=1.5, failed=2), made("same.jsonl", 3, per_s=1500)
    return ComparisonReport(comparisons=[compare(base, worse), compare(base, same)], limit=0.05, facts=["it was quiet"])


def text_of(outcome, **options):
    return "\n".join(line.plain for line in outcome_lines(outcome, **options))


def test_the_report_says_what_is_worse_and_by_how_much(outcome):
    text = text_of(outcome)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.search(r"^Worse: p10, p50, p90, p99, p99.9, mean, errors$", text, re.MULTILINE), text
    assert re.search(r"^No difference$", text, re.MULTILINE)
    change = r"\+\d\d\.\d"
    row = rf"^  p50 +\d+\.?\d* [mµ]s +1.\d\d ms +{change} % +{change} to {change} % +worse$"
    assert re.search(row, text, re.MULTILINE)
    assert re.search(r"^  errors +0 % +0\.1\d+ % +\+0\.1 pt +\+0\.0\d to \+0\.\d pt +worse$", text, re.MULTILINE)
    assert "at most 5 %" in text
    assert "only the variation within runs is known" in text
    assert text.count("failed  --fail-on-regression 5 %: new.jsonl: p10, p50, p90") == 1
    assert "it was quiet" in text


def test_doubts_stand_before_all_numbers(outcome):
    base = Variant.of("cut.jsonl", [drawn(np.random.default_rng(1), ended=False)])
    text = text_of(ComparisonReport(comparisons=[compare(base, outcome.sides[1])]))
    assert text.startswith("doubt  cut.jsonl was killed before the end\n")


def test_what_cannot_be_reported_is_not_called_the_same():
    short = ComparisonReport(comparisons=[compare(made("a", 1, seconds=2), made("b", 2, seconds=2))], limit=0.05)
    text = text_of(short)
    assert text.startswith("Nothing can be concluded\n")
    assert "cannot tell" in text
    assert "no difference" not in text
    assert "run longer" in " ".join(text.split())
    (why,) = short.failing
    assert why.startswith("b: nothing can be concluded: a was measured for 2 intervals, and it takes 5 to tell")


def test_a_terminal_that_knows_only_ascii_is_enough(outcome):
    assert text_of(outcome, encoding="ascii").isascii()


@pytest.mark.parametrize(
    ("change", "share", "text"),
    [
        (0.0834, False, "+8.3"),
        (-0.5, False, "-50.0"),
        (11.5, False, "+1,150"),
        (0.0001, False, "0.0"),
        (0, True, "0"),
        (0.00012, True, "+0.01"),
        (-0.021, True, "-2.1"),
    ],
)
def test_changes_have_the_digits_that_they_need(change, share, text):
    assert show_change(change, share=share) == text


def test_markdown_is_a_table_and_names_are_no_markup(outcome):
    nasty = Variant.of(NASTY, [recording(*(interval([5] * 300, index) for index in range(6)), name=NASTY)])
    told = ComparisonReport(comparisons=[*outcome.comparisons, compare(outcome.sides[0], nasty)], limit=0.05)
    text = "".join(markdown(told))
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert html.count("<table>") == 3
    assert html.count("<tr>") == sum(len(one.differences) + 1 for one in told.comparisons)
    assert "<b>" not in html
    assert "<strong>worse</strong>" in html
    assert "\x1b" not in text


def test_data_are_json_with_ratios_and_intervals(outcome):
    told = json.loads(json.dumps(data(outcome), allow_nan=False))
    worse, same = told["comparisons"]
    assert (told["confidence"], told["failed"]) == (0.95, True)
    assert (worse["verdict"], same["verdict"]) == ("worse", "no difference")
    assert worse["units"] == {"kind": "blocks", "base": 10, "new": 10, "paired": False}
    p50 = next(one for one in worse["metrics"] if one["metric"] == "p50")
    assert p50["ratio"] == pytest.approx(p50["new"] / p50["base"])
    assert p50["low"] < p50["ratio"] < p50["high"]
    assert 1.4 < p50["ratio"] < 1.6
    assert (p50["unit"], p50["verdict"], p50["regression"]) == ("ns", "worse", True)
    errors = next(one for one in worse["metrics"] if one["metric"] == "errors")
    assert errors["difference"] == errors["new"] - errors["base"]
    assert worse["failing"].startswith("p10, p50, ")
    assert same["failing"] is None


def test_the_page_overlays_all_sides_and_has_an_interval_for_each_metric(outcome):
    text = "".join(page(outcome))
    figures = json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)[1])
    assert set(figures) == {"percentiles", "changes-1", "changes-2"}
    curves = {trace["name"] for trace in figures["percentiles"]["data"]}
    assert curves == {"base.jsonl", "new.jsonl", "same.jsonl"}
    (changes,) = [trace for trace in figures["changes-1"]["data"] if trace["name"] == Verdict.WORSE]
    known = {one.metric.label: one for one in outcome.comparisons[0].differences}
    for label, ratio, less, more in zip(
        changes["y"], changes["x"], changes["error_x"]["arrayminus"], changes["error_x"]["array"], strict=True
    ):
        one = known[label]
        assert ratio == pytest.approx(1 + one.change)
        assert (ratio - less, ratio + more) == pytest.approx((1 + one.low, 1 + one.high))
    for row in rows(outcome.comparisons[0]):
        assert f">{row[3].split()[0]}" in text
    assert "it was quiet" in text


def test_a_page_without_an_answer_says_so():
    nothing = [Variant.of(name, [recording(interval([], 0, failed=3))]) for name in ("a", "b")]
    text = "".join(page(ComparisonReport(comparisons=[compare(*nothing)])))
    assert "No message was answered." in text
    assert "Nothing can be concluded" in text
