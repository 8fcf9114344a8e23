"""The rooms are layers: imports only look down, and no room is importable under its bare name."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ["core", "models", "tools", "retrieval", "agents", "graphs", "servers", "bottega"]


def imported_rooms(file: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of the package in `file`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    package = ["bottega", *parts[:-1]] if parts[0] != "bottega" else list(parts[:-1])
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            names = [".".join([*module, alias.name]) for alias in node.names]
        for name in names:
            top, *rest = name.split(".")
            if top == "bottega":
                yield node.lineno, rest[0] if rest and rest[0] in LAYERS[:-1] else "bottega"


@pytest.mark.parametrize("room", LAYERS)
def test_a_room_imports_only_from_itself_and_the_rooms_below(room: str) -> None:
    allowed = LAYERS[: LAYERS.index(room) + 1]
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports from {other}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for line, other in imported_rooms(file)
        if other not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_inside_the_package_are_relative() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for room in LAYERS
        for file in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "bottega")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "bottega" for alias in node.names))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_room_is_installed_as_part_of_bottega() -> None:
    for room in LAYERS[:-1]:
        spec = importlib.util.find_spec(f"bottega.{room}")
        assert spec is not None, room
        assert spec.origin is not None
        assert Path(spec.origin).name == "__init__.py"


def test_no_room_can_be_imported_under_its_bare_name(tmp_path: Path) -> None:
    code = f"""
import importlib.util, sys
import bottega.agents, bottega.tools
print([name for name in {LAYERS[:-1]!r} if name in sys.modules or importlib.util.find_spec(name)])
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
