"""Conditions as people write them: what is read, and what is said to what cannot be."""

import re
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.errors import PlanError
from ws_load_test.common.faults import FaultKind
from ws_load_test.common.units import quoted
from ws_load_test.metrics.catalog import WHOLE_RUN
from ws_load_test.plan.describe import describe_plan
from ws_load_test.plan.options.read_plan import make_plan
from ws_load_test.plan.plan import Plan
from ws_load_test.plan.thresholds import (
    DENOMINATORS,
    OPERATORS,
    RATES,
    SIZES,
    STATISTICS,
    TIME_METRICS,
    ConditionMetric,
    parse_condition,
)

URL = "ws://h:1/"
MS = 10**6


@pytest.mark.parametrize(
    ("written", "text", "metric", "limit", "unit"),
    [
        ("p99 > 50ms", "p99 > 50ms", ("time", "response", "99"), 50 * MS, "ns"),
        ("p99>50 ms", "p99 > 50ms", ("time", "response", "99"), 50 * MS, "ns"),
        (" P99.9\t>=  1m 30s ", "p99.9 >= 1m30s", ("time", "response", "99.9"), 90_000 * MS, "ns"),
        ("mean < 0.5ms", "mean < 0.5ms", ("time", "response", "mean"), MS // 2, "ns"),
        ("connect.p95 > 1s", "connect.p95 > 1s", ("time", "connect", "95"), 1000 * MS, "ns"),
        ("send-lag.max > 7us", "send_lag.max > 7us", ("time", "send_lag", "max"), 7000, "ns"),
        ("errors > 0.1%", "errors > 0.1%", ("count", "errors", ""), Fraction(1, 1000), "share"),
        ("errors > .1 %", "errors > .1%", ("count", "errors", ""), Fraction(1, 1000), "share"),
        ("unanswered > 0", "unanswered > 0", ("count", "unanswered", ""), 0, "count"),
        ("due != 1,000", "due != 1,000", ("count", "due", ""), 1000, "count"),
        ("faults == 0", "faults == 0", ("count", "faults", ""), 0, "count"),
        ("faults.reset > 0", "faults.reset > 0", ("count", "faults", "reset"), 0, "count"),
        (
            "faults.connect_refused > 1%",
            "faults.connect-refused > 1%",
            ("count", "faults", "connect-refused"),
            0.01,
            "",
        ),
        ("faults.closed:1011 > 3", "faults.closed:1011 > 3", ("count", "faults", "closed:1011"), 3, "count"),
        ("rate < 9500", "rate < 9500", ("rate", "rate", ""), 9500, "per_s"),
        ("rate < 2k/s", "rate < 2k/s", ("rate", "rate", ""), 2000, "per_s"),
        ("sent_rate <= 90/m", "sent_rate <= 90/m", ("rate", "sent_rate", ""), 1.5, "per_s"),
        ("bytes_sent > 1kB", "bytes_sent > 1kB", ("size", "bytes_sent", ""), 1000, "bytes"),
    ],
)
def test_a_condition_is_read(written, text, metric, limit, unit):
    found = parse_condition(written)
    assert (found.text, found.metric) == (text, ConditionMetric(*metric))
    assert float(found.limit) == float(limit)
    assert unit in ("", found.unit)
    assert not found.per_interval
    again = parse_condition(f"any {written}")
    assert (again.text, again.metric, again.limit, again.per_interval) == (
        f"any {text}",
        found.metric,
        found.limit,
        True,
    )


def test_shares_are_exact():
    assert parse_condition("errors > 0.1%").limit == Fraction(1, 1000)
    assert not parse_condition("errors > 0.1%").holds(Fraction(3, 3000))
    assert parse_condition("errors >= 0.1%").holds(Fraction(3, 3000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p99", 'is not a condition; write for example "p99 > 50ms"'),
        ("", "is not a condition"),
        ("p99 = 5ms", "one = compares nothing here; write =="),
        ("p99 => 5ms", "is not a condition"),
        ("1ms < p99 < 5ms", "is not a condition"),
        ("p99 > 5ms and errors > 3", "is not a condition"),
        ("> 5ms", "names nothing to compare"),
        ("any > 5ms", "names nothing to compare"),
        ("p99 >", "has no limit"),
        ("p99 > 50", "p99 is a time, and its limit has no unit; write for example 50ms"),
        ("p99 > 5%", "p99 is a time, and no share of anything"),
        ("p99 > 5 0ms", '"5 0ms" is not a duration'),
        ("p99 > -5ms", '"-5ms" is not a duration'),
        ("p99 > fast", '"fast" is not a duration'),
        ("connect > 1s", "say what of it, for example connect.p99"),
        ("conect.p95 > 1s", "did you mean connect.p95?"),
        ("conect > 1s", "did you mean connect.p99?"),
        ("connect.p9x > 1s", "did you mean connect.p99?"),
        ("connect.middle > 1s", 'there is no statistic "middle"; write for example connect.p99'),
        ("p999 > 1s", "did you mean p99.9?"),
        ("tls.p999 > 1s", "did you mean tls.p99.9?"),
        ("p100.1 > 1s", 'there is no metric "p100.1"'),
        ("eror > 3", "did you mean errors?"),
        ("xyz > 3", "there are response, service"),
        ("errors.p99 > 3", "errors is one number, of which there is no p99"),
        ("faults.rest > 0", "did you mean faults.reset?"),
        ("faults.zzz > 0", "there are dns,"),
        ("faults.closed:ä > 0", '"ä" is no detail of a fault'),
        ("faults.closed: > 0", '"" is no detail of a fault'),
        ("errors > 0.1", 'errors is a count, and "0.1" is none; write a whole number, or a share such as 0.1%'),
        ("errors > 5ms", 'errors is a count, and "5ms" is none'),
        ("errors > x%", '"x%" is not a share'),
        ("due > 5%", "due is a count and no share of anything"),
        ("pushed > 0.5", 'pushed is a count, and "0.5" is none; write a whole number'),
        ("rate < 5%", '"5%" is not a rate'),
        ("bytes_sent > 512", "bytes_sent is a size, and its limit has no unit"),
        ("bytes_sent > 1k", "its limit has no unit"),
        ("bytes_sent > xB", '"xB" is not a size'),
        ("reach > 0.999", "reach is a share; write for example 99.9%"),
        ("reach > 99", "reach is a share; write for example 99.9%"),
        ("subscribers.skew > 2ms", "is a number without a unit"),
        ("delivery > 2ms", "say what of it, for example delivery.p99"),
        ("delivery.all > 2ms", "say what of it, for example delivery.all.p99"),
        ("gap.longest > 1", "gap.longest was renamed; write gaps.longest"),
        ("duplicates > 1%", "duplicates was renamed; write duplicate_replies"),
        ("mismatched > 0", "mismatched was renamed; write unknown_id"),
        ("skipped > 3", "skipped was renamed; write greetings"),
        ("reopened < 9", "reopened was renamed; write reconnected"),
        ("renewed < 9", "renewed was renamed; write recycled"),
        ("any reopen.p99 > 1s", "reopen.p99 was renamed; write reconnect.p99"),
        ("faults.mismatch > 0", "faults.mismatch was renamed; write faults.check-failed"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write_instead(text, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_condition(text)
    assert f'"{text}"' in str(caught.value)
    assert "\n" not in str(caught.value)


AMOUNTS = st.decimals(0, 1000, places=2).map(str)
METRICS = st.one_of(
    st.tuples(
        st.sampled_from(["", *(f"{name}." for name in TIME_METRICS)]),
        st.one_of(st.sampled_from(STATISTICS), st.decimals(0, 100, places=3).map("p{}".format)),
    )
    .map("".join)
    .flatmap(lambda name: st.tuples(st.just(name), st.tuples(AMOUNTS, st.sampled_from(["us", "ms", "s"])))),
    st.tuples(
        st.sampled_from(sorted(DENOMINATORS.keys() - {"reach"})),
        st.tuples(st.integers(0, 10**12).map(str), st.just("")),
    ),
    st.tuples(
        st.sampled_from(sorted(name for name in DENOMINATORS if DENOMINATORS[name])), st.tuples(AMOUNTS, st.just("%"))
    ),
    st.tuples(st.sampled_from([f"faults.{kind}" for kind in FaultKind]), st.tuples(AMOUNTS, st.just("%"))),
    st.tuples(st.sampled_from(RATES), st.tuples(AMOUNTS, st.sampled_from(["", "/s", "k", "k/m"]))),
    st.tuples(st.sampled_from(SIZES), st.tuples(AMOUNTS, st.sampled_from(["B", "kB", "MiB"]))),
)


@given(METRICS, st.sampled_from(sorted(OPERATORS)), st.booleans(), st.sampled_from(["", " ", "\t "]))
def test_the_one_spelling_says_the_same(metric, sign, anywhere, space):
    name, (amount, unit) = metric
    anywhere = anywhere and name not in WHOLE_RUN
    found = parse_condition(f"{'any ' * anywhere}{name}{space}{sign}{space}{amount}{space}{unit}{space}")
    assert parse_condition(found.text) == found
    assert found.text == f"{'any ' * anywhere}{name} {sign} {amount}{unit}"


@given(st.text(max_size=30) | st.text("anypro9.%<>=! ms0sfault:k/", max_size=20))
def test_anything_else_is_a_mistake_and_never_a_bug(text):
    try:
        found = parse_condition(text)
    except ValueError as error:
        told = str(error)
    else:
        told = text
        assert parse_condition(found.text) == found
    assert quoted(" ".join(text.split()))[1:-1] in told


# --- Options ---


def test_a_plan_keeps_its_conditions():
    plan = make_plan(
        URL, fail_if=["p99>50ms", "errors > 0.1 %", "p99 > 50ms"], abort_if="any rate<10", abort_grace="2s", timeout=3
    )
    assert plan.fail_if == ("p99 > 50ms", "errors > 0.1%")
    assert (plan.abort_if, plan.abort_grace_ns) == (("any rate < 10",), 2 * 10**9)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan
    assert plan.redacted().fail_if == plan.fail_if
    words = dict(describe_plan(plan))
    assert words["fails if"] == "p99 > 50ms or errors > 0.1%"
    assert words["aborts if"] == "any rate < 10, after 2 s"
    assert plan.warnings == ()


def test_without_conditions_a_plan_is_what_it_was():
    plan = make_plan(URL)
    assert (plan.fail_if, plan.abort_if, plan.abort_grace_ns) == ((), (), 5 * 10**9)
    assert not {"fails if", "aborts if"} & dict(describe_plan(plan)).keys()
    older = msgspec.to_builtins(plan)
    for name in ("fail_if", "abort_if", "abort_grace_ns"):
        del older[name]
    assert msgspec.convert(older, Plan) == plan


def test_all_problems_are_reported_at_once():
    with pytest.raises(PlanError) as caught:
        make_plan(URL, fail_if=["p99 > 50", "eror > 1", "p99 > 1s"], abort_if=["p98"], connections=0)
    told = [problem.option for problem in caught.value.problems]
    assert sorted(told) == ["--abort-if", "--connections", "--fail-if", "--fail-if"]


def test_a_grace_without_a_condition_is_a_mistake():
    with pytest.raises(PlanError, match="--abort-grace: there is nothing to stop for"):
        make_plan(URL, abort_grace="2s")
    assert make_plan(URL, abort_if="p99 > 1s", abort_grace=0).abort_grace_ns == 0
    with pytest.raises(PlanError, match=r"--fail-if: .* is not text"):
        make_plan(URL, fail_if=3)


@pytest.mark.parametrize(
    ("condition", "options", "words"),
    [
        ("tls.p99 > 1s", {}, "the target is ws://"),
        ("proxy.max > 1s", {}, "there is no --proxy"),
        ("first_reply.max > 1s", {}, "there is no --first-message"),
        ("keepalive.max > 1s", {}, "there is no --ping-interval"),
        ("reconnect.max > 1s", {}, "no session is dialled again"),
        ("p99 > 1s", {"match": "none", "rate": 5}, "no reply is awaited"),
        ("any rate < 5", {"match": "none", "rate": 5}, "no reply is awaited"),
        ("answered < 5", {"match": "none", "rate": 5}, "no reply is awaited"),
        (
            "first_reply.p99 > 1s",
            {"first_message": "x", "first_wait": "1s"},
            "the only first message is not answered (--first-wait)",
        ),
    ],
)
def test_what_will_have_no_value_is_reported_before_the_run(condition, options, words):
    (doubt,) = make_plan(URL, fail_if=condition, **options).warnings
    assert doubt.startswith(f'--fail-if: "{condition}" fails, because {words}')


@pytest.mark.parametrize(
    ("condition", "options"),
    [
        ("tls.p99 > 1s", {"follow_redirects": True}),
        ("first_reply.max > 1s", {"first_message": "x"}),
        ("keepalive.max > 1s", {"ping_interval": "1s", "rate": 0}),
        ("reconnect.max > 1s", {"reconnect": "now"}),
        ("errors > 0", {"match": "none", "rate": 5}),
        ("sent_rate < 5", {"match": "none", "rate": 5}),
    ],
)
def test_what_may_have_a_value_is_not_doubted(condition, options):
    assert make_plan(URL, fail_if=condition, **options).warnings == ()


def test_a_run_that_ends_before_it_can_be_stopped_is_doubted():
    (doubt,) = make_plan(URL, abort_if="p99 > 1s", duration="5s").warnings
    assert doubt == "--abort-if: stops nothing, because it looks only after 5 s and the run takes 5 s"
    assert make_plan(URL, abort_if="p99 > 1s", duration="6s").warnings == ()


# --- Deliveries ---

FAN_OUT = {"subscribers": 2, "rate": 5, "message": "{marker}"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("late > 0", "late_replies"),
        ("any duplicate > 1%", "duplicate_replies"),
        ("missing > 0", "unanswered"),
        ("delivery.p99 > 5ms", "response"),
        ("delivery.all.max > 5ms", None),
        ("gaps.longest > 3", None),
        ("subscribers.skew > 2", None),
        ("reach < 99%", None),
    ],
)
def test_what_only_a_fan_out_has_is_a_mistake_in_another_plan(written, meant):
    (text,) = told(fail_if=written)
    assert text.startswith(f'--fail-if: "{written}": ')
    assert "there is no fan-out without --subscribers" in text
    assert text.endswith(f"; of replies there is {meant}") == (meant is not None)
    plan = make_plan(URL, fail_if=written, **FAN_OUT)
    assert (plan.fail_if, plan.warnings) == ((written,), ())


def test_a_first_message_is_of_an_answer_of_many_or_of_a_fan_out():
    assert make_plan(URL, fail_if=["first.p99 > 1s", "gap.p99 > 1s"], until="contains:end").warnings == ()
    assert make_plan(URL, fail_if="first.p99 > 1s", **FAN_OUT).warnings == ()
    (doubt,) = make_plan(URL, fail_if="first.p99 > 1s").warnings
    assert "no delivery without --subscribers" in doubt


def test_acknowledgements_that_are_not_awaited_have_no_time():
    (doubt,) = make_plan(URL, fail_if="p99 > 1s", **FAN_OUT).warnings
    assert "no acknowledgement is awaited without --match; delivery.p99" in doubt
    assert make_plan(URL, fail_if="out_of_order > 0", **FAN_OUT).warnings == ()
    matched = {**FAN_OUT, "message": '{"id": {seq}, "text": "{marker}"}', "match": "json:id"}
    assert make_plan(URL, fail_if="p99 > 1s", **matched).warnings == ()


@pytest.mark.parametrize(
    "written",
    ["reach < 99.9%", "missing > 3", "delivery.p99 > 5ms", "gaps.longest > 9", "subscribers.skew > 2", "complete < 1%"],
)
def test_conditions_on_deliveries_have_a_sense(written):
    assert make_plan(URL, fail_if=written, **FAN_OUT)
    mirrored = written.replace(">", "\0").replace("<", ">").replace("\0", "<")
    with pytest.raises(PlanError, match="names what must not be"):
        make_plan(URL, fail_if=mirrored, **FAN_OUT)
    assert make_plan(URL, slo=mirrored, **FAN_OUT).slo == (mirrored,)
    with pytest.raises(PlanError, match="names what must hold"):
        make_plan(URL, slo=written, **FAN_OUT)


# --- The other notation ---


def told(**conditions):
    with pytest.raises(PlanError) as caught:
        make_plan(URL, **conditions)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("written", "unwanted", "objective"),
    [
        ("p99 < 50ms", "p99 > 50ms", "p99 < 50ms"),
        ("p99<=50ms", "p99 >= 50ms", "p99 <= 50ms"),
        ("any connect.p95 < 1s", "any connect.p95 > 1s", "connect.p95 < 1s"),
        ("errors < 0.1%", "errors > 0.1%", "errors < 0.1%"),
        ("errors == 0", "errors > 0", "errors == 0"),
        ("faults.reset <= 3", "faults.reset >= 3", "faults.reset <= 3"),
        ("rate > 900", "rate < 900", "rate > 900"),
        ("answered >= 99%", "answered <= 99%", "answered >= 99%"),
    ],
)
def test_a_condition_in_the_other_notation_is_questioned_with_both_forms(written, unwanted, objective):
    (text,) = told(fail_if=written)
    assert text.startswith("--fail-if: ")
    assert f'write --fail-if "{unwanted}", or --slo "{objective}", which names what must hold' in text
    # Both of them are right then.
    assert make_plan(URL, fail_if=unwanted, slo=objective).fail_if == (unwanted,)


@pytest.mark.parametrize("written", ["p99 > 50ms", "errors > 0.1%", "errors != 0", "rate < 900", "answered < 99%"])
def test_an_objective_in_the_other_notation_is_questioned(written):
    (text,) = told(slo=written)
    assert text.startswith("--slo: ")
    assert text.endswith(f'or --fail-if "{written}", which names what must not be')
    assert make_plan(URL, fail_if=written)


@pytest.mark.parametrize(
    "written", ["rate < 900", "answered < 100", "opened < 100%", "min < 1us", "pushed < 5", "due != 100", "rate == 0"]
)
def test_what_makes_sense_is_not_questioned(written):
    assert make_plan(URL, fail_if=written, abort_if=written).fail_if == (written,)
    # A run can be stopped for a rate that its target may not bear.
    assert make_plan(URL, abort_if="sent_rate > 5000").abort_if == ("sent_rate > 5000",)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("errors > 100%", "never holds"),
        ("pushed < 0", "never holds"),
        ("answered >= 0", "always holds"),
        ("subscribers.skew >= 1", "always holds"),
        ("subscribers.skew < 0.5", "never holds"),
        ("p99 == 50ms", "never exactly"),
        ("p99 != 50ms", "never exactly"),
    ],
)
def test_what_is_always_the_same_is_no_condition(written, words):
    for option in ("fail_if", "abort_if", "slo"):
        (text,) = told(**{option: written}, **FAN_OUT)
        assert words in text


def test_an_objective_is_of_the_whole_run():
    (text,) = told(slo="any p99 < 50ms")
    assert text.endswith('leave out any, or write --fail-if "any p99 >= 50ms"')
