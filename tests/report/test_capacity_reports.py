"""What a search found, for people: at a terminal, in Markdown, as a page."""

import msgspec
import pytest
from markdown_it import MarkdownIt

from factories.capacity import found, served
from ws_load_test.analysis.capacity_types import CapacityAnswer, CapacitySummary, LoadRange
from ws_load_test.report.exports import capacity as markdown
from ws_load_test.report.html import capacity as page
from ws_load_test.report.terminal.capacity import (
    capacity_lines,
    failures,
    sentence,
    step_line,
)

SLO = ["p99 < 50ms", "errors < 0.1%"]
NASTY = "ws://h/<b>|*_`\x1b[31m"


def read(facts):
    """The object of JSON as its type."""
    return msgspec.convert(facts, CapacitySummary)


@pytest.fixture(scope="module")
def facts():
    return read(found(lambda plan: served(plan, limit=1000), slo=SLO)[0])


@pytest.fixture(scope="module")
def bound():
    return read(found(lambda plan: served(plan, limit=8000, generator=6000), slo=SLO)[0])


def text_of(facts, encoding="utf-8"):
    return [line.plain for line in capacity_lines(facts, encoding=encoding)]


def on_cluster(facts, sizes):
    """The same with so many workers and hosts in each step."""
    steps = [
        msgspec.structs.replace(
            step, generator=msgspec.structs.replace(step.generator, workers=size and size[0], hosts=size and size[1])
        )
        if size
        else step
        for step, size in zip(facts.steps, sizes, strict=True)
    ]
    return msgspec.structs.replace(facts, steps=steps)


def test_a_search_on_a_cluster_names_its_hosts_and_workers_and_when_they_changed(facts):
    assert not any("generator " in line[:10] for line in text_of(facts))
    count = len(facts.steps)
    same = on_cluster(facts, [(8, 4)] * count)
    assert any(line.split() == ["generator", "8", "workers", "on", "4", "hosts"] for line in text_of(same))
    fewer = on_cluster(facts, [(8, 4)] * 2 + [(6, 3)] * (count - 3) + [(1, 1)])
    words = f"8 workers on 4 hosts; from step 3 on 6 workers on 3 hosts; from step {count} on 1 worker on 1 host"
    assert words in " ".join(" ".join(text_of(fewer)).split())
    assert max(map(len, text_of(fewer))) <= 80
    assert f"Generator: {words}" in "".join(markdown.lines(fewer))
    assert words in "".join(page.lines(fewer))


def test_the_report_begins_with_the_answer_and_fits_80_columns(facts, bound):
    lines = text_of(facts)
    assert " ".join(lines[:2]) == (
        "Between 995/s and 1,040/s: 995/s met all objectives twice, 1,040/s missed p99 < 50ms twice."
    )
    assert lines[2] == "ws://h:1/?token=***"
    for one in (facts, bound):
        assert max(map(len, text_of(one))) <= 80
    begin = next(number for number, line in enumerate(lines) if line.startswith("step ")) + 1
    rows = [line.split() for line in lines[begin : lines.index("", begin)]]
    assert [row[-1] for row in rows] == [step.outcome for step in facts.steps]
    assert len(rows) == len(facts.steps)
    assert rows[0] == ["1", "100/s", "100/s", "1", "ms", "1", "ms", "0", "%", "10", "%", "met"]


def test_every_step_that_failed_says_why(facts, bound):
    for one in (facts, bound):
        told = " ".join(" ".join(text_of(one)).split())
        for step in one.steps:
            assert bool(failures(step)) == (step.outcome != "met")
            for reason in failures(step):
                assert " ".join(reason.split()) in told


def test_the_chart_rises_with_the_times_and_marks_the_ends(facts):
    lines = text_of(facts)
    chart = lines[next(number for number, line in enumerate(lines) if line.startswith("p99 of each")) + 1 :]
    assert len(chart) == len(facts.steps)
    assert [line.split()[0] for line in chart if "highest met" in line] == ["995/s"] * 2
    assert [line.split()[0] for line in chart if "lowest missed" in line] == ["1,040/s"] * 2
    assert chart[-1].count("█") == max(line.count("█") for line in chart)


def test_terminals_without_blocks_get_letters(facts):
    lines = text_of(facts, "ascii")
    assert all(line.isascii() for line in lines)
    assert any("###" in line for line in lines)


def answer(ending, **parts):
    empty = {"lower": None, "lower_times": 0, "upper": None, "upper_times": 0, "generator_saturated_at": None}
    empty |= {"unsure": [], "contradicted": [], "error": None, "sentence": ""}
    return CapacityAnswer(ending=ending, **{**empty, **parts})


SENTENCES = {
    "between 100/s and 110/s: 100/s met all objectives twice, 110/s was not kept up with twice; 104/s and 107/s met the"
    " objectives and missed them; 105/s cannot be judged, because the generator was late, so the limit is no sharper"
    " than that": answer(
        "found", lower=100, lower_times=2, upper=110, upper_times=2, unsure=[104, 105, 107], contradicted=[104, 107]
    ),
    "nothing that was to be tried met the objectives each time": answer("none-met"),
    "the target accepted no more connections; 100/s met all objectives once": answer(
        "target-gone", lower=100, lower_times=1
    ),
    "the steps contradict each other, so there is no answer; nothing is known": answer("unsettled"),
    "the steps contradict each other, so there is no answer; 100/s met all objectives once; 104/s met the objectives"
    " and missed them, so the limit is no sharper than that": answer(
        "unsettled", lower=100, lower_times=1, unsure=[104], contradicted=[104]
    ),
    "at least 391/s: 391/s met all objectives twice; whether 400/s, the most that was to be tried, does as well is not"
    " settled; 400/s cannot be judged, because the generator was late, so the limit is no sharper than that": answer(
        "unsettled", lower=391, lower_times=2, unsure=[400]
    ),
    "no answer: at 100/s the generator itself was the limit, and not the target: "
    "for reasons that are not known": answer("generator-bound", generator_saturated_at=100),
}


@pytest.mark.parametrize(("words", "found"), SENTENCES.items(), ids=range(len(SENTENCES)))
def test_other_ends_have_their_sentence(words, found, facts):
    limits = LoadRange(first=100, max=400, precision=0.05)
    assert sentence(msgspec.structs.replace(facts, answer=found, steps=[], range=limits)) == words


def test_nothing_but_an_answer_is_a_report(facts):
    empty = msgspec.structs.replace(facts, steps=[], answer=answer("interrupted"))
    assert text_of(empty)[0] == "Interrupted; nothing is known."
    assert "".join(markdown.lines(empty)).startswith("### ws-load-test capacity: interrupted")
    assert "Interrupted; nothing is known" in "".join(page.lines(empty))


def test_a_line_for_each_step(facts):
    assert step_line(facts.steps[0], "rate") == "  1       100/s  met  p50 1 ms, p99 1 ms"
    assert "p99 < 50ms: " in step_line(facts.steps[4], "rate")


def test_markdown_is_a_table_and_nothing_of_a_target_is_markup(facts):
    text = "".join(markdown.lines(msgspec.structs.replace(facts, target=NASTY)))
    made = MarkdownIt("commonmark").enable("table").render(text)
    assert made.count("<tr>") == len(facts.steps) + 1
    assert "<b>" not in made
    assert "Between" not in text.splitlines()[1]
    assert "between 995/s and 1,040/s" in text.splitlines()[0].replace("\\", "")


def test_the_page_has_the_chart_the_bracket_and_every_step(facts, bound):
    text = "".join(page.lines(msgspec.structs.replace(facts, target=NASTY)))
    assert "<b>" not in text.partition("<script")[0].replace("<body>", "")
    assert "The limit lies in the strip between the two upright lines." in text
    assert text.count('<th scope="row"') == len(facts.steps)
    figure = page._latency(facts, sorted(facts.steps, key=lambda step: step.amount))
    assert [trace["name"] for trace in figure["data"]] == [
        *("p50", "p90", "p99", "p99.9"),
        "limit of p99: 50 ms",
    ]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [995, 1040, 995]
    ticks = figure["layout"]["xaxis"]["tickvals"]
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 9
    assert "".join(page.lines(bound)).count("generator-bound") >= len(bound.steps) / 3
