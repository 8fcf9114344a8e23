"""The documents say what is there: paths, commands, links, Python."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from bottega.cli.group import COMMANDS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_every_path_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = {path for path in re.findall(r"`([\w./-]+)`", text) if "/" in path}
    assert len(named) > 30
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert not missing, missing


def test_the_architecture_is_one_page() -> None:
    assert len((ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for line in re.findall(r"^(?:    |\$ )(.+)$|`([^`\n]+)`", text, re.M):
        words = (line[0] or line[1]).split()
        if len(words) > 1 and words[0] == "bottega" and words[1][0].isalpha():
            assert words[1] in COMMANDS, line
        if len(words) > 1 and words[0] == "make" and words[1].isalpha():
            assert words[1] in TARGETS, line


def test_the_page_of_commands_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "write_commands.py"))
    assert script["TARGET"].read_text("utf-8") == script["page"](), "run `make docs`"


def test_the_python_of_the_readme_can_be_parsed() -> None:
    blocks = re.findall(r"```python\n(.+?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert len(blocks) >= 2
    for block in blocks:
        ast.parse(block)


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_makefile_lists_what_it_can_do() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    for target in [
        "help",
        "setup",
        "demo",
        "test",
        "test-slow",
        "test-train",
        "lint",
        "bench",
        "docs",
        "house-models",
        "clean",
    ]:
        assert re.search(rf"^{target}:.*## \w", text, re.M), target
