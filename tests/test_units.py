"""Amounts as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common import units

SECOND, MINUTE = 10**9, 60 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("10s", 10 * SECOND),
        ("500ms", SECOND // 2),
        ("2m", 2 * MINUTE),
        ("1h", 60 * MINUTE),
        ("1m30s", 90 * SECOND),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("7µs", 7_000),
        ("7us", 7_000),
        ("1.5s", 1_500_000_000),
        (".5s", 500_000_000),
        ("1.s", SECOND),
        ("3", 3 * SECOND),
        ("0.25", SECOND // 4),
        (" 10 s ", 10 * SECOND),
        ("10S", 10 * SECOND),
        ("0s", 0),
        ("8784h", units.LONGEST_NS),
        # Exact where a float would not be.
        ("0.000000001s", 1),
        ("0.1ms", 100_000),
        ("1.000000007s", 1_000_000_007),
    ],
)
def test_reads_a_duration(text, ns):
    assert units.parse_duration_ns(text) == ns


@pytest.mark.parametrize(
    "text", ["", " ", "s", "ten", "10x", "-1s", "+1s", "1s!", "!1s", "1s-2s", "1e3s", "nan", "inf", "1..5s", "٣s"]
)
def test_says_what_a_duration_looks_like(text):
    with pytest.raises(ValueError, match="write for example 10s, 500ms or 1m30s") as caught:
        units.parse_duration_ns(text)
    assert f'"{text}"' in str(caught.value)


def test_refuses_a_duration_beyond_a_year():
    with pytest.raises(ValueError, match="longer than a year"):
        units.parse_duration_ns("8784h1ns")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("0", 0),
        ("1B", 1),
        ("64kB", 64_000),
        ("64k", 64_000),
        ("2MB", 2_000_000),
        ("2M", 2_000_000),
        ("1KiB", 1024),
        ("1MiB", 1 << 20),
        ("1.5kib", 1536),
        (" 3 kB ", 3000),
    ],
)
def test_reads_a_size(text, size):
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "B", "-1", "1x", "1 k B", "1e3", "kB1", "1GiBB"])
def test_says_what_a_size_looks_like(text):
    with pytest.raises(ValueError, match="write for example 512, 64kB or 1MiB"):
        units.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "per_s"),
    [
        ("500", 500),
        ("500/s", 500),
        ("2k/s", 2000),
        ("2K", 2000),
        ("90/m", 1.5),
        ("36/h", 0.01),
        ("0.5", 0.5),
        (" 5 / s ", 5),
    ],
)
def test_reads_a_rate(text, per_s):
    assert units.parse_rate_per_s(text) == per_s


@pytest.mark.parametrize(
    "text", ["", "/s", "fast", "-1", "nan", "inf", "sNaN", "-inf", "5/d", "5//s", "5/s/s", "1e400", "k"]
)
def test_says_what_a_rate_looks_like(text):
    with pytest.raises(ValueError, match="write for example 500, 2k/s or 90/m"):
        units.parse_rate_per_s(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "–"),
        (0, "0 ns"),
        (1, "1 ns"),
        (412_000, "412 µs"),
        (1_200_000, "1.20 ms"),
        (1_234_567, "1.23 ms"),
        (12_340_000, "12.3 ms"),
        (123_400_000, "123 ms"),
        (10 * SECOND, "10 s"),
        (90 * SECOND, "90 s"),
        (2 * MINUTE, "2 min"),
        (125 * SECOND, "2 min 5 s"),
        (3 * 60 * MINUTE + 4 * MINUTE, "3 h 4 min"),
    ],
)
def test_shows_a_duration_in_the_unit_that_fits(ns, text):
    assert units.format_duration(ns) == text


def test_shows_no_four_digits_where_rounding_reaches_the_next_unit():
    assert units.format_duration(999_499) == "999 µs"
    assert units.format_duration(999_600) == "1.00 ms"
    assert units.format_duration(9_996_000) == "10.0 ms"
    assert units.format_duration(99_960_000) == "100 ms"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (96, "96 B"), (1_200_000, "1.20 MB"), (5e9, "5 GB"), (3.25e12, "3.25 TB"), (1000, "1 kB")],
)
def test_shows_a_size(size, text):
    assert units.format_bytes(size) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(None, "–"), (98_300, "98,300/s"), (0.5, "0.50/s"), (12.34, "12.3/s"), (3, "3/s")],
)
def test_shows_a_rate(per_s, text):
    assert units.format_rate(per_s) == text


def test_shows_a_count_with_its_thousands_apart():
    assert units.format_count(1_234_567) == "1,234,567"


@given(st.integers(0, units.LONGEST_NS))
def test_any_duration_comes_back_from_its_parts(ns):
    rest, parts = ns, ""
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, units.NS_PER_UNIT[unit])
        parts += f"{count}{unit}"
    assert units.parse_duration_ns(parts) == ns
    assert units.parse_duration_ns(f"{ns}ns") == ns
    assert units.parse_duration_ns(f"{ns // SECOND}.{ns % SECOND:09}s") == ns


@given(st.integers(1, 2 * MINUTE - SECOND))
def test_a_shown_duration_reads_back_within_its_three_digits(ns):
    assert units.parse_duration_ns(units.format_duration(ns)) == pytest.approx(ns, rel=0.0051)


@given(st.integers(0, 10**9))
def test_a_size_in_bytes_reads_back(size):
    assert units.parse_bytes(str(size)) == size
    assert units.parse_bytes(f"{size}kB") == size * 1000
    assert units.parse_bytes(f"{size}MiB") == size << 20
    assert units.parse_bytes(f"{size}GiB") == size << 30
    assert units.parse_bytes(f"{size}GB") == size * 1000**3


@given(st.floats(1e-6, 1e9))
def test_a_rate_reads_back(per_s):
    assert units.parse_rate_per_s(str(per_s)) == per_s
    assert units.parse_rate_per_s(f"{per_s}/m") == pytest.approx(per_s / 60)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_with_a_hint(text):
    for parse in (units.parse_duration_ns, units.parse_bytes, units.parse_rate_per_s):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert "write for example" in str(error) or "longer than a year" in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1e9", "write it in digits: 1_000_000_000"),
        ("1.5E3", "write it in digits: 1_500"),
        ("1.5e0", "write for example 1500"),
        ("1e30", "write a smaller one, in digits"),
        ("1e999999", "write for example 1500"),
    ],
)
def test_a_number_with_an_exponent_is_written_out(text, words):
    with pytest.raises(ValueError, match=words):
        units.parse_whole(text)
