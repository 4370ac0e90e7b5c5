"""Conformance: the Autobahn test suite's fuzzing server against the connections that the engines use.

    python conformance/autobahn.py [--engine native] [--cases "1.*,2.*" | --quick] [--output DIR] [--optional]

The fuzzing server plays the target, rightly and wrongly, case by case; an echo on top of the engine's connection
plays the client. The exit code is 0 only if every case was run and passed, 1 if not, 2 if the suite cannot be had.
A run of all cases that the engine can run (the native one has no permessage-deflate) writes its summary to
conformance/summary.json, or summary_native.json.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import platform
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from suite import FuzzingServer, NoPython27Error, SuiteError, find_python27, install

AGENT = "ws-load-test"
SUMMARIES = {
    name: Path(__file__).with_name(f"summary{of}.json") for name, of in (("portable", ""), ("native", "_native"))
}
"""What keeps the results of each engine."""
GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and performance",
    "10": "auto-fragmentation",
    "12": "permessage-deflate, payloads",
    "13": "permessage-deflate, parameters",
}
HEAVY = {"9", "12", "13"}
"""Groups that keep the processor busy; the others wait for a timer most of their time."""
COMPRESSED = {"12", "13"}
"""Groups that the native engine leaves to the portable one."""
EVERYTHING = {"portable": ["*"], "native": [f"{group}.*" for group in GROUPS if group not in COMPRESSED]}
"""Patterns of the cases that an engine can run."""
HEAVY_JOBS = 2
"""Heavy cases at once on each server: enough to keep it busy."""
_SMALL = (1, 2, 3, 4, 5, 6, 7, 11, 12)
"""Of the 18 sizes in each subgroup of 12 and 13 those of at most 16 KiB a message, fragmented and not."""
QUICK = [
    *(f"{group}.*" for group in GROUPS if group not in {"12", "13"}),
    "12.1.*",
    *(f"12.{payload}.{size}" for payload in range(2, 6) for size in _SMALL),
    *(f"13.{parameters}.{size}" for parameters in range(1, 8) for size in _SMALL),
]
"""All but the large messages of permessage-deflate, of which one subgroup is left: a third of the time."""
CASE_TIMEOUT_S = 500
"""After it a case has failed, whatever the suite would still wait for (the longest time-out but for 9.5 and 9.6)."""
INDEX_TIMEOUT_S = 10
OFFERS = {
    "12": "client_max_window_bits",
    "13.1": "client_max_window_bits",
    "13.2": "client_max_window_bits; server_no_context_takeover",
    "13.3": "client_max_window_bits; server_max_window_bits=9",
    "13.4": "client_max_window_bits; server_max_window_bits=15",
    "13.5": "client_max_window_bits; server_no_context_takeover; server_max_window_bits=9",
    "13.6": "client_max_window_bits; server_no_context_takeover; server_max_window_bits=15",
    "13.7": "client_max_window_bits; client_no_context_takeover; server_no_context_takeover; server_max_window_bits=9",
}
"""What is offered, by group or subgroup: in 13.* it asks for what the suite's own client asks for."""
PASSED, INFORMATIONAL, NON_STRICT, FAILED = "passed", "informational", "non-strict", "failed"
KINDS = (PASSED, INFORMATIONAL, NON_STRICT, FAILED)
"""From good to bad."""
_OUTCOMES = {"OK": PASSED, "NON-STRICT": NON_STRICT, "INFORMATIONAL": INFORMATIONAL}

Talk = Callable[[str, str | None, bool], Coroutine[Any, Any, bytes]]
"""Opens a session with a URL, with these permessage-deflate parameters offered, echoes if told so, until the session's
end, and returns the first message that came."""


@dataclass(frozen=True)
class Outcome:
    """How one case ended."""

    case: str
    outcome: str
    """`PASSED`, `NON_STRICT`, `INFORMATIONAL` or `FAILED`: the worse of behaviour and closing."""
    said: str
    """What was expected and what happened, in the suite's words; empty for a case that passed."""

    @property
    def group(self) -> str:
        """The first number of the case."""
        return group_of(self.case)


def group_of(case: str) -> str:
    """The first number of a case."""
    return case.partition(".")[0]


def offer_for(case: str) -> str | None:
    """The permessage-deflate parameters to offer; None: the extension is not offered."""
    group, _, rest = case.partition(".")
    return OFFERS.get(f"{group}.{rest.partition('.')[0]}", OFFERS.get(group))


def size_rank(case: str) -> int:
    """Larger for larger messages, of the cases that send many: 12.* and 13.*."""
    group, *_, last = case.split(".")
    if group not in {"12", "13"}:
        return 0
    # Ten sizes unfragmented, then five of them once more in fragments, then the largest in three other fragmentations.
    return int(last) if int(last) <= 10 else min(int(last) - 5, 10)


async def run_cases(servers: Sequence[FuzzingServer], talk: Talk, jobs: int) -> list[str]:
    """Runs every case on one of the servers; returns a sentence for each that broke on our side."""
    cases = servers[0].cases
    count = int(await talk(f"{servers[0].url}/getCaseCount", None, False))
    if count != len(cases):
        raise SuiteError(f"the fuzzing server lists {len(cases)} cases and counts {count}")
    broken: list[str] = []

    async def run_case(server: FuzzingServer, case: str) -> None:
        url = f"{server.url}/runCase?casetuple={case}&agent={AGENT}"
        server.ran.append(case)
        try:
            async with asyncio.timeout(CASE_TIMEOUT_S):
                await talk(url, offer_for(case), True)
        except TimeoutError:
            broken.append(f"{case}: the session did not end within {CASE_TIMEOUT_S} s")
        except Exception as error:  # noqa: BLE001 - whatever breaks one case must not hide the results of the others
            broken.append(f"{case}: {type(error).__name__}: {error}")
        if sys.stderr.isatty():
            done = sum(len(each.ran) for each in servers)
            print(f"\r{done}/{count} ", end="\r" if done == count else "", file=sys.stderr, flush=True)

    async def work(server: FuzzingServer, waiting: deque[str]) -> None:
        while waiting:
            await run_case(server, waiting.popleft())

    # The light cases first and by themselves, because some tell how soon a breach is noticed, in half a second; of the
    # heavy ones those with small messages, which would run into their time-outs beside large ones.
    for heavy, at_once in ((False, jobs), (True, min(jobs, HEAVY_JOBS * len(servers)))):
        waiting = deque(sorted((case for case in cases if (group_of(case) in HEAVY) == heavy), key=size_rank))
        async with asyncio.TaskGroup() as group:
            for job in range(at_once):
                group.create_task(work(servers[job % len(servers)], waiting))
    return broken


async def gather_reports(server: FuzzingServer, talk: Talk) -> dict[str, Any]:
    """Has a server write its reports until they hold every case that it ran, or for some seconds; returns the index."""
    until_s = time.monotonic() + INDEX_TIMEOUT_S
    while True:
        await talk(f"{server.url}/updateReports?agent={AGENT}", None, False)
        index: dict[str, Any] = json.loads((server.output / "index.json").read_text()).get(AGENT, {})
        if index.keys() >= set(server.ran) or time.monotonic() > until_s:
            return index
        # The server may not have seen the end of the last sessions yet.
        await asyncio.sleep(0.2)


def judge(case: str, entry: dict[str, Any] | None, output: Path) -> Outcome:
    """What a case's entry in the index of the reports in `output` comes to."""
    if entry is None:
        return Outcome(case, FAILED, "the suite has no result: the case did not open, or did not end")
    results = [_OUTCOMES.get(entry[name], FAILED) for name in ("behavior", "behaviorClose")]
    outcome = max(results, key=KINDS.index)
    if outcome == PASSED:
        return Outcome(case, outcome, "")
    details = json.loads((output / entry["reportfile"]).read_text())
    parts = {"sent": "description", "expected": "expectation", "happened": "result", "closing": "resultClose"}
    said = "\n".join(f"  {label + ':':<10}{_plain(details[name])}" for label, name in parts.items())
    return Outcome(case, outcome, f"{entry['behavior']}, closing {entry['behaviorClose']}\n{said}")


def _plain(text: str) -> str:
    return " ".join(text.replace("<br>", " ").replace("<b>", "").replace("</b>", "").split())


def count_groups(outcomes: list[Outcome]) -> dict[str, Counter[str]]:
    """How many cases ended how, by group."""
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        groups[outcome.group][outcome.outcome] += 1
    return dict(sorted(groups.items(), key=lambda item: int(item[0])))


def show(outcomes: list[Outcome], broken: list[str]) -> None:
    """Prints the table, and all that did not simply pass."""
    print(f"{'group':<36}" + "".join(f"{kind:>15}" for kind in KINDS))
    groups = count_groups(outcomes)
    for group, counts in groups.items():
        name = f"{group} {GROUPS.get(group, '')}".strip()
        print(f"{name:<36}" + "".join(f"{counts[kind]:>15}" for kind in KINDS))
    print(f"{'all':<36}" + "".join(f"{sum(counts[kind] for counts in groups.values()):>15}" for kind in KINDS))
    for kind in KINDS[1:]:
        for outcome in outcomes:
            if outcome.outcome == kind:
                print(f"\n{kind} {outcome.case}: {outcome.said}")
    for sentence in broken:
        print(f"\nbroke on our side: {sentence}")


def summarise(outcomes: list[Outcome], broken: list[str], took_s: float, engine: str) -> dict[str, Any]:
    """What is kept of a run of all cases."""
    import ws_load_test  # noqa: PLC0415 - the runner is of use with another client, too

    groups = count_groups(outcomes)
    return {
        "suite": "autobahntestsuite 0.8.2",
        "agent": f"{AGENT} {ws_load_test.__version__}",
        "engine": engine,
        "python": platform.python_version(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "took_s": round(took_s),
        "cases": len(outcomes),
        "groups": {
            group: {"name": GROUPS.get(group, ""), **{kind: counts[kind] for kind in KINDS}}
            for group, counts in groups.items()
        },
        "not_simply_passed": {outcome.case: outcome.outcome for outcome in outcomes if outcome.outcome != PASSED},
        "broken": broken,
    }


def run(arguments: argparse.Namespace, talk: Talk, run_loop: Callable[[Coroutine[Any, Any, Any]], Any]) -> int:
    """Runs what the arguments ask for; returns the exit code."""
    python27 = find_python27()
    packages = install(python27)
    everything_of_it = EVERYTHING[arguments.engine]
    patterns = QUICK if arguments.quick and arguments.engine == "portable" else everything_of_it
    if arguments.cases:
        patterns = [pattern.strip() for pattern in arguments.cases.split(",")]
    from_s = time.monotonic()
    with ExitStack() as stack:
        servers = [
            stack.enter_context(FuzzingServer(python27, packages, patterns, arguments.output / f"server-{number}"))
            for number in range(1, arguments.servers + 1)
        ]

        async def everything() -> tuple[list[str], list[Outcome]]:
            broken = await run_cases(servers, talk, arguments.jobs)
            outcomes: list[Outcome] = []
            for server in servers:
                index = await gather_reports(server, talk)
                outcomes += [judge(case, index.get(case), server.output) for case in server.ran]
            return broken, sorted(outcomes, key=lambda outcome: [int(part) for part in outcome.case.split(".")])

        broken, outcomes = run_loop(everything())
    took_s = time.monotonic() - from_s
    show(outcomes, broken)
    print(f"\n{len(outcomes)} cases in {took_s:.0f} s; the suite's own reports: {arguments.output}/server-*/index.html")
    if patterns == QUICK:
        print("quick: permessage-deflate's messages of more than 16 KiB were left out, but for the cases 12.1.*")
    if patterns == everything_of_it and not arguments.quick:
        arguments.summary.write_text(json.dumps(summarise(outcomes, broken, took_s, arguments.engine), indent=2) + "\n")
        wanted = GROUPS.keys() - (COMPRESSED if arguments.engine == "native" else set())
        missing = wanted - {outcome.group for outcome in outcomes}
        if missing:
            raise SuiteError(f"the suite ran no case of the groups {', '.join(sorted(missing))}")
    return int(not outcomes or bool(broken) or any(outcome.outcome == FAILED for outcome in outcomes))


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--cases", help='patterns as the suite knows them: "1.*,9.7.1" (default: all)')
    which.add_argument("--quick", action="store_true", help="leave out most of the compressed messages over 16 KiB")
    parser.add_argument("--engine", choices=EVERYTHING, default="portable", help="one of ours (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="for the suite's reports (default: a new temporary directory)")
    parser.add_argument("--jobs", type=int, default=8, help="cases at once (default: %(default)s)")
    parser.add_argument("--servers", type=int, default=2, help="fuzzing servers, one core each (default: %(default)s)")
    parser.add_argument("--summary", type=Path, help="written after a run of all cases")
    parser.add_argument("--optional", action="store_true", help="succeed, saying so, where there is no CPython 2.7")
    arguments = parser.parse_args()
    arguments.summary = arguments.summary or SUMMARIES[arguments.engine]
    arguments.output = (arguments.output or Path(tempfile.mkdtemp(prefix="autobahn."))).resolve()
    return arguments


def main(talk: Talk | None = None, run_loop: Callable[[Coroutine[Any, Any, Any]], Any] | None = None) -> int:
    """Runs the suite; another client than ours may be given, to test the runner."""
    arguments = read_arguments()
    if talk is None or run_loop is None:
        # Only now, because a broken engine must not keep the runner from being tested with another client.
        adapter = import_module("native_adapter" if arguments.engine == "native" else "adapter")
        talk, run_loop = adapter.talk, adapter.run
    try:
        return run(arguments, talk, run_loop)
    except NoPython27Error as error:
        print(f"conformance: NOT RUN: {error}")
        return 0 if arguments.optional else 2
    except SuiteError as error:
        print(f"conformance: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
