"""Files of values: every row once a round over all shares, little memory, clear sentences."""

import collections
import csv
import json
import random
import tracemalloc
from itertools import islice

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ws_load_test.common.sharding import Shard
from ws_load_test.messages import FeedError, feed
from ws_load_test.messages.feed import cycle_rows, inspect, random_rows


@pytest.fixture(params=[True, False], ids=["kept", "streamed"])
def kept(request, monkeypatch):
    """Each test that takes this runs with the feed in memory, and with the feed read as it is needed."""
    if not request.param:
        monkeypatch.setattr(feed, "SMALL_BYTES", -1)
    return request.param


def written(tmp_path, content, name="feed.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def taken(found, count, share=None):
    rows = cycle_rows(found, share or Shard(0, 1))
    try:
        return [tuple(row) for row in islice(rows, count)]
    finally:
        rows.close()


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
@pytest.mark.parametrize("total", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_thing_k_takes_row_k_modulo_the_rows(tmp_path, kept, name, total, of):
    lines = ["n"] if name.endswith("csv") else []
    lines += [str(number) if lines else json.dumps({"n": number}) for number in range(total)]
    found = inspect(written(tmp_path, "\n".join(lines), name))
    for index in range(of):
        numbers = [int(row[0]) for row in taken(found, 30, Shard(index, of))]
        assert numbers == [Shard(index, of).global_index(position) % total for position in range(30)]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_csv_holds_comes_back(tmp_path_factory, rows, ending, marked):
    path = tmp_path_factory.mktemp("feed") / "feed.csv"
    with path.open("w", newline="", encoding="utf-8-sig" if marked else "utf-8") as file:
        writer = csv.writer(file, lineterminator=ending, quoting=csv.QUOTE_ALL)
        writer.writerows([("token", "größe"), *rows])
    found = inspect(str(path))
    assert (found.format, found.columns) == ("csv", ("token", "größe"))
    assert taken(found, len(rows)) == rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": CELLS, "ß": CELLS}), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_what_json_lines_hold_comes_back(tmp_path_factory, rows, marked, ascii_only):
    path = tmp_path_factory.mktemp("feed") / "feed.ndjson"
    lines = "\r\n\n".join(
        json.dumps(row, ensure_ascii=ascii_only) for row in ({"a": r["a"], "ß": r["ß"]} for r in rows)
    )
    path.write_text(lines, encoding="utf-8-sig" if marked else "utf-8")
    found = inspect(str(path))
    assert (found.format, found.columns) == ("json", ("a", "ß"))
    assert taken(found, len(rows)) == [(row["a"], row["ß"]) for row in rows]


def test_what_is_not_text_in_json_is_sent_as_it_is_written(tmp_path, kept):
    found = inspect(written(tmp_path, '{"a": 1.10, "b": {"c": [1, "x"]}, "d": null, "e": true, "f": "1"}', "one.json"))
    assert taken(found, 1) == [("1.10", '{"c": [1, "x"]}', "null", "true", "1")]


def test_blank_lines_are_no_rows(tmp_path, kept):
    assert taken(inspect(written(tmp_path, "\n\na,b\n\n1,2\n\r\n3,4\n\n")), 3) == [("1", "2"), ("3", "4"), ("1", "2")]
    assert taken(inspect(written(tmp_path, '\n{"a": 1}\n \n{"a": 2}\n\n', "a.jsonl")), 3) == [("1",), ("2",), ("1",)]


def test_names_of_columns_are_trimmed(tmp_path):
    assert inspect(written(tmp_path, "id, user name ,\n1,2,\n")).columns == ("id", "user name", "")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("f.csv", "", "is empty; its first line names the columns"),
        ("f.csv", "\n\n", "is empty; its first line names the columns"),
        ("f.csv", "a,b\n\n", "has no rows"),
        ("f.csv", ",\n1,2\n", "line 1 names no columns"),
        ("f.csv", "a,a\n1,2\n", "line 1 names a column twice"),
        ("f.csv", "a,b\n1,2\nsesame\n", "line 3 has 1 value, but there are 2 columns"),
        ("f.csv", 'a,b\n"1\n1",2\nsesame,2,3\n', "line 4 has 3 values, but there are 2 columns"),
        ("f.csv", 'a,b\n1,"sesame\n', "line 2 is not CSV: a quote"),
        ("f.csv", 'a,b\n1,"ses"ame\n', "line 2 is not CSV: a quote"),
        ("f.csv", b"a,b\n1,2\n1,sesame\xff\n", "line 3 is not UTF-8 text"),
        ("f.csv", 'a\n1\n"' + "sesame\n" * 20_000, "within a value of over 128 KiB"),
        ("f.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("f.jsonl", "\n", "is empty; write an object a line"),
        ("f.jsonl", '\n{"a": 1}\n{"a": sesame}\n', "line 3 is not JSON; write an object a line"),
        ("f.jsonl", '{"a": "sesame', "line 1 is not JSON"),
        ("f.jsonl", b'{"a": 1}\n{"a": "sesame\xff"}\n', "line 2 is not JSON"),
        ("f.jsonl", '{"a": 1}\n{"a": "sesame\\ud800"}\n', "line 2 is not JSON"),
        ("f.jsonl", "\n{}\n", "line 2 holds no values"),
        ("f.json", '["sesame"]', "line 1 is no JSON object"),
    ],
)
def test_a_broken_feed_is_one_sentence_without_its_contents(tmp_path, name, content, says):
    path = written(tmp_path, content, name)
    with pytest.raises(FeedError) as caught:
        inspect(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f'--feed: "{path}"')
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_must_be_a_file(tmp_path):
    with pytest.raises(FeedError, match="is not a file"):
        inspect(str(tmp_path))
    with pytest.raises(FeedError, match="there is no such file"):
        inspect(str(tmp_path / "none"))


def test_a_broken_row_deep_in_a_large_feed_is_found_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "SMALL_BYTES", -1)
    for name, head, row, broken in (("a.csv", "a,b\n", "1,2\n", "sesame\n"), ("a.jsonl", "", '{"a": 1}\n', "sesame\n")):
        found = inspect(written(tmp_path, head + row * 500 + broken + row, name))
        rows = cycle_rows(found)
        assert len(list(islice(rows, 500))) == 500
        with pytest.raises(FeedError, match=f"line {501 + bool(head)} ") as caught:
            next(rows)
        assert "sesame" not in str(caught.value)


def test_only_columns_that_fields_name_must_be_in_every_json_line(tmp_path, kept):
    found = inspect(written(tmp_path, '{"a": 1, "b": 2}\n{"a": 3}\n', "a.jsonl"))
    assert taken(found, 2) == [("1", "2"), ("3", "")]
    with pytest.raises(FeedError, match='line 2 lacks "b"'):
        taken(msgspec.structs.replace(found, used=("b",)), 2)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_random_rows(tmp_path, kept, name):
    lines = [f"{number:03}" if name.endswith("csv") else json.dumps({"n": f"{number:03}"}) for number in range(50)]
    found = inspect(
        written(tmp_path, "\n".join([*(["n"] if name.endswith("csv") else []), *lines, ""]), name), "random"
    )
    rows = random_rows(found, random.Random(3))
    counts = collections.Counter(next(rows)[0] for _ in range(20_000))
    rows.close()
    assert sorted(counts) == [f"{number:03}" for number in range(50)]
    assert max(counts.values()) < 1.4 * 400
    assert min(counts.values()) > 0.6 * 400


def test_a_random_row_of_a_large_feed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "SMALL_BYTES", -1)
    found = inspect(written(tmp_path, 'a,b\n1,2\n"x\n', "f.csv"), "random")
    rows = random_rows(found, random.Random(3))
    with pytest.raises(
        FeedError, match="line 3 is no whole row of 2 values; a random order needs each row on one line"
    ):
        list(islice(rows, 50))


def test_blank_lines_end_a_search_at_some_time(tmp_path, monkeypatch):
    monkeypatch.setattr(feed, "SMALL_BYTES", -1)
    path = written(tmp_path, "a\n1\n")
    found = inspect(path, "random")
    written(tmp_path, "a\n" + "\n" * 1000)
    with pytest.raises(FeedError, match="hardly anything but blank lines"):
        next(random_rows(found, random.Random(3)))


@pytest.mark.parametrize("order", ["round-robin", "random"])
def test_a_large_feed_takes_little_memory(tmp_path, order):
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("token,name\n")
        file.writelines(f"{number:020},{'x' * 60}\n" for number in range(60_000))
    assert path.stat().st_size > 4 * feed.SMALL_BYTES
    tracemalloc.start()
    found = inspect(str(path), order)
    rows = cycle_rows(found) if order == "round-robin" else random_rows(found, random.Random(1))
    seen = sum(1 for _ in islice(rows, 61_000 if order == "round-robin" else 5000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows.close()
    assert seen
    assert peak < 500_000
