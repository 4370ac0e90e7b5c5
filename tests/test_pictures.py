"""The tools that draw the pictures of the documentation write where they are asked to."""

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import pictures

    yield pictures
    sys.modules.pop("pictures")


def test_a_picture_is_drawn_into_the_folder_that_is_named(pictures, tmp_path, monkeypatch):
    folder = tmp_path / "new"
    monkeypatch.setattr(sys, "argv", ["pictures", str(folder)])
    path = pictures.picture_folder() / "a.svg"
    pictures.draw(path, "a title", lambda console: console.print("shown"))
    assert [one.name for one in folder.iterdir()] == ["a.svg"]
    assert "shown" in path.read_text("utf-8")
    monkeypatch.setattr(sys, "argv", ["pictures"])
    assert pictures.picture_folder() == TOOLS.parent / "docs" / "images"


@pytest.mark.parametrize("tool", sorted(TOOLS.glob("pictures*.py")), ids=lambda path: path.stem)
def test_each_tool_asks_for_that_folder(tool):
    text = tool.read_text("utf-8")
    assert "picture_folder()" in text
    assert text.count("IMAGES") == (2 if tool.stem == "pictures" else 0)
