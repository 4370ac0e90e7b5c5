"""What is shipped: the wheel's files, the image, the action and the workflows fit the repository."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from ws_load_test.plan.options.catalog import OPTIONS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def copied():
    found = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {source for line in found for source in shlex.split(line)[:-1]}


def test_the_image_gets_every_file_that_the_wheel_is_made_of():
    build = PROJECT["tool"]["scikit-build"]
    wheel, cmake = build["wheel"], f"{build['cmake']['source-dir']}/CMakeLists.txt"
    needed = {"pyproject.toml", "README.md", cmake, *PROJECT["project"]["license-files"], *wheel["force-include"]}
    assert needed <= copied()
    assert all(any(package.startswith(f"{source}/") for source in copied()) for package in wheel["packages"])
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied() == allowed
    assert all((ROOT / source).exists() for source in copied())


def test_the_image_runs_the_program_without_rights():
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER \d+:\d+$", last, re.MULTILINE)
    assert 'ENTRYPOINT ["ws-load-test"]' in last
    extras = set(re.search(r"'\.\[([a-z,]+)\]'", DOCKERFILE)[1].split(","))
    assert extras <= PROJECT["project"]["optional-dependencies"].keys()


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_workflows_pin_what_they_use_and_call_what_there_is(path):
    text = path.read_text()
    parsed = yaml.safe_load(text)
    assert parsed["name"]
    uses = re.findall(r"uses: (\S+)", text)
    assert uses or path.name == "action.yml"
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", use) for use in uses)
    lines = text.replace("\\\n", " ").splitlines()
    known = {flag for option in OPTIONS for flag in option.flags} | {"--port", "--version"}
    ours = [
        line.partition("ws-load-test ")[2]
        for line in lines
        if re.search(r"\bws-load-test (ws|demo|echo|report|--)", line)
    ]
    for line in ours:
        assert set(OPTION.findall(line.partition("docker")[0])) <= known, line
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert all(target in targets for target in re.findall(r"make ([a-z]+)", text))


def test_the_action_splits_its_arguments_without_running_them():
    text = (ROOT / "action.yml").read_text()
    script = text.partition("- name: Run")[2]
    assert "${{" not in script.partition("run: |")[2], "an input inside a script could be code"
    assert "shlex.split" in script


def test_links_of_the_readme_are_absolute_in_the_metadata():
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text()
    for rule in hook["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 30
    assert all(re.match(r"https://|#", target) for target in targets)
    assert "https://raw.githubusercontent.com/ws-load-test/ws-load-test/main/docs/images/live.svg" in targets
