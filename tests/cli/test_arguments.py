"""What may stand on a command line, and what the program says to what may not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ws_load_test import PlanError, __version__, make_plan
from ws_load_test.cli import help_topics, main
from ws_load_test.cli.command_pages import COMMANDS
from ws_load_test.cli.help_pages import PAGES
from ws_load_test.cli.render_help import help_pages, reference
from ws_load_test.common.errors import ExitCode
from ws_load_test.common.version import PROGRAM
from ws_load_test.messages.fields import FIELD_KINDS
from ws_load_test.metrics.catalog import CONDITION_METRICS
from ws_load_test.plan import other_tools
from ws_load_test.plan.options.catalog import FORMER_NAMES, OPTIONS
from ws_load_test.plan.options.spec import Owner
from ws_load_test.plan.thresholds import parse_condition

URL = "ws://h:1/"


@pytest.fixture
def planned(monkeypatch):
    plans = []

    def take(plan, ours):
        plans.append((plan, dict(ours)))
        return 0

    monkeypatch.setattr("ws_load_test.cli.run._run", take)

    def plan_of(*arguments):
        assert main(arguments) == 0
        return plans.pop()

    return plan_of


def test_command_lines_of_the_original_work_unchanged(planned):
    plan, ours = planned("-c", "3", "-g", "ws://echo.example")
    assert (plan.connections, plan.target.url, ours) == (3, "ws://echo.example", {})
    plan, ours = planned("--url", "ws://localhost:3001", "-c", "1000", "-v", "info")
    assert (plan.connections, plan.target.url, ours) == (1000, "ws://localhost:3001", {"log_level": "info"})


@pytest.mark.parametrize(
    "words", [[URL], ["-u", URL], ["--url", URL], ["-g", URL], ["--gateway", URL], ["--url=" + URL]]
)
def test_a_url_may_stand_alone_or_behind_its_option(words, planned):
    assert planned(*words)[0].target.url == URL
    assert planned("-c", "2", *words, "--binary")[0].target.url == URL


def test_values_may_look_like_options(planned):
    assert planned(URL, "-m", "-x")[0].message.payload == b"-x"
    assert planned(URL, "-m", "--binary")[0].message.payload == b"--binary"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([URL, "--conections", "3"], "Did you mean --connections?"),
        ([URL, "--in-fligth", "3"], "Did you mean --in-flight?"),
        ([URL, "--dry-runn"], "Did you mean --probe?"),
        ([URL, "--gatewayy", URL], "Did you mean --url?"),
        ([URL, "-c"], "-c requires an argument"),
        ([URL, "other"], "without ws://"),
        ([URL, "-v", "loud"], '--log-level: "loud" is not one of debug, info, warn, error'),
        ([URL, "--json=perhaps"], "json"),
        (["echo", "--port", "many"], "port"),
        (["echo", "--prot", "1"], "Did you mean --port?"),
        (["report"], "no recording named"),
        (["report", "/nowhere.jsonl"], "/nowhere.jsonl"),
        (["demo", "--url", URL], "--url"),
        (["repotr"], "did you mean report?"),
        ([URL, "-c", "0"], "--connections: 0 is too few"),
        ([URL, "--plan", "/nowhere.toml"], '--plan: cannot read "/nowhere.toml"'),
    ],
    ids=str,
)
def test_wrong_usage_is_one_sentence_and_code_2(arguments, words, capsys):
    assert main(arguments) == ExitCode.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"{PROGRAM}: ")
    assert told.err.count("\n") == 1
    assert words in told.err


def test_many_problems_stand_on_a_line_each(capsys):
    assert main(["http://x", "-c", "0", "-d", "zero"]) == ExitCode.USAGE
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"{PROGRAM}: the plan has 3 problems:"
    assert {line.split(":")[0] for line in rest} == {"  URL", "  --connections", "  --duration"}


def test_a_message_that_is_not_text_is_the_users_mistake(program):
    done = program(URL, "-m", b"\xff".decode(errors="surrogateescape"))
    assert done.returncode == ExitCode.USAGE
    assert "--message: is not UTF-8" in done.stderr


# --- help ---


def options_on(page):
    return set(
        re.findall(
            r"(?<![\w-])(--?[a-z][a-z-]*)", "\n".join(line for line in page.splitlines() if line.startswith("  "))
        )
    )


def options_of(command):
    from ws_load_test.cli.arguments import app

    found = set()
    for argument in app[command].assemble_argument_collection() if command else app.assemble_argument_collection():
        names = {name for name in argument.names if name.startswith("-")}
        # Every flag has a --no- form, which turns off what a plan file turned on.
        found |= {name for name in names if f"--{name.removeprefix('--no-')}" not in names - {name}}
    return found


def test_every_option_stands_on_the_help_page_and_the_other_way_round():
    known = options_of("")
    page = PAGES[""].partition("\nExamples")[0]
    listed = set(re.findall(r"(?<=[ ,])(--?[a-z][a-z0-9-]*|-[A-Z])(?=[ ,]|$)", page, re.MULTILINE))
    undone = {"--no-binary", "--no-ping", "--no-live"}
    assert {f"--{name.removeprefix('--no-')}" for name in undone} <= known
    listed -= undone
    assert known - listed == set(), "on the parser, not on the page"
    assert listed - known == {"-h", "--help", "--version", "--install-completion"}, "on the page, not on the parser"


@pytest.mark.parametrize("command", ["echo", "report", "compare"])
def test_the_pages_of_commands_list_their_options(command):
    page = PAGES[command].partition("\nExamples")[0]
    assert options_of(command) == options_on(page) - {"--cacert"}


@pytest.mark.parametrize(("command", "owners"), [("ab", {Owner.AB, Owner.COMPARISON}), ("capacity", {Owner.CAPACITY})])
def test_the_page_of_a_command_lists_its_own_options(command, owners):
    own = {option.flag for option in OPTIONS if option.owner in owners}
    assert own
    assert own <= options_on(PAGES[command]) & options_of(command)


def test_every_option_is_on_the_command_line():
    known = options_of("") | options_of("capacity") | options_of("ab")
    assert {flag for option in OPTIONS for flag in option.flags} <= known | {"--empty"}


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.command or "run")
def test_the_pages_are_what_the_catalogue_generates(page):
    assert PAGES[page.command] == help_pages()[page.command], "run: python tools/generate_cli_docs.py"


def test_there_is_no_page_without_a_command():
    topics = [f"help {name}" for name in help_topics.topics()]
    assert list(PAGES) == [*(page.command for page in COMMANDS), "-h", *topics]
    assert {name: PAGES[name] for name in ("-h", *topics)} == {name: help_pages()[name] for name in ("-h", *topics)}


def test_the_reference_is_what_the_catalogue_generates():
    path = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    assert path.read_text(encoding="utf-8") == reference(), "run: python tools/generate_cli_docs.py"


def test_the_reference_names_each_option_and_each_command():
    text = reference()
    for option in OPTIONS:
        assert all(f"`{flag}`" in text for flag in option.flags), option.name
    for page in COMMANDS:
        assert f"\n## {page.command or 'A run'}\n" in text


RENAMED = [
    ("--abort-after=5s", "--abort-grace"),
    ("--strict-protocol", "--check-utf8"),
    ("--step", "--step-duration"),
    ("--longest-step", "--max-step-duration"),
    ("--rest", "--cooldown"),
    ("--round", "--round-duration"),
    ("--address", "--connect-to"),
    ("--keepalive", "--ping-interval"),
    ("--answer", "--auto-reply"),
    ("--slow", "--slow-readers"),
    ("--deaf", "--stalled-readers"),
    ("--mute", "--no-pong-clients"),
    ("--storm", "--disconnect"),
    ("--verbosity", "--log-level"),
    ("--strict", "--fail-if-saturated"),
    ("--no-strict", "--no-fail-if-saturated"),
]


@pytest.mark.parametrize(("old", "new"), RENAMED)
@pytest.mark.parametrize("command", [[], ["demo"], ["capacity"], ["ab"], ["report"]], ids=str)
def test_a_former_name_is_an_error_that_says_the_present_one(command, old, new, capsys):
    assert main([*command, URL, old, "5s"]) == ExitCode.USAGE
    assert capsys.readouterr().err == f"{PROGRAM}: {old.partition('=')[0]}: was renamed; write {new}\n"


def test_every_former_name_is_tried():
    tried = {old.partition("=")[0].removeprefix("--").replace("-", "_"): new for old, new in RENAMED}
    assert FORMER_NAMES.keys() == tried.keys() - {"no_strict"}
    for former, present in FORMER_NAMES.items():
        assert tried[former] == "--" + present.replace("_", "-")


def test_a_dry_run_is_a_probe(planned):
    assert planned(URL, "--dry-run")[1] == planned(URL, "--probe")[1] == {"probe": True}
    assert planned(URL, "--no-dry-run")[1] == {"probe": False}


def test_a_plan_file_knows_a_dry_run_too(planned, tmp_path):
    (tmp_path / "plan.toml").write_text(f'url = "{URL}"\ndry-run = true\n')
    assert planned("--plan", str(tmp_path / "plan.toml"))[1] == {"probe": True}


def test_the_help_page_tells_every_exit_code():
    for code in ExitCode:
        if code is not ExitCode.GENERATOR_BOUND:
            assert re.search(rf"\b{int(code)} [a-z]", PAGES[""].partition("Exit codes")[2]), code


def test_examples_of_the_help_pages_are_right(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "order.json").write_text("{}")
    (tmp_path / "token.txt").write_text("abcd")
    (tmp_path / "users.csv").write_text("name,token\nann,abcd\n")
    import shlex

    examples = PAGES[""].partition("\nExamples")[2].partition("\nExit codes")[0].replace("\\\n", "")
    lines = re.findall(r"^ +ws-load-test (ws.*)$", examples, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        # A dry run would go there.
        planned(*(word for word in shlex.split(line) if word != "--probe"))


@pytest.mark.parametrize("words", [["--help"], [URL, "--help"], ["--nonsense", "--help"], ["help"]])
def test_help_is_the_main_page(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr() == (PAGES[""], "")


@pytest.mark.parametrize("words", [[], ["-h"], [URL, "-h"], ["--nonsense", "-h"]])
def test_short_help_fits_a_screen(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr() == (PAGES["-h"], "")
    assert PAGES["-h"].count("\n") <= 35


def test_short_help_names_only_options_and_commands_that_there_are():
    text = PAGES["-h"]
    names = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*|(?<![\w-])-[a-zA-Z](?=[ ,])", text))
    assert len(names) > 15
    assert names <= options_of("") | {"--help"}
    for command in ("capacity", "ab", "compare", "report", "echo", "demo", "help"):
        assert re.search(rf"\b{command}\b", text)


@pytest.mark.parametrize("name", help_topics.topics())
def test_each_topic_has_a_page_whose_options_there_are(name, capsys):
    assert main(["help", name]) == 0
    page = capsys.readouterr().out
    assert page == PAGES[f"help {name}"]
    known = {flag for option in OPTIONS for flag in option.flags} | {"--ssh", "--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page)) <= known


def test_topics_of_metrics_and_fields_are_complete():
    assert all(re.search(rf"^  {name} ", PAGES["help conditions"], re.MULTILINE) for name in CONDITION_METRICS)
    assert all(kind.example in PAGES["help messages"] for kind in FIELD_KINDS)


def test_the_conditions_of_the_help_are_conditions():
    found = re.findall(r'--(?:fail|abort)-if "([^"]+)"', PAGES["help conditions"])
    assert len(found) >= 6
    for text in found:
        parse_condition(text)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["reprot", "run.jsonl"], "unknown command reprot; did you mean report?"),
        (["frobnicate"], "unknown command frobnicate; there are capacity, demo,"),
        (["run", "chat.toml"], "(a run begins with a URL: ws-load-test ws://host:port, or --plan)"),
        (["help", "mesages"], "help: no topic mesages; did you mean messages?"),
        (["help", "xyzzy"], "help: no topic xyzzy; there are the topics conditions,"),
        (["localhost:3001"], "write ws://localhost:3001"),
        (["localhost"], "write ws://localhost"),
        (["chat.toml"], "is not a WebSocket URL; a plan file is read with --plan FILE.toml"),
        (["http://localhost:3001/live"], "write ws://localhost:3001/…"),
        (["https://api.example"], "write wss://api.example"),
        (["api.example:443"], "write wss://api.example:443"),
        (["https://api.example/?token=geheim"], "write wss://api.example/…"),
        (["https://user:geheim@api.example/"], "write ws://host:port/path or wss://…"),
        ([URL, "--concurrency", "5"], "--concurrency: there is no such option; write --connections"),
        ([URL, "--vus=5"], "--vus: there is no such option; write --connections"),
        (["--script", "chat.js"], "--script: there is no such option; write --plan"),
        (["--config=load.yml"], "--config: there is no such option; write --plan"),
        (["--locustfile", "x.py"], "--locustfile: there is no such option; write --scenario"),
        ([URL, "--spawn-rate", "10"], "--spawn-rate: there is no such option; write --connect-rate"),
        ([URL, "-k"], "-k: there is no such option; write --insecure"),
        ([URL, "--native"], "--native: there is no such option; write --engine native"),
        (["demo", "--foo"], "Unknown option: --foo. (ws-load-test --help lists the options)"),
        ([URL, "--conections", "5"], "Unknown option: --conections. Did you mean --connections?"),
        ([URL, "--fail-if", "ttft > 2s"], 'there is no metric "ttft"; write first.p99'),
        (["-V"], "-V: there is no such option; write --version"),
        ([URL, "--fail-if", "latency > 5ms"], 'there is no metric "latency"; write p99'),
        ([URL, "--fail-if", "error_rate > 1%"], 'there is no metric "error_rate"; write errors'),
        ([URL, "--fail-if", "p(99) > 1s"], 'there is no metric "p(99)"; write p99'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_gets_the_right_one(words, hint, capsys):
    assert main(words) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert "geheim" not in err
    assert err.count("\n") == 1


def test_words_of_other_tools_lead_to_words_of_ours():
    ours = {option.name for option in OPTIONS} | {alias for option in OPTIONS for alias in option.aliases}
    assert set(other_tools.OPTION_NAMES.values()) <= ours
    assert not other_tools.OPTION_NAMES.keys() & (ours | FORMER_NAMES.keys())
    assert set(other_tools.LETTERS.values()) <= ours | {"version"}
    assert not {f"-{letter}" for letter in other_tools.LETTERS} & {flag for option in OPTIONS for flag in option.flags}
    for metric in other_tools.METRICS.values():
        is_time = re.fullmatch(r"(\w+\.)?(p\d+|mean|stdev)", metric)
        parse_condition(f"{metric} > {'1s' if is_time else 1}")
    with pytest.raises(PlanError, match="did you mean connections"):
        make_plan(URL, vus=5)


@pytest.mark.parametrize("command", ["demo", "echo", "report", "capacity"])
def test_each_command_has_a_page(command, capsys):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out == PAGES[command]


@pytest.mark.parametrize("page", PAGES.values())
def test_pages_fit_a_terminal(page):
    assert max(len(line) for line in page.splitlines()) <= 80


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"ws-load-test {__version__}"


@pytest.mark.parametrize("argument", ["--help", "version"])
def test_help_imports_nothing_heavy(argument):
    program = (
        f"import sys\nfrom ws_load_test.cli import main\nmain([{argument!r}])\n"
        "heavy = {'numpy', 'cyclopts', 'rich', 'msgspec', 'asyncio', 'uvloop', 'picows', 'hdrh', 'h11', 'ssl'}\n"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def imported_by(statements):
    """The modules that a new interpreter has imported after these statements."""
    program = f"import sys\nsys.argv = ['ws-load-test']\n{statements}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


OF_ROLES = {
    f"ws_load_test.plan.{name}"
    for name in (
        *("options.scenario.audience", "options.scenario.captures", "options.scenario.keys"),
        *("options.scenario.read", "options.scenario.roles", "options.scenario.shares"),
        *("options.scenario.steps", "options.scenario.texts", "options.scenario.written_role"),
        *("scenario.explain", "scenario.python_role"),
    )
}
"""Modules of which a plan of one line needs none."""
READ_LINE = (
    "from ws_load_test.plan.options.read_plan import read_plan\n"
    "read_plan({'url': 'ws://h/', 'duration': '1s', 'rate': '10/s', 'match': 'json:id', 'message': '{\"id\": {seq}}'})"
)


def test_a_plan_of_one_line_is_read_without_the_reader_of_roles():
    imported = imported_by(READ_LINE)
    assert "ws_load_test.plan.options.read_plan" in imported
    assert not imported & {*OF_ROLES, "asyncio", "cyclopts", "h11", "importlib.util", "tomllib", "uvloop"}
    assert not [name for name in imported if name.startswith(("ws_load_test.engine", "ws_load_test.importing"))]


def test_the_command_runs_a_plan_of_one_line_without_the_reader_of_roles():
    imported = imported_by(f"{READ_LINE}\nimport ws_load_test.cli.run")
    assert "ws_load_test.cli.run" in imported
    assert not imported & OF_ROLES


def test_a_plan_with_a_role_is_read_with_the_modules_that_others_leave_out():
    role = "{'user': {'steps': [{'send': 'a', 'name': 'a', 'await': 'contains:a'}]}}"
    imported = imported_by(
        f"{READ_LINE.partition('read_plan({')[0]}read_plan({{'url': 'ws://h/', 'duration': '1s', 'role': {role}}})"
    )
    assert OF_ROLES - imported == {"ws_load_test.plan.scenario.explain"}


def test_explain_tells_the_plan_and_stops(capsys):
    assert main(["ws://nowhere.invalid/x", "-c", "12", "--explain"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["target"] == "ws://nowhere.invalid/x"
    assert lines["connections"].startswith("12,")
