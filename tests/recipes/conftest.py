"""Servers of the real libraries, and the command lines of docs/recipes.md."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ws_load_test.api import run as run_plan
from ws_load_test.cli import main
from ws_load_test.plan.options.read_plan import read_plan
from ws_load_test.plan.presets import read_preset

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "recipes.md"


@dataclass
class Server:
    """A server in a process of its own, which ends when its standard input is closed."""

    process: subprocess.Popen[str]
    address: str

    def seen(self):
        """What it was asked to do, by its own account."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Counter(json.loads(self.process.stdout.readline()))


@pytest.fixture
def server(request, tmp_path):
    """The server that the test names, and its arguments: `parametrize("server", ["graphql_server"], indirect=True)`."""
    name, *arguments = request.param.split()
    command = [sys.executable, str(HERE / "servers" / f"{name}.py"), *arguments]
    log = tmp_path / "server.log"
    with log.open("w", encoding="utf-8") as errors:  # a file, because a pipe that nobody reads fills up and blocks
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        port = process.stdout.readline().strip()
        assert port, f"{request.param} did not start: {log.read_text(encoding='utf-8')}"
        yield Server(process, f"127.0.0.1:{port}")
        process.stdin.close()
        assert process.wait(timeout=60) == 0, log.read_text(encoding="utf-8")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture(scope="session")
def recipes():
    """The fenced blocks of the page that are marked as recipes, by name."""
    return dict(re.findall(r"<!-- recipe: (\S+) -->\n```sh\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))


class Line(list):
    """The arguments of a command line, the URL first."""

    def set(self, option, value):
        """Gives an option another value; None takes it out."""
        if option in self:
            at = self.index(option)
            del self[at : at + 2]
        if value is not None:
            self += [option, str(value)]

    def replace(self, old, new):
        """Says something else wherever the old was said."""
        assert any(old in argument for argument in self), f"{old} is not in {self}"
        self[:] = [argument.replace(old, new) for argument in self]


@pytest.fixture
def recipe(recipes, tmp_path):
    """Has bash read a recipe as it stands on the page, in an empty directory; returns the arguments it came to."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("the recipes are for bash, and there is none")

    def read(name):
        script = "ws-load-test() { printf '%s\\0' \"$@\" > arguments; }\n" + recipes[name]
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        subprocess.run([bash, "-eu", "-c", script], cwd=tmp_path, env=environment, check=True, timeout=10)
        return Line((tmp_path / "arguments").read_text(encoding="utf-8").split("\0")[:-1])

    return read


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """Runs a command line to its end, with the server's address for its own, and returns the summary."""

    def run(line, server):
        url = urlsplit(line[0])._replace(scheme="ws", netloc=server.address).geturl()
        line = Line(line)
        line.set("--timeout", "10s")
        monkeypatch.chdir(tmp_path)
        main([url, *line[1:], "--workers", "1", "--json"])
        told = capsys.readouterr()
        assert told.out, told.err
        return json.loads(told.out)

    return run


@pytest.fixture
def play_preset():
    """Runs the role that a preset has for an example on 4 sessions; returns the messages of each of its steps."""

    def play_role(name, server, *, path="/", fill=None):
        role = dict(read_preset(name, fill).example_role)
        role["steps"] = [step | {"wait": "20ms"} if "wait" in step else step for step in role["steps"]]
        options = {"connections": 4, "rooms": 2, "duration": "300ms", "timeout": "10s", "workers": 1}
        plan = {"url": f"ws://{server.address}{path}", "protocol": name, "fill": fill, "role": {"example": role}}
        summary = run_plan(read_plan(plan | options)).summary
        assert not summary.faults, summary.faults
        assert summary.connections.opened == 4
        steps = {step.name: step for step in summary.steps}
        assert all(step.due == step.sent for step in steps.values())
        assert all(step.answered == step.sent for step in steps.values() if not step.unawaited)
        names = [step["name"] for step in role["steps"] if "name" in step]
        assert steps[names[0]].sent, "later ones may not have their turn on a busy machine"
        return {name: steps[name].sent for name in names}

    return play_role
