"""Texts with fields: what is a field, what is not, and what fields become."""

import json
import random
import re
import time
import uuid
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ws_load_test.common.errors import PlanError
from ws_load_test.common.sharding import Shard
from ws_load_test.messages import MessageGenerator, Template, fields
from ws_load_test.messages.field_values import FieldValues
from ws_load_test.messages.random_values import ALPHABET
from ws_load_test.plan.options.read_plan import make_plan

COLUMNS = ("token", "größe", "user name", "odd:json")
TEXTS = st.text(st.one_of(st.sampled_from("{}:\".%\\'$ \n"), st.characters(codec="utf-8")))
FIELDS = [
    "{seq}",
    "{connection}",
    "{uuid}",
    "{now_ms}",
    "{random:8}",
    "{int:1..9}",
    "{feed.token}",
    "{feed.größe:json}",
]


def rendered(text, number=7, connection=3, row=("t", "g", "u", "o"), seed=1):
    template = Template(text, COLUMNS)
    assert not template.problems
    return template.compile(FieldValues(random.Random(seed), COLUMNS))(number, connection, row)


@given(TEXTS)
def test_a_text_without_known_fields_is_sent_as_it_is(text):
    template = Template(text, COLUMNS)
    if not template.fields:
        assert rendered(text) == text if not template.problems else template.parts == [text]


@given(st.lists(st.one_of(TEXTS.filter(lambda text: "feed." not in text), st.sampled_from(FIELDS)), max_size=8))
def test_every_brace_that_is_no_field_stays(pieces):
    template = Template("".join(pieces), COLUMNS)
    kept = [part if isinstance(part, str) else "\0" for part in template.parts]
    pattern = "|".join(re.escape(field) for field in FIELDS)
    if not template.problems and len(template.fields) == sum(piece in FIELDS for piece in pieces):
        assert "".join(kept) == re.sub(pattern, "\0", "".join(pieces))


def test_json_needs_no_escaping():
    text = '{"id": {seq}, "nested": {"on": {connection}, "none": {}, "list": [{}]}}'
    assert json.loads(rendered(text)) == {"id": 7, "nested": {"on": 3, "none": {}, "list": [{}]}}
    assert not Template(text).suspicious
    assert rendered("{{seq}} { seq } {'a': 1} %s {}") == "{7} { seq } {'a': 1} %s {}"


def test_times_of_the_wall_clock_agree():
    ms, seconds, iso = rendered("{now_ms}|{now_s}|{now_iso}").split("|")
    assert abs(int(seconds) - int(ms) / 1000) < 2
    assert abs(datetime.fromisoformat(iso).timestamp() - int(ms) / 1000) < 2
    assert len(seconds + iso) == Template("{now_s}{now_iso}").max_bytes


def test_fields_become_what_they_promise():
    found = [rendered("{uuid}|{now_ms}|{random:8}|{int:-2..2}", seed=seed).split("|") for seed in range(200)]
    ids = [uuid.UUID(one) for one, *_ in found]
    assert len(set(ids)) == 200
    assert {one.version for one in ids} == {4}
    assert {one.variant for one in ids} == {uuid.RFC_4122}
    assert all(abs(int(now) - time.time() * 1000) < 60_000 for _, now, _, _ in found)
    assert all(len(letters) == 8 and set(letters) <= set(ALPHABET) for _, _, letters, _ in found)
    assert {int(number) for *_, number in found} == {-2, -1, 0, 1, 2}


def test_letters_are_fresh_each_time_and_equally_likely():
    values = FieldValues(random.Random(5))
    render = Template("{random:9}").compile(values)
    made = [render(0, 0, ()) for _ in range(20_000)]
    assert len(set(made)) == len(made)
    counts = [sum(text.count(letter) for text in made) for letter in ALPHABET]
    assert max(counts) < 1.1 * 180_000 / 62
    assert min(counts) > 0.9 * 180_000 / 62
    assert [len(Template(f"{{random:{size}}}").render(values)) for size in (1, 8192, 9001, 100_000)] == [
        1,
        8192,
        9001,
        100_000,
    ]


def test_whole_numbers_of_64_bits():
    text = f"{{int:{-(1 << 63)}..{(1 << 63) - 1}}}"
    found = {int(rendered(text, seed=seed)) for seed in range(50)}
    assert len(found) == 50
    assert max(found) > 1 << 60
    assert min(found) < -(1 << 60)
    assert rendered("{int:5..5}") == "5"


def test_columns_of_a_feed():
    row = ('say "hi"\n', "ß", "Ann", "quoted")
    assert rendered("{feed.token}|{feed.größe}|{feed.user name}", row=row) == 'say "hi"\n|ß|Ann'
    assert json.loads(rendered('{"t": {feed.token:json}, "o": {feed.odd:json:json}}', row=row)) == {
        "t": 'say "hi"\n',
        "o": "quoted",
    }
    assert rendered("{feed.odd:json}", row=row) == "quoted"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{random:x}", "{random:x}: write a number of letters"),
        ("{random:0}", "from 1 to"),
        ("{random:99999999}", "from 1 to"),
        ("{random:٣}", "from 1 to"),
        ("{int:9..1}", "write {int:1..9}"),
        ("{int:5}", "for example {int:1..100}"),
        (f"{{int:0..{1 << 64}}}", "more than 64 bits"),
        ("{seq:20}", "digits from 1 to 19, for example {seq:8}"),
        ("{seq:0}", "digits from 1 to 19"),
        ("{seq:x}", "digits from 1 to 19"),
        ("{feed.tokn}", "did you mean {feed.token}?"),
        ("{feed.q}", "it has token, größe"),
    ],
)
def test_what_is_wrong_with_a_field(text, says):
    template = Template("{" + text, COLUMNS)
    assert len(template.problems) == 1
    assert says in template.problems[0]


def test_a_feed_is_needed_for_its_fields():
    assert Template("{feed.x}").problems == ("{feed.x} needs a feed; add --feed FILE",)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("{sequence}", "{seq}"),
        ("{rnd:8}", "{random:8}"),
        ("{random}", "{random:8}"),
        ("{int}", "{int:1..100}"),
        ("{Seq}", "{seq}"),
        ("{token}", "{feed.token}"),
        ("{zzz.zzz}", None),
    ],
)
def test_what_looks_like_a_field_is_reported(text, meant):
    template = Template(f"a{text}{text}", COLUMNS)
    assert [(suspect.written, suspect.meant) for suspect in template.suspicious] == [(text, meant)]
    assert rendered(f"a{text}") == f"a{text}"
    assert str(template.suspicious[0]).startswith(f"{text} is sent as it is")


@pytest.mark.parametrize("text", ["{}", '{"a": 1}', "{a: 1}", "{ seq }", "{1}", "{uuid", "seq}", "{$x}"])
def test_what_does_not_look_like_a_field_is_not(text):
    template = Template(text, COLUMNS)
    assert (template.fields, template.suspicious, template.problems) == ((), (), ())


@given(st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 63) - 1))
def test_the_longest_is_never_passed(number, connection):
    text = "ö{seq}{connection}{uuid}{now_ms}{random:5}{int:-10..9}"
    longest = Template(text).max_bytes
    assert longest == 2 + 19 + 19 + 36 + 13 + 5 + 3
    assert len(rendered(text, number, connection).encode()) <= longest
    assert Template("{feed.token}", COLUMNS).max_bytes is None


class _Nothing(fields.PlainField):
    """A kind of field that no version has: two characters, whatever the message."""

    name = "nothing"
    example = "{nothing}"
    help = "two dashes"

    @property
    def max_bytes(self):
        return 2

    def expression(self, scope):
        return scope.bind("two_dashes", lambda: lambda: "--") + "()"


def test_a_new_kind_of_field_is_one_class_and_its_line_in_the_registry(monkeypatch):
    assert make_plan("ws://a/{nothing}", message="{nothing}").message.fields == ()
    monkeypatch.setattr(fields, "FIELD_KINDS", (*fields.FIELD_KINDS, _Nothing))
    assert rendered("a{nothing}b{seq}") == "a--b7"
    assert Template("a{nothing}").max_bytes == 3
    assert Template("{nothing:5}").problems == ("{nothing:5}: nothing takes nothing behind a colon; write {nothing}",)
    assert Template("{notthing}").suspicious[0].meant == "{nothing}"
    plan = make_plan("ws://a/{nothing}", message="a{nothing}")
    assert (plan.message.fields, plan.message.max_bytes) == (("nothing",), 3)
    with pytest.raises(PlanError, match="nothing takes nothing"):
        make_plan("ws://a/", message="{nothing:5}")
    generator = MessageGenerator(plan.message, Shard(0, 1))
    assert generator.payloads(0).next() == b"a--"
    generator.close()
    assert fields.describe_fields()[-1] == ("{nothing}", "two dashes")


def test_every_kind_of_field_is_described_by_an_example_that_is_a_field():
    described = fields.describe_fields()
    assert [example for example, _ in described] == [kind.example for kind in fields.FIELD_KINDS]
    for example, words in described:
        assert words
        assert len(Template(example, ("COLUMN",)).fields) == 1
        assert fields.FIELD.fullmatch(example), f"{example} would be redacted, or refused in a URL"


def test_only_a_field_is_no_secret():
    for text in ("{sekrit}", "{seqs}", "{seq:x}", "{random:abc}", "{random}", "{int:1}", "{feed}", "{ seq }"):
        assert fields.FIELD.search(text) is None
    assert fields.FIELD.findall("{seq}{feed.a b:json}{int:-5..+7}{random:12}x{") == [
        "{seq}",
        "{feed.a b:json}",
        "{int:-5..+7}",
        "{random:12}",
    ]
