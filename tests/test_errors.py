"""Causes of errors in words, and the names of the loggers that report them."""

import ast
from pathlib import Path

import pytest

from ws_load_test.common.errors import cause_of

SOURCE = Path(__file__).parents[1] / "src"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(2, "No such file or directory", "x"), "no such file or directory"),
        (OSError("Connect call failed"), "connect call failed"),
        (ValueError("Embedded\n null byte"), "embedded null byte"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_cause_follows_a_colon(error, cause):
    assert cause_of(error) == cause


def test_every_logger_is_named_after_its_module():
    calls = [
        ast.unparse(node.value)
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_log"
    ]
    assert calls
    assert set(calls) == {"logging.getLogger(__name__)"}
