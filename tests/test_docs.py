"""The documentation: its links lead somewhere, its options exist, its words are today's, its lists are complete."""

import contextlib
import importlib.util
import io
import itertools
import re
import shlex
from functools import cache
from pathlib import Path

import msgspec
import pytest

from ws_load_test.analysis.findings import FindingKind
from ws_load_test.analysis.summary_types import Summary
from ws_load_test.cli import main
from ws_load_test.cli.arguments import app
from ws_load_test.cli.cluster import pop_cluster_options
from ws_load_test.cli.output import pop_output_options
from ws_load_test.common.faults import FaultKind, HostErrorKind
from ws_load_test.experiments.capacity.search_options import read_spec
from ws_load_test.plan.thresholds import DENOMINATORS, RATES, SIZES, TIME_METRICS

ROOT = Path(__file__).parents[1]
DOCS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "conformance/**/*.md", "benchmarks/**/*.md")
    for path in ROOT.glob(pattern)
)
USER_DOCS = [page for page in DOCS if page.name not in {"CHANGELOG.md", "design.md", "cli.md"}]
"""All but the changelog, which names what was, the design, which names code, and the generated list of options."""

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*?$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_CODE = re.compile(r"```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")

OTHER_COMMANDS = ("echo", "demo", "cluster", "report", "compare", "ab", "capacity", "import", "schema")
FOREIGN_OPTIONS = {
    # Of dask, openssl, kubectl, docker, aws, pip, of the programs of this repository, and of programs compared with.
    "dask": {"--protocol", "--tls-ca-file", "--tls-cert", "--tls-key", "--no-nanny", "--nthreads", "--worker-port"},
    "dask, too": {"--scheduler-file", "--dashboard-address", "--no-dashboard", "--name"},
    "docker": {"--network", "--rm", "--cpus", "--ulimit", "--user"},
    "others": {"--from-file", "--no-cache-dir", "--create-home", "--group-id", "--port", "--source-group"},
    "benchmarks": {
        option
        for program in (ROOT / "benchmarks").rglob("*.py")
        for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', program.read_text(encoding="utf-8"))
    },
    "tools compared with": {
        "--vus",
        "--iterations",
        "--count",
        "--summary-export",
        "--out",
        "--headless",
        "--latency",
        "--basic-auth",
        "--amount",
        "--concurrent",
        "--buffer",
    },
    "conformance": {"--quick", "--cases", "--output", "--optional"},
}
OLD_OPTIONS = (
    "--dry-run", "--abort-after", "--strict-protocol", "--longest-step", "--address", "--keepalive", "--answer",
    "--deaf", "--mute", "--slow", "--storm", "--verbosity", "--strict", "--step", "--rest", "--round", "--gateway",
)  # fmt: skip
OLD_WORDS = (
    "Plan.of", "mismatched", "reopened", "renewed", "called_off", "called off", "plain_sent", "plain_received",
    "abort_after", "reopen_time_ns", "reopen.p99", "unkind", "Dialler", "answered_in_time", "generator.bound",
    "storm.dropped", "generator_bound_at", "faults.mismatch", "measuring.md", "watching.md", "verdict.md",
    "comparing.md", "distributed.md",
)  # fmt: skip


@cache
def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    seen: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text_of(page))):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        again = seen.get(slug, 0)
        seen[slug] = again + 1
        found.add(f"{slug}-{again}" if again else slug)
    return frozenset(found)


@cache
def known_options() -> frozenset[str]:
    """Every option that a help page names."""
    pages = io.StringIO()
    with contextlib.redirect_stdout(pages):
        for command in ("", "demo", "echo", "cluster", "report", "compare", "ab", "capacity", "import"):
            main([*command.split(), "--help"])
    return frozenset(_OPTION.findall(pages.getvalue()))


@pytest.mark.parametrize("page", DOCS, ids=str)
def test_every_link_leads_somewhere(page):
    broken = []
    for target in _LINK.findall(_FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (ROOT / page.parent / path).resolve() if path else ROOT / page
        is_page = to.suffix == ".md" and to.exists()
        if not to.exists() or (anchor and is_page and anchor not in anchors(to.relative_to(ROOT))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", USER_DOCS, ids=str)
def test_every_option_exists(page):
    foreign = frozenset().union(*FOREIGN_OPTIONS.values())
    code = [*_CODE.findall(text_of(page)), *_SPAN.findall(_FENCE.sub("", text_of(page)))]
    unknown = {
        option
        for part in code
        for option in _OPTION.findall(part)
        if option not in known_options() and option not in foreign
    }
    assert unknown == set()


@pytest.mark.parametrize("page", USER_DOCS, ids=str)
def test_no_name_is_of_yesterday(page):
    text = text_of(page)
    options = {option for option in OLD_OPTIONS if re.search(rf"(?<![\w-]){option}(?![\w-])", text)}
    words = {word for word in OLD_WORDS if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)}
    assert options | words == set()


def commands(page: Path) -> list[str]:
    """Returns the command lines of runs that a page shows; recipes are run by tests of their own."""
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^ws-load-test .*$", shell.replace("\\\n", " "), re.MULTILINE)
    return [line for line in lines if page.name != "recipes.md" and line.split()[1] not in OTHER_COMMANDS]


def other_commands(page: Path) -> list[str]:
    """Returns the command lines of other commands than runs."""
    shell = "\n".join(re.findall(r"^```sh\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE))
    lines = re.findall(r"^ws-load-test .*$", shell.replace("\\\n", " "), re.MULTILINE)
    return [line for line in lines if line.split()[1] in OTHER_COMMANDS]


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in DOCS for line in commands(page)])
def test_every_command_is_understood(page, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("users.csv").write_text("name,token\nann,abcd\n")
    Path("token.txt").write_text("abcd")
    Path("echo.msgpack").write_bytes(b"\x82\xa2id\xa8{seq:8}\xa2op\xa4echo")
    plan = re.search(r"^```toml\n(.*?)^```", text_of(page), re.DOTALL | re.MULTILINE)
    for name in ("load.toml", "scenario.toml"):
        Path(name).write_text(plan[1] if plan else "")
    for variable in re.findall(r"\{env\.(\w+)\}", plan[1] if plan else ""):
        monkeypatch.setenv(variable, "secret")
    for name in ("ca.pem", "cert.pem", "key.pem"):
        Path(name).touch()
    words = shlex.split(line.replace("$GITHUB_STEP_SUMMARY", "summary.md"), comments=True)[1:]
    code = main([*(word for word in words if word not in {"--probe", "--explain", "&"}), "--explain"])
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in DOCS for line in other_commands(page)])
def test_every_other_command_is_understood(page, line):
    words = shlex.split(line.replace("$GITHUB_STEP_SUMMARY", "summary.md"), comments=True)[1:]
    words = list(itertools.takewhile(lambda word: word not in {"&", "|", ";", "<", ">", "&&"}, words))
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command.__name__.strip("_").replace("_", "-") == words[0], "not the page's command"
    options = bound.arguments.get("options")
    given = {} if options is None else options.given()
    if words[0] == "capacity":
        assert pop_output_options(given, "capacity")[1] == []
        pop_cluster_options(given)
        read_spec({"url": bound.arguments["url"], **given})


def test_a_broken_link_an_unknown_option_and_an_old_one_are_noticed(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("# A b\n[x](#a-b) [y](#c) [z](no.md)\n`--no-such-option`, `--storm 5%@1s`\n")
    monkeypatch.setattr("test_docs.ROOT", tmp_path)
    page = Path("page.md")
    for check, named in (
        (test_every_link_leads_somewhere, "no.md"),
        (test_every_option_exists, "--no-such-option"),
        (test_no_name_is_of_yesterday, "--storm"),
    ):
        with pytest.raises(AssertionError, match=named):
            check(page)


def test_every_page_of_the_documentation_is_reachable_from_the_readme():
    seen, waiting = set(), [Path("README.md")]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for target in _LINK.findall(text_of(page)):
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", target):
                waiting.append(((ROOT / page.parent / path).resolve()).relative_to(ROOT))
    # The first page of the site, which is for those who do not come from the README.
    assert {page for page in DOCS if page.parts[0] == "docs"} - {Path("docs/index.md")} <= seen


def test_the_site_has_every_page():
    listed = re.findall(r"^(?:reference/|guides/)?[a-z-]+$", text_of(Path("docs/index.md")), re.MULTILINE)
    assert {Path("docs", f"{name}.md") for name in listed} == {
        page for page in DOCS if page.parts[0] == "docs" and page.name != "index.md"
    }


def test_troubleshooting_has_every_finding_and_every_fault():
    text = text_of(Path("docs/troubleshooting.md"))
    assert set(re.findall(r"<!-- finding: ([\w-]+) -->", text)) == {str(kind) for kind in FindingKind}
    named = {span.partition(":")[0] for span in _SPAN.findall(text)}
    assert {str(kind) for kind in (*FaultKind, *HostErrorKind)} <= named


@pytest.mark.parametrize("page", ["conditions", "summary", "scenario-keys"])
def test_pages_of_reference_are_those_of_their_sources(page):
    spec = importlib.util.spec_from_file_location("reference_docs", ROOT / "tools" / "reference_docs.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert text_of(Path(f"docs/reference/{page}.md")) == getattr(tool, page.replace("-", "_"))(), (
        "run: python tools/reference_docs.py"
    )
    assert tool.SCHEMA_FILE.read_text(encoding="utf-8") == tool.schema_file(), "run: python tools/reference_docs.py"


def test_every_metric_of_conditions_is_explained():
    named = set(_SPAN.findall(text_of(Path("docs/reference/conditions.md"))))
    assert {*TIME_METRICS, *DENOMINATORS, *RATES, *SIZES} <= named


def test_every_page_that_the_program_names_exists():
    named = {
        name
        for path in (*(ROOT / "src").rglob("*.py"), *(ROOT / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py"))
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_summary_page_has_every_key():
    named = {
        part for span in _SPAN.findall(text_of(Path("docs/reference/summary.md"))) for part in (span, *span.split("."))
    }
    objects = msgspec.json.schema(Summary)["$defs"].values()
    keys = {key for one in objects for key in one.get("properties", {})}
    assert {"schema", "p99.9", "close_reasons", "clock_ahead_ns", "failed_intervals"} <= keys
    assert keys - named == set()


def test_the_design_names_modules_and_classes_that_exist():
    spans = _SPAN.findall(text_of(Path("docs/design.md")))
    source = ROOT / "src" / "ws_load_test"
    paths = {span for span in spans if re.fullmatch(r"[\w/.]+(\.py|/)", span)}
    assert {path for path in paths if not (source / path).exists() and not (ROOT / path).exists()} == set()
    code = "\n".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    names = {part for span in spans if re.fullmatch(r"[A-Za-z_]\w*(\.\w+)?", span) for part in span.split(".")}
    assert {name for name in names if not re.search(rf"\b{name}\b", code)} == set()
