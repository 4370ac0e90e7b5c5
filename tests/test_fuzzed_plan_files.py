"""Damaged plan files: each is a plan, or is refused in a sentence for each of its problems.

Run as a program it goes on: ``python tests/test_fuzzed_plan_files.py 10000 [SEED]``.
"""

import contextlib
import io
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from ws_load_test.cli.run import run
from ws_load_test.common.errors import ExitCode, UsageError

MUTANTS = 120
LINES = """
url = "ws://127.0.0.1:3001/chat?room=7"
connections = 10
rate = "2k/s"
duration = "1m30s"
warmup = 2.5
timeout = "3s"
connect-timeout = 4
ramp = "500ms"
workers = 2
max-in-flight = 3
arrivals = "poisson"
seed = 7
ping-interval = "20s"
message = ["a", "b{seq}"]
weights = [3, 1]
header = ["A: b", "C: {seq}"]
cookie = "sid=1"
subprotocol = ["v1", "v2"]
first-message = '{"login": 1}'
match = "json:id"
expect = ["contains:ok", "json:a.b=1"]
ignore = "regex:^x"
auto-reply = 'contains:ping=>pong'
skip-first = 1
reconnect = "exponential:100ms..30s"
lifetime = "10s"
disconnect = "30%@10s"
slow-readers = "5%:1kB/s"
stalled-readers = 0.05
no-pong-clients = "1%"
fail-if = ["p99 > 50ms", "errors > 0.1%"]
abort-if = "any errors > 5%"
abort-grace = "1s"
deflate = "client_max_window_bits=10"
bind = "127.0.0.1"
connect-to = ["127.0.0.1:9", "[::1]:9"]
follow-redirects = true
metrics-port = 0
log-level = "debug"
output = "run.jsonl"
stages = "30s:1000,2m@5000"
connection-stages = ["10s:50", "5s:20"]
size = "100..1000"
proxy = "http://127.0.0.1:8080"
""".strip().splitlines()
EVIL = (
    *("0", "-1", "1", "1.5", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "0x10", "0b1", "1_0", "true", "[]"),
    *(
        '""',
        '" "',
        '"nan"',
        '"1e999999k"',
        '"1,5"',
        '"-1s"',
        '"' + "9" * 400 + '"',
        '"\\u0000"',
        '"\\u001b[31m"',
        '"é"',
    ),
    *("[[]]", "[1]", '[""]', "[true]", "{}", "{a = 1}", "[{a = [1]}]", "1979-05-27", "07:32:00", '"""a\nb"""', "false"),
    *('"@"', '"@/"', '"@\\u0000"', '"{feed.x}"', '"{"', '"ws://"', '"regex:("', '"json:"', '"100..1"', '"1h:1e12"'),
    *('"30%@"', '"0%"', '"101%"', '"=>"', '"a: b\\r\\nc: d"', '"::"', '"[::1"', "[" * 300, '"' + "a," * 5000 + '"'),
)
"""Values in TOML that stand in the place of any other."""


def mutate(chance):
    """Returns the bytes of a plan file, of some lines with up to three faults."""
    lines = chance.sample(LINES, chance.randrange(1, 9)) + LINES[:1]
    for _ in range(chance.choice([1, 1, 2, 3])):
        place = chance.randrange(len(lines))
        name = lines[place].partition(" = ")[0]
        lines[place] = chance.choice(
            [f"{name} = {chance.choice(EVIL)}"] * 8
            + [lines[place] * 2, f"[{name}]", f"{name}.x = 1", f"{name}x = 1", lines[place][:-1], "\0", "a = " * 9]
        )
    data = "\n".join(lines).encode()
    if chance.random() < 0.1:
        place = chance.randrange(len(data))
        data = chance.choice(
            [data[:place], data[:place] + chance.randbytes(2) + data[place:], data.decode().encode("utf-16")]
        )
    return data


def complaint_about(code, told, seconds):
    """Returns what is wrong with the end of a command; empty where nothing is."""
    if code not in {ExitCode.PASSED, ExitCode.USAGE} or "Traceback" in told:
        return f"exit code {code}"
    problems = told.splitlines()
    if code == ExitCode.USAGE and not problems:
        return "no sentence"
    if any(len(problem) > 4200 or not problem.isprintable() for problem in problems):
        return "too long, or not printable"
    return f"takes {seconds:.1f} s" if seconds > 3 else ""


def explained(path):
    """Returns the exit code and the errors of a plan file's plan."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return run(None, {"plan": str(path), "explain": True}), ""
    except UsageError as error:
        return error.exit_code, str(error)
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        return ExitCode.BUG, traceback.format_exc()


def wrong_ones(path, count, seed):
    """Yields the content of each plan file that goes wrong, and what does."""
    chance = random.Random(seed)
    for _ in range(count):
        data = mutate(chance)
        path.write_bytes(data)
        started = time.process_time()
        code, told = explained(path)
        if complaint := complaint_about(code, told, time.process_time() - started):
            yield data, complaint, told


def test_a_damaged_plan_file_is_a_plan_or_some_sentences(tmp_path):
    assert list(wrong_ones(tmp_path / "plan.toml", MUTANTS, 20260301)) == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        wrong = list(wrong_ones(Path(folder, "plan.toml"), int(sys.argv[1]), int(*sys.argv[2:] or ["0"])))
    for data, complaint, told in wrong:
        sys.stdout.write(f"{complaint}: {data!r:.500}\n{told[-900:]}\n")
    sys.exit(bool(wrong))
