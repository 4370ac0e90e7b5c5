"""Completion by shells, and the manual page of the wheel."""

import importlib.util
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from ws_load_test.cli import main
from ws_load_test.common.errors import ExitCode
from ws_load_test.plan.options.catalog import OPTIONS

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_options_and_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert main(["--install-completion", "bash"]) == ExitCode.PASSED
    written = Path(capsys.readouterr().out.partition(" was written")[0])
    assert written.is_relative_to(tmp_path)

    def completed(*words):
        quoted = " ".join(f"'{word}'" for word in words)
        script = (
            f"source '{written}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMP_LINE='{' '.join(words)}'\n"
            '_ws_load_test; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "--fail-if" in completed("ws-load-test", "--fail")
    assert completed("ws-load-test", "rep") == ["report"]
    assert "--step-duration" in completed("ws-load-test", "capacity", "--step")


@pytest.mark.parametrize("shell", ["ksh", "../x"])
def test_another_shell_is_refused(shell, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", shell]) == ExitCode.USAGE
    assert "write --install-completion bash, zsh or fish" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_is_one_sentence(capsys, monkeypatch, tmp_path):
    home = tmp_path / "file"
    home.write_text("")
    monkeypatch.setenv("HOME", str(home))
    assert main(["--install-completion", "bash"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("ws-load-test: --install-completion: cannot write ")


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("man_page", ROOT / "tools" / "man_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_manual_page_is_what_the_catalogue_generates(tool):
    assert tool.MANUAL.read_text(encoding="utf-8") == tool.manual(), "run: python tools/man_page.py"


def test_the_manual_page_names_every_option_and_is_in_the_wheel(tool):
    text = tool.manual().replace("\\-", "-")
    assert all(f"\\fB{flag}\\fR" in text for option in OPTIONS for flag in option.flags)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]["wheel"]
    assert wheel["force-include"] == {"docs/ws-load-test.1": "${SKBUILD_DATA_DIR}/share/man/man1/ws-load-test.1"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_finds_nothing_to_complain_of(tool):
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8", tool.MANUAL], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
