"""Damaged and hostile variants of recordings, by chance: values, lines, bytes, and histograms that swell."""

import base64
import contextlib
import json
import zlib

EVIL_VALUES = (
    *(None, True, False, 0, -1, 1, 2, 5, 0.5, -0.5, 1e-300, 1e300, 1e7, 2**31, 2**53, 2**53 + 1, 2**60, 2**62, 2**63),
    *(
        2**64,
        10**30,
        -(2**63),
        "",
        " ",
        "x",
        "1",
        "nan",
        "99999",
        "1e999",
        "\x1b[31m",
        "\n",
        "\0",
        "é" * 40,
        "a" * 5000,
    ),
    *("{}", "<b>|*_`", "\U0001f4a5", "p99 > 1ms", "rate<1e999999k", "any errors > 1%", "2026-03-01", "HISTFAAAAA"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", [], [1], [[]], ["x"], [None], [0, 0], [-1, 2**62], {}),
    *({"a": 1}, {"slow_reader": 1e7}, {"kind": "warp"}, {"kind": "open", "rate": {"stages": []}}, [[[[[[]]]]]]),
    *({"share": 2, "at_ns": [1]}, {"hdr": "", "min": 0, "max": 0, "sum": 0}),
)
"""Values that stand in the place of any other."""
EVIL_LINES = (b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\xfe\n", b"[" * 5000 + b"\n")
EVIL_STARTS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\x1f\x8b\x08\0")


def histogram_bomb(size_bytes):
    """An encoded histogram that decompresses to so many bytes."""
    head = (0x1C849303 | 0x10).to_bytes(4) + size_bytes.to_bytes(4) + bytes(4) + (3).to_bytes(4)
    head += (1).to_bytes(8) + (2**63 - 1).to_bytes(8) + bytes(8)
    packer = zlib.compressobj(9)
    packed = packer.compress(head)
    for _ in range(size_bytes >> 20):
        packed += packer.compress(b"\x02" * (1 << 20))
    packed += packer.compress(b"\x02" * (size_bytes & 0xFFFFF)) + packer.flush()
    return base64.b64encode((0x1C849304 | 0x10).to_bytes(4) + len(packed).to_bytes(4) + packed).decode()


def places(value, path=()):
    """Yields the paths to all values within a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutate_value(random, value):
    """Returns a JSON value of which one place is another."""
    value = json.loads(json.dumps(value))
    all_places = list(places(value))
    if not all_places:
        return random.choice(EVIL_VALUES)
    *way, last = random.choice(all_places)
    holder = value
    for key in way:
        holder = holder[key]
    new = _variant(random, holder[last])
    act = random.randrange(8)
    if act == 0:
        del holder[last]
    elif act == 1 and isinstance(holder, dict):
        holder[random.choice(["x", "misbehaving", "hosts", "tally", "kind", "load", "format", "\x1b"])] = new
    else:
        holder[last] = new
    return value


def _variant(random, old):
    if random.random() < 0.5:
        return random.choice(EVIL_VALUES)
    if isinstance(old, (int, float)):
        return random.choice([-old, old * 2**40, old + 2**61, old * 1000, -old - 1, str(old), old * 1.5])
    if isinstance(old, str):
        return random.choice([old[1:], old * 50, old.swapcase(), old + "\n", old[: len(old) // 2]])
    return random.choice([old * 3, old[::-1], [old], old[:1]]) if isinstance(old, list) else [old]


def mutate_recording(random, data, bomb):
    """Returns a recording's bytes with one to three faults."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        lines = data.splitlines(keepends=True)
        if not lines:
            break
        mutate = random.choice([_bytes, _order, _line, _value, _value, _value, _value, _value, _value, _histogram])
        data = b"".join(mutate(random, lines, bomb))
    return data


def _bytes(random, lines, _):
    data = b"".join(lines)
    place = random.randrange(len(data))
    return [data[:place], *random.choice([(), (random.randbytes(1), data[place + 1 :]), (b"\0" * 4, data[place:])])]


def _order(random, lines, _):
    place, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[place], lines[other] = lines[other], lines[place]
    return random.choice([lines, lines[:1] + lines[:0:-1], lines + lines[place:], lines[:place] + lines[other:]])


def _line(random, lines, _):
    place = random.randrange(len(lines))
    lines[place] = random.choice([*EVIL_LINES, lines[place] * 2, b"", *(start + lines[place] for start in EVIL_STARTS)])
    return lines


def _value(random, lines, _):
    return _changed(random, lines, lambda value: mutate_value(random, value))


def _histogram(random, lines, bomb):
    def swell(value):
        found = [path for path in places(value) if path[-1] == "hdr"]
        if found:
            *way, last = random.choice(found)
            holder = value
            for key in way:
                holder = holder[key]
            holder[last] = bomb
        return value

    return _changed(random, lines, swell)


def _changed(random, lines, change):
    place = random.randrange(len(lines))
    with contextlib.suppress(ValueError, RecursionError):
        lines[place] = json.dumps(change(json.loads(lines[place]))).encode() + b"\n"
    return lines
